"""Weakly labelled recordings: it is known which classes they hold, not when.

They come from a table without times, such as DESED's ``weak.tsv``, from annotations with times,
which are left aside, or from a folder with a folder of recordings for each class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sed_cli.config.data import TrainSplitConfig
from sed_cli.data.annotations import Event, Fault, Row
from sed_cli.data.listing import AudioFolder, Reading, list_recordings
from sed_cli.data.manifest import Clip
from sed_cli.errors import DataError

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
        return _list_class_folders(labels)
    audio = root / split.weak_audio if split.weak_audio else _audio_of(labels, root, split)
    listed, faults = list_recordings(labels, audio, replace(reading, whole_clips=True))
    return [replace(clip, rows=_of_whole(clip.rows)) for clip in listed], faults


def _list_class_folders(folder: Path) -> tuple[list[Clip], list[Fault]]:
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
        row = Row(name, Event(0.0, math.inf, label), None)
        clips.append(Clip(name=name, path=path, annotations=folder, rows=(row,)))
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
        for label in _labels_in(row.event.label) if row.event else ():
            labels.setdefault(label, row._replace(event=Event(0.0, math.inf, label)))
    return tuple(labels.values()) or tuple(rows[:1])


def _labels_in(text: str) -> list[str]:
    mark = next((each for each in ";|" if each in text), ",")
    return [label for part in text.split(mark) if (label := part.strip())]


def tagged(clip: Clip) -> Clip:
    """A weakly labelled recording: its events become its tags, and when these sound is unknown."""
    tags = tuple(sorted({event.label for event in clip.events}))
    spans = tuple(Event(0.0, clip.duration_s, tag) for tag in tags)
    return replace(clip, tags=tags, events=(), unknown=spans)
