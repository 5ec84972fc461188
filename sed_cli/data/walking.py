"""Walking through the files of a folder, for annotations and recordings alike."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sed_cli.data.endings import PREDICTIONS
from sed_cli.system.records import RUN, SWEEP

log = logging.getLogger(__name__)

# A folder with one of these files is a run, a sweep, a checkpoint or a prediction.
_RUN_MARKS = frozenset((RUN, SWEEP, ".hydra", "multirun.yaml", "model.safetensors", PREDICTIONS))
# Records of runs, skipped if a run folder is named as the folder of a data set.
_RECORDS = frozenset(
    (
        *(RUN, SWEEP, "metrics.json", "data.json", "recordings.csv", "classes.csv", "faults.csv"),
        *("history.csv", "events.tsv", "recipe.json", "sources.tsv", "curve.csv"),
        *("simulation.json", "model.json", "comparison.csv", "comparison.json"),
    )
)


@dataclass(frozen=True)
class Walk:
    """Visible files below a folder, sorted, and the folders of runs that were skipped."""

    files: tuple[Path, ...]
    runs: tuple[Path, ...]


def walk(folder: Path) -> Walk:
    """List the files below a folder.

    Hidden files and folders are skipped, and so are folders that sedtf wrote (those with a
    ``run.json``) with all that is below them, unless ``folder`` itself is one: then only the run's
    records are skipped. Links to folders are followed, but not to one that contains ``folder``,
    such as ``/``; each folder is visited once.
    """
    inside = folder.resolve()
    files: list[Path] = []
    runs: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:  # links come last: their targets may be below the folder itself
        here = (waiting or links).pop()
        try:
            status = here.stat()
            entries = list(os.scandir(here))
        except OSError as error:
            log.warning("%s: cannot be searched (%s)", here, error.strerror)
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        is_run = is_of_run(entry.name for entry in entries)
        if is_run and here != folder:
            runs.append(here)
            continue
        for entry in entries:
            if entry.name.startswith(".") or (is_run and entry.name in _RECORDS):
                continue
            if _is(entry, os.DirEntry.is_dir):
                if not entry.is_symlink():
                    waiting.append(Path(entry.path))
                elif (target := Path(entry.path).resolve()) in inside.parents:
                    log.warning("%s: a link to %s, which contains it: skipped", entry.path, target)
                else:
                    links.append(Path(entry.path))
            elif _is(entry, os.DirEntry.is_file):
                files.append(Path(entry.path))
    return Walk(tuple(sorted(files)), tuple(sorted(runs)))


def is_of_run(names: Iterable[str]) -> bool:
    """Whether a folder with these names is a run, a sweep or a checkpoint."""
    return not _RUN_MARKS.isdisjoint(names)


def _is(entry: os.DirEntry[str], kind: object) -> bool:
    try:
        return bool(kind(entry))  # type: ignore[operator]
    except OSError:  # a link that cannot be followed
        return False


def identity(path: Path) -> tuple[object, ...]:
    """Return a key that is equal for two paths of one file, through links and in any case."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ("nowhere", os.path.normpath(path))
    # Inodes on network drives are not always reliable, but hard links need them.
    if status.st_nlink > 1:
        return ("inode", status.st_dev, status.st_ino)
    return ("path", os.path.realpath(path))
