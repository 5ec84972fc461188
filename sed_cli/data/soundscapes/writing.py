"""Soundscapes on disk: audio, annotations and their recipe, in parallel, all or nothing."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import math
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from sed_cli.config.annotations import SPLITS
from sed_cli.data.annotations import FORMATS, Event, dump_annotations
from sed_cli.data.soundscapes.bank_events import BankEvents
from sed_cli.data.soundscapes.composing import compose_recording, synthesised_events
from sed_cli.data.soundscapes.recipe import RECIPE_FILE, Recipe, read_recipe
from sed_cli.data.soundscapes.scenes import Scene
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.sources import EventSource
from sed_cli.data.soundscapes.workers import Progress, run_tasks
from sed_cli.errors import DataError
from sed_cli.system.files import write_bytes

SOURCES_FILE = "sources.tsv"
_SOURCES_HEADER = (
    *("split", "filename", "onset", "offset", "event_label"),
    *("source", "snr_db", "chain"),
)

_Task = tuple[str, int]  # split and number


class Placed(NamedTuple):
    """An event of a recording: its row and its source."""

    event: Event
    source: str
    snr_db: float
    chain: int


class Written(NamedTuple):
    """A written recording: its file, the file's hash, and its events by onset."""

    name: str
    sha256: str
    events: tuple[Placed, ...]


def write_soundscapes(
    folder: Path,
    settings: SoundscapeSettings,
    *,
    bank: BankEvents | None = None,
    format: str = "desed",
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[tuple[str, int], Written]:
    """Write a data set of soundscapes, unless it already exists.

    Writes ``audio/SPLIT/SPLIT_0000.flac`` (one channel, 16 bit) for train, validation and test, if
    they have recordings; annotations, as ``SPLIT.tsv`` (filename relative to ``audio/SPLIT``, onset
    and offset in seconds, event_label; a file without events is a row with empty fields) or with
    the ending of the format, or if a file of the format holds one recording as
    ``annotations/SPLIT/SPLIT_0000.txt``; for events of a bank ``sources.tsv``, the clip of each
    event; and ``recipe.json``. The same settings give the same bytes, whatever ``n_workers``.

    The folder appears complete or not at all: it is written under another name beside it and then
    renamed. If two processes write the same data set at once, the slower one uses the other's.

    Args:
        folder: destination; its parents are created.
        settings: what to write.
        bank: the events, if ``settings.bank`` names a bank.
        format: one of :data:`.FORMATS`.
        n_workers: number of processes; 1: only this one, ``None``: one per available core. A script
            that uses several needs an ``if __name__ == "__main__"`` guard.
        progress: called with (recordings done, recordings in all) after each one.

    Returns:
        The written recordings, by split and number, in order; empty if they already existed.

    Raises:
        DataError: if the folder contains something else, or soundscapes of other settings; if the
            format is unknown or cannot represent a class.
        UserError: if ``n_workers`` is below 1.
    """
    folder = Path(folder)
    recipe = Recipe(settings=settings, bank=bank.bank if bank else None, format=format)
    if _is_written(folder, recipe):
        return {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        source = bank or synthesised_events(settings)
        written = _write_all(partial, recipe, source, n_workers, progress)
        _publish(partial, folder, recipe)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _is_written(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder contains exactly this data set.

    Raises:
        DataError: if it contains anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = read_recipe(folder / RECIPE_FILE)
    except DataError as error:
        raise DataError(
            f"{folder} exists and contains no generated soundscapes: expected a new or an empty "
            "folder; name another one"
        ) from error
    there, expected = ({"format": r.format, **r.settings.as_json()} for r in (found, recipe))
    differing = [
        f"{name}={there.get(name)} instead of {expected.get(name)}"
        for name in sorted(there.keys() | expected.keys())
        if there.get(name) != expected.get(name)
    ]
    if differing:
        raise DataError(
            f"{folder} holds soundscapes of other settings ({', '.join(differing)}): name another "
            "folder, or delete this one to write it again"
        )
    return True


def _publish(partial: Path, folder: Path, recipe: Recipe) -> None:
    try:
        partial.rename(folder)
    except OSError:
        # Another process was faster: fine if it wrote the same data set.
        if not _is_written(folder, recipe):
            raise


def _write_all(
    root: Path,
    recipe: Recipe,
    source: EventSource,
    n_workers: int | None,
    progress: Progress | None,
) -> dict[_Task, Written]:
    """Write the whole data set under ``root``, which must not exist."""
    settings = recipe.settings
    splits = [split for split in SPLITS if settings.n_recordings(split)]
    for split in splits:
        (root / "audio" / split).mkdir(parents=True)
    tasks = [(split, number) for split in splits for number in range(settings.n_recordings(split))]
    results: dict[_Task, Written] = {}
    # Closed before the folder is cleared, when no worker may still be writing into it.
    with contextlib.closing(run_tasks(_Writer(root, settings, source), tasks, n_workers)) as done:
        for task, result in done:
            results[task] = result
            if progress is not None:
                progress(len(results), len(tasks))
    written = {task: results[task] for task in tasks}
    texts = {
        name: text
        for split in splits
        for name, text in _annotations(split, _of_split(split, written), recipe.format).items()
    }
    if recipe.bank is not None:
        texts[SOURCES_FILE] = _sources(written)
    hashes = {f"audio/{task[0]}/{one.name}": one.sha256 for task, one in written.items()}
    for name, text in texts.items():
        hashes[name] = hashlib.sha256(text.encode()).hexdigest()
        _write_text(root / name, text)
    _write_text(root / RECIPE_FILE, recipe.with_hashes(hashes).dump())
    return written


def _of_split(split: str, written: Mapping[_Task, Written]) -> dict[str, list[Event]]:
    """Return the events of each recording of a split, in order."""
    return {
        recording.name: [placed.event for placed in recording.events]
        for task, recording in written.items()
        if task[0] == split
    }


def _annotations(split: str, events: Mapping[str, list[Event]], format: str) -> dict[str, str]:
    """Return the annotations of a split as texts, by path."""
    known = FORMATS[format]
    if format == "desed":
        return {f"{split}.tsv": _table(events)}
    if known.names_files:
        return {f"{split}{known.ending}": dump_annotations(events, format)}
    return {
        f"annotations/{split}/{Path(name).stem}{known.ending}": dump_annotations(
            {name: of_file}, format
        )
        for name, of_file in events.items()
    }


def _table(events: Mapping[str, Sequence[Event]]) -> str:
    """DESED's table with four decimals, as in the first default data sets: their bytes must not
    change, so this does not use ``dump_annotations``."""
    lines = ["filename\tonset\toffset\tevent_label"]
    for name, of_file in events.items():
        lines += [f"{name}\t{e.onset_s:.4f}\t{e.offset_s:.4f}\t{e.label}" for e in of_file]
        if not of_file:
            lines.append(f"{name}\t\t\t")
    return "\n".join(lines) + "\n"


def _sources(written: Mapping[_Task, Written]) -> str:
    """Table of the source of each event: clip and samples in it, at the rate of the data set."""
    buffer = io.StringIO()
    table = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    table.writerow(_SOURCES_HEADER)
    for (split, _), recording in written.items():
        for (onset_s, offset_s, label), source, snr_db, chain in recording.events:
            times = f"{onset_s:.4f}", f"{offset_s:.4f}"
            table.writerow((split, recording.name, *times, label, source, f"{snr_db:.2f}", chain))
    return buffer.getvalue()


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same bytes everywhere: no newline translation.
    path.write_text(text, encoding="utf-8", newline="\n")


def _name(split: str, number: int) -> str:
    return f"{split}_{number:04d}.flac"


@dataclass(frozen=True)
class _Writer:
    """Writes single recordings; pickled to worker processes."""

    root: Path
    settings: SoundscapeSettings
    source: EventSource

    def __call__(self, task: _Task) -> Written:
        """Write one recording's audio and return its events."""
        scene, mixture = compose_recording(self.settings, *task, self.source)
        path = self.root / "audio" / task[0] / _name(*task)
        samples = np.round(mixture.waveform * 32767).astype(np.int16)
        content = io.BytesIO()  # libsndfile does not report why writing failed
        soundfile.write(
            content,
            samples,
            self.settings.sample_rate,
            format=path.suffix[1:].upper(),
            subtype="PCM_16",
        )
        write_bytes(path, content.getvalue())
        placed = tuple(
            Placed(
                Event(_seconds(e.onset, scene), _seconds(e.offset, scene), e.source.label),
                e.source.source_id,
                e.snr_db,
                e.chain,
            )
            for e in scene.events
        )
        return Written(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), placed)


def _seconds(sample: int, scene: Scene) -> float:
    # Rounded down, so that no offset is after the end of the file.
    return math.floor(sample / scene.sample_rate * 10_000) / 10_000
