"""Events, their rows in a file, and faults of those rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from sed_cli.errors import DataError
from sed_cli.system.text import and_more

log = logging.getLogger(__name__)

_SHOWN_FAULTS = 10
_SHOWN_CHARACTERS = 40


class Event(NamedTuple):
    """A sound event: annotated or detected."""

    onset_s: float
    offset_s: float
    label: str


class Detection(NamedTuple):
    """A detected event with its confidence in [0, 1]; times in seconds."""

    onset_s: float
    offset_s: float
    label: str
    confidence: float

    @property
    def event(self) -> Event:
        """The event without its confidence."""
        return Event(self.onset_s, self.offset_s, self.label)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Detections in a recording, or in one channel of it.

    Args:
        detections: in order of onset.
        path: of the recording, absolute; ``None`` if it is not a file.
        duration_s: length of the recording in seconds.
        band_hz: lowest and highest frequency of the features; ``None`` if unknown.
        channel: of the recording, from 1.
    """

    detections: Sequence[Detection]
    path: Path | None = None
    duration_s: float = 0.0
    band_hz: tuple[float, float] | None = None
    channel: int = 1

    @property
    def events(self) -> list[Event]:
        """Its events without confidences."""
        return [detection.event for detection in self.detections]


class Row(NamedTuple):
    """One row of an annotation file.

    ``event`` is ``None`` if the row marks the recording as without events, ``line`` is ``None`` if
    the format has no lines. ``annotated``: classes annotated in the recording, ``None`` if the row
    does not list them.
    """

    filename: str
    event: Event | None
    line: int | None
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Fault:
    """A fault in an annotation file.

    ``repair`` describes the repair of ``data.strict=false``; ``None``: there is no safe one.
    """

    path: Path
    line: int | None
    message: str
    repair: str | None = None

    @property
    def place_and_message(self) -> str:
        """The fault without its file: ``line 7: ...``."""
        return self.message if self.line is None else f"line {self.line}: {self.message}"

    def __str__(self) -> str:
        place = "" if self.line is None else f", line {self.line}"
        return f"{self.path}{place}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """How an annotation file was interpreted, for printing and logging.

    Args:
        columns: our names (filename, onset, ...) with those of the file's header, or with ``column
            3`` if it has none; empty if the format fixes them.
        time_unit: s, ms, us, min, h or samples.
        numbers: notation of times, if it is not a decimal point.
        others: our names with further columns of the file that would also fit.
        notes: guesses that affect events or recordings, each with its count.
    """

    columns: tuple[tuple[str, str], ...] = ()
    time_unit: str = "s"
    numbers: str = ""
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing was guessed: seconds, and no choice between columns."""
        return self.time_unit == "s" and not (self.others or self.notes)

    def __str__(self) -> str:
        """One line, such as ``onset=start_min (min), event_label=event (or species)``."""
        others = dict(self.others)
        parts = []
        for ours, theirs in self.columns:
            unit = f" ({self.time_unit})"
            if ours != "onset" or theirs.endswith(unit):
                unit = ""
            also = f" (or {', '.join(map(_cut, others[ours][:5]))})" if ours in others else ""
            parts.append(f"{ours}={_cut(theirs)}{unit}{also}")
        if not self.columns:
            parts.append(f"times in {self.time_unit}")
        if self.numbers:
            parts.append(self.numbers)
        return "; ".join([", ".join(parts), *self.notes])


def _cut(name: str) -> str:
    """A column's name, cut if it is too long."""
    return name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}..."


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The contents of an annotation file.

    If ``names_files`` is false, the file belongs to one recording without naming it: the only key
    is then the stem of the annotation file, to be matched with audio of the same stem. The rows are
    already repaired according to the faults, and ``taken`` describes their interpretation. ``hint``
    names a setting in case that recording does not exist; ``is_unlabelled``: no event had a label,
    and all got the same one.
    """

    path: Path
    format: str
    names_files: bool
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]
    taken: Taken = Taken()
    hint: str = ""
    is_unlabelled: bool = False

    @property
    def events(self) -> dict[str, list[Event]]:
        """Events of each recording by onset; recordings in the order of the file."""
        events: dict[str, list[Event]] = {}
        for row in self.rows:
            of_file = events.setdefault(row.filename, [])
            if row.event is not None:
                of_file.append(row.event)
        return {name: sorted(of_file) for name, of_file in events.items()}


def check_faults(faults: Iterable[Fault], *, strict: bool) -> None:
    """Reject faults, or report their repairs.

    Args:
        faults: of any number of files.
        strict: reject all; else warn about repaired ones and reject only the others.

    Raises:
        DataError: one for all remaining faults, the first ones with file and line.
    """
    faults = list(faults)
    if not strict:
        repaired = [fault for fault in faults if fault.repair is not None]
        for fault in repaired[:_SHOWN_FAULTS]:
            log.warning("%s: %s", fault, fault.repair)
        if len(repaired) > _SHOWN_FAULTS:
            log.warning("and %d more repairs of this kind", len(repaired) - _SHOWN_FAULTS)
        faults = [fault for fault in faults if fault.repair is None]
    if not faults:
        return
    shown = [
        f"{path}: " + "; ".join(fault.place_and_message for fault in of_file)
        for path, of_file in groupby(faults[:_SHOWN_FAULTS], key=lambda fault: fault.path)
    ]
    more = and_more(len(faults), _SHOWN_FAULTS)
    repairs = sorted({fault.repair for fault in faults if fault.repair is not None})
    advice = f"; correct this, or set data.strict=false: {', '.join(repairs)}" if repairs else ""
    raise DataError("; ".join(shown) + more + advice)
