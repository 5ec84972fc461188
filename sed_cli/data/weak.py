"""Weakly labelled recordings: it is known which classes they hold, not when.

They come from a table without times, such as DESED's ``weak.tsv``, from annotations with times,
which are left aside, or from a folder with a folder of recordings for each class.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sed_cli.config.annotations import WEAK
from sed_cli.config.splits import TrainSplitConfig
from sed_cli.data.annotations import Event, Fault, Row
from sed_cli.data.annotations.text import read_text, several, split_lines
from sed_cli.data.annotations.units import plain_name
from sed_cli.data.listing import AudioFolder, Reading, list_recordings
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.relabelling import Relabelling
from sed_cli.errors import DataError
from sed_cli.system.text import counted

_PLURAL = ("event_labels", "labels", "tags", "classes")
_METADATA, _AUDIO = "metadata", "audio"  # folders of DESED's


def list_weak(
    split: TrainSplitConfig, root: Path, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    """List the weakly labelled recordings of a set, with rows that hold for all of each.

    Args:
        split: with ``weak``, relative to ``root``.
        root: of the set.
        reading: how its annotations are read; it keeps the notes.

    Raises:
        DataError: if a path is missing, or a folder holds no recordings.
    """
    assert split.weak is not None
    labels = root / split.weak
    if labels.is_dir() and split.weak_audio is None:
        return _list_class_folders(labels, reading)
    audio = root / split.weak_audio if split.weak_audio else _audio_of(labels, root, split)
    columns = reading.columns if labels.is_dir() else _columns(labels, reading)
    # Labels are parted before any of them becomes another one.
    own = replace(reading, whole_clips=True, columns=columns, relabelling=Relabelling())
    listed, faults = list_recordings(labels, audio, own)
    return [replace(clip, rows=reading.rows_of(_of_whole(clip.rows))) for clip in listed], faults


def _columns(table: Path, reading: Reading) -> Mapping[str, str | None]:
    """Names of columns, with that of several labels, which tables of events have not."""
    if reading.columns.get("event_label"):
        return reading.columns
    first = next((line for line in read_text(table).lines if line.strip()), "")
    names = [
        name
        for delimiter in ("\t", ",", ";")
        for _, fields in split_lines([first], delimiter, quotes=True)
        for name in fields
    ]
    plural = next((name for name in names if plain_name(name) in _PLURAL), None)
    return {**reading.columns, "event_label": plural}


def _list_class_folders(folder: Path, reading: Reading) -> tuple[list[Clip], list[Fault]]:
    audio = AudioFolder(folder)
    if not audio.paths:
        raise DataError(
            f"{folder}: holds no recordings; data.train.weak takes a table of recordings and "
            f"their classes, or a folder with a folder of recordings for each class"
        )
    clips, faults = [], []
    for path in audio.paths:
        name = audio.relative(path)
        label, *inner = Path(name).parts
        if not inner:
            message = f"{name} lies in no folder of a class"
            faults.append(Fault(folder, None, message, "the recording is left out"))
            continue
        rows = reading.rows_of([Row(name, Event(0.0, math.inf, label), None)])
        clips.append(Clip(name=name, path=path, annotations=folder, rows=rows))
    return clips, faults


def _audio_of(table: Path, root: Path, split: TrainSplitConfig) -> Path:
    """Where the recordings of a table lie if nothing says so.

    As in DESED, audio/train/weak of metadata/train/weak.tsv; or the folder beside the table that
    is called as it; or ``data.train.audio``.
    """
    below = table.with_suffix("")
    candidates = [below]
    if root in table.parents:
        parts = below.relative_to(root).parts
        if parts[0] == _METADATA:
            candidates.insert(0, root.joinpath(_AUDIO, *parts[1:]))
        candidates.append(root / split.audio / below.name)
    return next((each for each in candidates if each.is_dir()), root / split.audio)


def _of_whole(rows: Sequence[Row]) -> tuple[Row, ...]:
    """A row for each label, once; several in one field are parted by ``;`` or ``|``, else ``,``."""
    labels: dict[str, Row] = {}
    for row in rows:
        for label in several(row.event.label) if row.event else ():
            labels.setdefault(label, row._replace(event=Event(0.0, math.inf, label)))
    return tuple(labels.values()) or tuple(rows[:1])


def tagged(clip: Clip) -> Clip:
    """A weakly labelled recording: its events become its tags, and when these sound is unknown."""
    tags = sorted({event.label for event in clip.events})
    untold = [span for span in clip.unknown if span.label not in tags]
    spans = [*untold, *(Event(0.0, clip.duration_s, tag) for tag in tags)]
    return replace(clip, tags=tuple(tags), events=(), unknown=tuple(sorted(spans)))


@dataclass(frozen=True, kw_only=True)
class WeakStatistics:
    """Weakly labelled recordings: how many, how long, and how many hold each class."""

    n_files: int
    seconds: float
    n_holding: dict[str, int]

    @property
    def lines(self) -> list[str]:
        """What there is, for people."""
        held = ", ".join(f"{label} in {n:,}" for label, n in self.n_holding.items())
        return [f"{counted(self.n_files, 'file')}, {self.seconds / 60:.1f} minutes: {held}"]

    def as_json(self) -> dict[str, Any]:
        """Return it in numbers, for ``data.json``."""
        return {
            "n_files": self.n_files,
            "hours": round(self.seconds / 3600, 6),
            "per_class": self.n_holding,
        }


def weak_statistics(manifest: Manifest) -> WeakStatistics | None:
    """Count the weakly labelled recordings of a set; ``None``: it has none."""
    clips = manifest.splits.get(WEAK)
    if clips is None:
        return None
    held = Counter(tag for clip in clips for tag in clip.tags or ())
    return WeakStatistics(
        n_files=len(clips),
        seconds=sum(clip.duration_s for clip in clips),
        n_holding={label: held[label] for label in manifest.classes},
    )
