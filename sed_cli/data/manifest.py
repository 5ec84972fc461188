"""A data set's manifest: its clips by split, with findings from listing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sed_cli.audio import AudioFacts
from sed_cli.config.annotations import SOURCES
from sed_cli.data.annotations import Event, Fault, Row
from sed_cli.data.notes import Notes

if TYPE_CHECKING:
    from sed_cli.data.subsets import Subset


ClipT = TypeVar("ClipT", bound="Clip")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A recording, or a part of one, with its events.

    Annotations alone give ``rows``; ``duration_s``, ``events`` and ``facts`` replace them once the
    audio has been examined.

    Args:
        name: as the data set writes it; unique within a split.
        path: expected path of the audio.
        duration_s: length in seconds; 0 if not examined.
        events: of the classes in question, in order of onset, none beyond the end of the audio.
        unknown: spans where a class is not annotated, with its label.
        tags: classes that occur at unknown times; ``None``: ``events`` is complete.
        facts: about the audio file; ``None`` if not examined.
        annotations: the file with its events, named by faults.
        rows: of that file.
        in_samples: whether the times of its rows count samples of the recording.
        problem: why its path is unknown; empty if it is known.
        part_of: the recording that it was cut from; ``None``: it is a whole one.
    """

    name: str
    path: Path
    duration_s: float = 0.0
    events: tuple[Event, ...] = ()
    unknown: tuple[Event, ...] = ()
    tags: tuple[str, ...] | None = None
    facts: AudioFacts | None = None
    annotations: Path = Path()
    rows: tuple[Row, ...] = ()
    in_samples: bool = False
    problem: str = ""
    part_of: Path | None = None

    @property
    def labels(self) -> set[str]:
        """Labels of its rows."""
        return {row.event.label for row in self.rows if row.event is not None}

    @property
    def line(self) -> int | None:
        """Where its annotations start in their file."""
        return self.rows[0].line if self.rows else None

    @property
    def paths(self) -> set[Path]:
        """Its audio, and that of the recording that it was cut from."""
        return {self.path} if self.part_of is None else {self.path, self.part_of}

    @property
    def is_missing(self) -> bool:
        """Whether there is no such audio file."""
        return bool(self.problem) or not self.path.is_file()


def apart(splits: Mapping[str, Sequence[ClipT]]) -> dict[str, list[ClipT]]:
    """The splits, with all training data as one split ``train``: no two may share a sound."""
    joined: dict[str, list[ClipT]] = {}
    for name, clips in splits.items():
        joined.setdefault("train" if name in SOURCES else name, []).extend(clips)
    return joined


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The clips of a data set by split.

    Args:
        classes: labels to detect; empty before they are chosen, unless the data set names them.
        splits: clips by split; faulty ones are repaired or left out.
        faults: of annotations, and of recordings that are missing, unreadable or too short.
        notes: on files read, guesses and skipped files.
        labels: annotated labels in each split, before anything is left out.
        chosen: whether the classes were named; else they are the labels of the data set.
        strict: whether faults are rejected even if they can be repaired.
        subset: the part kept of a reduced training split; ``None``: all of it.
        elsewhere: annotated recordings of splits not requested, if they matter.
    """

    classes: tuple[str, ...] = ()
    splits: dict[str, list[Clip]]
    faults: tuple[Fault, ...] = ()
    notes: Notes = field(default_factory=Notes, compare=False)
    labels: Mapping[str, set[str]] = field(default_factory=dict)
    chosen: bool = False
    strict: bool = True
    subset: Subset | None = None
    elsewhere: tuple[Clip, ...] = ()

    @property
    def annotated(self) -> dict[str, list[Clip]]:
        """The splits without additional training data."""
        return {name: clips for name, clips in self.splits.items() if name not in SOURCES}

    @property
    def refused(self) -> list[Fault]:
        """Faults that prevent training."""
        return [fault for fault in self.faults if self.strict or fault.repair is None]

    @property
    def audio_notes(self) -> tuple[str, ...]:
        """Deviations from headers of audio files, one line per file."""
        return tuple(
            f"{clip.path}: {note}"
            for clips in self.splits.values()
            for clip in clips
            if clip.facts is not None
            for note in clip.facts.notes
        )
