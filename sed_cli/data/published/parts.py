"""Shared by the published data sets: finding folders, matching files, lists of names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sed_cli.config.data import PublishedConfig
from sed_cli.data import listing
from sed_cli.data.annotations import Fault
from sed_cli.data.annotations.text import read_text
from sed_cli.data.listing import AudioFolder, Reading
from sed_cli.data.manifest import Clip
from sed_cli.data.names import key_of as key_of
from sed_cli.data.splits import hold_out
from sed_cli.errors import DataError

log = logging.getLogger(__name__)

_DEPTH = 3  # depth of folders below the root that archives may be unpacked in


def folders(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Yield ``root`` and the folders below it, upper ones first."""
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [
            path
            for folder in level
            for path in sorted(folder.iterdir())
            if path.is_dir() and not path.name.startswith(".")
        ]


def find_part(root: Path, holds: Callable[[Path], bool]) -> Path | None:
    """The uppermost folder, at or below ``root``, to which a part of a data set was unpacked."""
    return next((folder for folder in folders(root) if holds(folder)), None)


def need_part(data: PublishedConfig, root: Path, holds: Callable[[Path], bool], what: str) -> Path:
    """As :func:`find_part`.

    Raises:
        DataError: if there is none, with its expected contents.
    """
    if (part := find_part(root, holds)) is None:
        raise DataError(
            f"data.root={root}: contains no {data.name}: expected a folder with {what}; unpack "
            f"all its archives there (docs/data_sets.md shows the layout)"
        )
    return part


def first_folder(*candidates: Path) -> Path:
    """The first that exists; else the first, for error messages."""
    return next((path for path in candidates if path.is_dir()), candidates[0])


def list_files(
    paths: Iterable[Path], audio: Path, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    """List the recordings of annotation files, one per recording, matched by name."""
    return listing.list_files(map(reading.read, paths), AudioFolder(audio), reading)


def read_names(path: Path) -> list[str]:
    """Keys of the recordings named first in each line of a list, in order, without duplicates."""
    names: dict[str, None] = {}
    for line in read_text(path, "list").lines:
        name = line.replace(",", "\t").split("\t")[0].strip()
        if name and name.lower() != "filename":
            names.setdefault(key_of(name))
    return list(names)


def choose(
    listed: Sequence[Clip], names: Iterable[str], path: Path
) -> tuple[list[Clip], list[Fault]]:
    """Return the recordings that a list names, and a fault for each missing one."""
    index = {key_of(one.name): one for one in listed}
    chosen, faults = [], []
    for name in names:
        if name in index:
            chosen.append(index[name])
        else:
            faults.append(
                Fault(path, None, f"{name} is listed, but not annotated", "it is skipped")
            )
    return chosen, faults


def with_validation(
    data: PublishedConfig, train: Sequence[Clip], test: Sequence[Clip]
) -> dict[str, list[Clip]]:
    """Splits of a data set published without validation: a share of training is held out.

    Early stopping must not use test data.
    """
    kept, held = hold_out(train, data.validation_share, seed=data.split_seed)
    splits = {"train": kept, "validation": held, "test": list(test)}
    return {name: listed for name, listed in splits.items() if listed}


def labels_of(*parts: Iterable[Clip]) -> tuple[str, ...]:
    """All labels, sorted: the classes are the same in each fold."""
    return tuple(sorted({label for part in parts for one in part for label in one.labels}))


def renamed(listed: Iterable[Clip], prefix: str) -> list[Clip]:
    """Put a folder before the names."""
    return [replace(one, name=f"{prefix}/{one.name}") for one in listed]
