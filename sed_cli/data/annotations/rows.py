"""From fields to events: the checks and repairs that all formats share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sed_cli.data.annotations.events import Annotations, Event, Fault, Row, Taken
from sed_cli.data.annotations.nothing import NOTHING, is_at_zero, is_no_call, is_nothing
from sed_cli.data.annotations.numbers import END_DIGITS, Numbers
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import SAMPLES, UNITS_S
from sed_cli.system.text import fault_of_label, plain

_DROPPED = "the row is dropped"
UNLABELLED = "call"  # the class of events that nobody gave a label
SOFT_MAX = 1 + 1e-6  # MAESTRO has sums of weights that pass 1 by rounding
_TOUCHING_S = 1e-6  # soft segments nearer than this follow one another
_LONGEST_NAME = 255  # bytes, of a part of a path; no file system in use has longer ones
_SHOWN = 80  # characters of a field in a message


@dataclass(frozen=True)
class ReadOptions:
    """What the caller of a reader may set; see :func:`read_annotations`."""

    columns: dict[str, str] = field(default_factory=dict)
    event_duration_s: float | None = None
    soft_threshold: float = 0.5
    whole_clips: bool = False
    time_unit: str | None = None
    decimal_mark: str | None = None
    soft_labels: bool | None = None
    unlabelled: str | None = None
    unknown_label: str | None = None


class RowCollector:
    """Takes the fields of one row after another, and keeps the rows and all their faults.

    Args:
        text: the file; its encoding faults are kept.
        options: the caller's.
        lasting: whether rows give a duration in place of an offset.
        points: whether an offset equal to its onset marks a point in time, as Audacity's labels do.
        numbers: how times are written.
        units: of the onsets, and of the offsets or durations; those of the options go before them.
    """

    def __init__(
        self,
        text: Text,
        options: ReadOptions,
        *,
        lasting: bool = False,
        points: bool = False,
        numbers: Numbers | None = None,
        units: tuple[str | None, str | None] = (None, None),
    ) -> None:
        self.path: Path = text.path
        self.place = ""  # what stands before the messages of faults, where there are no lines
        self.rows: list[Row] = []
        self.faults: list[Fault] = list(text.faults)
        self._options = options
        self.lasting = lasting
        self._points = points or options.event_duration_s is not None
        self._numbers = numbers or Numbers(options.decimal_mark or ".")
        onset_unit, end_unit = (options.time_unit or unit or "s" for unit in units)
        self.time_unit = onset_unit
        self._onset_unit_s, self._end_unit_s = (UNITS_S.get(u, 1.0) for u in (onset_unit, end_unit))
        self._seen: dict[str, set[Event]] = {}
        self._notes: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._lines_of_points: list[int | None] = []
        self._has_labels = False
        self._unlabelled: list[tuple[str, int | None, str, str, str]] = []

    def fault(
        self,
        line: int | None,
        message: str,
        repair: str | None = _DROPPED,
        *,
        filename: str | None = None,
    ) -> None:
        """Keep a fault; unless said otherwise its row, of the recording named, is left out."""
        if filename and repair == _DROPPED:
            self._dropped.setdefault(filename, len(self.faults))
        self.faults.append(Fault(self.path, line, self.place + message, repair))

    @property
    def mark(self) -> str:
        """The decimal mark of the file."""
        return self._numbers.mark

    def note(self, what: str, n: int = 1) -> None:
        """Count something that was guessed, to be printed."""
        self._notes[what] = self._notes.get(what, 0) + n

    def empty(self, filename: str, line: int | None = None) -> None:
        """Take a row that says that a recording has no events."""
        self.rows.append(Row(filename, None, line))

    def add(self, line: int | None, filename: str, onset: str, end: str, label: str) -> None:
        """Take a row; ``end`` is its offset or its duration, empty where it has neither."""
        if not filename:
            return self.fault(line, "no file name")
        if label in NOTHING and (is_nothing(onset, end) or is_at_zero(onset, end)):
            if onset or end or label:
                self.note(f"rows of {label or onset or end}, read as recordings without events")
            return self._keep_empty(line, filename)
        self._has_labels |= bool(label)
        if onset and not label:
            return self._unlabelled.append((self.place, line, filename, onset, end))
        if not (onset and label):
            return self._is_empty(line, filename, onset, end, label)
        try:
            onset_s = self.seconds(onset, self._onset_unit_s)
            end_s = self.seconds(end, self._end_unit_s) if end and end not in NOTHING else None
        except ValueError:
            return self.fault(line, self._no_number(onset, end), filename=filename)
        return self.add_times(line, filename, onset_s, end_s, label)

    def _is_empty(self, line: int | None, filename: str, onset: str, end: str, label: str) -> None:
        what = "duration" if self.lasting else "offset"
        empty = f"onset {_short(onset)}, {what} {_short(end)}, label {_short(label)}"
        self.fault(line, f"{empty}: one is empty", filename=filename)

    def add_times(
        self, line: int | None, filename: str, onset_s: float, end_s: float | None, label: str
    ) -> None:
        """Take a row whose times are numbers of seconds."""
        if label[0] in "nN" and is_no_call(label):
            self.note(f"rows labelled {label}, read as recordings without events")
            return self._keep_empty(line, filename)
        if end_s is None:
            offset_s = onset_s
        elif self.lasting:
            offset_s = round(onset_s + end_s, END_DIGITS)
        else:
            offset_s = end_s
        if not (0 <= onset_s < offset_s < math.inf):
            return self._odd_times(line, filename, onset_s, end_s, offset_s, label)
        return self._keep(line, filename, Event(onset_s, offset_s, label))

    def add_unknown(self, line: int | None, filename: str, onset: str, end: str) -> None:
        """Take a span that the annotator could not identify; its recording is kept in any case."""
        if self._options.unknown_label is None:
            self.note("spans of unknown content, not counted as events")
            return self._keep_empty(line, filename)
        self.note("spans of unknown content, neither an event nor silence")
        return self.add(line, filename, onset, end, self._options.unknown_label)

    def add_whole(self, line: int | None, filename: str, label: str) -> None:
        """Take a label of a whole recording, however long that is."""
        if not filename:
            return self.fault(line, "no file name")
        if label in NOTHING or is_no_call(label):
            self.note(f"rows labelled {label}, read as recordings without events")
            return self._keep_empty(line, filename)
        return self._keep(line, filename, Event(0.0, math.inf, label))

    def annotated(self, line: int | None, classes: Sequence[str]) -> None:
        """Note which classes the recording of the last row is annotated for, if that was taken."""
        if self.rows and self.rows[-1].line == line:
            self.rows[-1] = self.rows[-1]._replace(annotated=tuple(classes))

    def is_active(self, line: int | None, filename: str, soft_label: str) -> bool:
        """Whether a soft label, from 0 to 1, is above the threshold; its recording is kept."""
        try:
            # From 0 to 1 no comma separates thousands.
            value = Numbers().read(soft_label.replace(",", "."))
        except ValueError:
            value = math.nan
        threshold = self._options.soft_threshold
        if value > threshold and value <= SOFT_MAX:
            return True
        if not 0 <= value <= SOFT_MAX:
            got = f"soft label {_short(soft_label)}"
            self.fault(line, f"{got}: expected a number from 0 to 1", filename=filename)
            return False
        self.note(f"soft labels of at most {threshold:g}, which are not events")
        if filename not in self._seen:
            self._keep_empty(line, filename)
            self._seen.setdefault(filename, set())
        return False

    def finish(
        self,
        format: str,
        *,
        names_files: bool,
        taken: Taken | None = None,
        hint: str = "",
    ) -> Annotations:
        """The annotations, with the faults in order of their lines."""
        is_unlabelled = self._label_the_unlabelled()
        self.place = ""
        self._say_points()
        self._say_lost()
        if not self.rows and not any(map(_costs_rows, self.faults)):
            if not names_files:
                self.empty(self.path.stem)
            else:
                self.fault(None, "no rows", None)
        self.faults.sort(key=lambda fault: fault.line or 0)
        notes = tuple(f"{what}: {n}" for what, n in self._notes.items())
        taken = taken or Taken(time_unit=self.time_unit)
        return Annotations(
            path=self.path,
            format=format,
            names_files=names_files,
            rows=tuple(self.rows),
            faults=tuple(self.faults),
            taken=replace(taken, numbers=str(self._numbers), notes=(*taken.notes, *notes)),
            hint=hint,
            is_unlabelled=is_unlabelled,
        )

    def _label_the_unlabelled(self) -> bool:
        """Make one class of events without labels, where none has one; else they are faults."""
        is_one_class = bool(self._unlabelled) and not self._has_labels
        label = self._options.unlabelled or UNLABELLED
        for place, line, filename, onset, end in self._unlabelled:
            self.place = place
            if is_one_class:
                self.add(line, filename, onset, end, label)
            elif self._options.unknown_label is None:
                self._is_empty(line, filename, onset, end, "")
            else:
                message = f"onset {_short(onset)}: the label is empty, but other rows have one"
                self.fault(line, message, "the span counts as unknown")
                self.add(line, filename, onset, end, self._options.unknown_label)
        if is_one_class:
            what = f"files whose events have no labels, assigned to the class {label}"
            self.note(what, len(self._unlabelled))
        if self._unlabelled:
            self.rows.sort(key=lambda row: row.line or 0)
        return is_one_class

    def _say_points(self) -> None:
        if not self._lines_of_points:
            return
        n_points, first = len(self._lines_of_points), self._lines_of_points[0]
        where = "" if first is None else f", the first in line {first}"
        advice = "set data.event_duration_s to the seconds that an event lasts"
        if self.time_unit == SAMPLES:
            advice = "expected both in samples"
        self.fault(None, f"{n_points} rows have an onset but no duration{where}; {advice}", None)

    def _say_lost(self) -> None:
        """Say of recordings without any row left that they go with their rows."""
        kept = {row.filename for row in self.rows}
        for filename, i in self._dropped.items():
            if filename not in kept:
                repair = f"{_DROPPED}, and {_short(filename)} with it, which has no other"
                self.faults[i] = replace(self.faults[i], repair=repair)

    def _keep_empty(self, line: int | None, filename: str) -> None:
        if filename in self._seen or self._is_name(line, filename):
            self.empty(filename, line)

    def _is_name(self, line: int | None, filename: str) -> bool:
        """Whether a file can be called so; else it is a fault."""
        if len(filename) > _SHOWN or not filename.isprintable():
            parts = re.split(r"[/\\]", filename)
            longest = max(len(part.encode(errors="replace")) for part in parts)
            if longest > _LONGEST_NAME or not _is_text(filename):
                what = f"the file name {_short(filename)} has {longest} bytes"
                self.fault(line, f"{what}: no file can be called so")
                return False
        return True

    def _keep(self, line: int | None, filename: str, event: Event) -> None:
        seen = self._seen.get(filename)
        if seen is None:
            if not self._is_name(line, filename):
                return None
            seen = self._seen[filename] = set()
        if event in seen:
            return self.fault(line, "the same event is listed twice")
        if not (event.label.isprintable() or _is_text(event.label)):
            message = f"label {_short(event.label)}: half a character, which is not text"
            return self.fault(line, message, filename=filename)
        if event.label != (neutral := plain(event.label)):
            self.note("labels with control characters, which are written out")
            return self._keep(line, filename, event._replace(label=neutral))
        if fault := fault_of_label(event.label):
            return self.fault(line, f"label {_short(event.label)}: {fault}", filename=filename)
        seen.add(event)
        self.rows.append(Row(filename, event, line))
        return None

    def seconds(self, text: str, unit_s: float = 1.0) -> float:
        """Read a time in a unit, or a clock time.

        Raises:
            ValueError: if it is neither.
        """
        if self._numbers.mark == "." and "_" not in text:
            try:  # nearly all are written so
                time = float(text)
            except ValueError:
                pass
            else:
                return time if unit_s == 1.0 else round(time * unit_s, END_DIGITS)
        if self.time_unit == SAMPLES and ":" in text:
            raise ValueError(text)
        return self._numbers.seconds(text, unit_s)

    def _no_number(self, onset: str, end: str) -> str:
        what = "duration" if self.lasting else "offset"
        unit = "samples" if self.time_unit == SAMPLES else "seconds"
        mark = {".": "point", ",": "comma"}[self._numbers.mark]
        other = "," if self._numbers.mark == "." else "."
        hint = f"; expected a decimal {mark}" if other in onset + end else ""
        if ":" in onset + end:
            hint = "; clock times are read as minutes:seconds or hours:minutes:seconds, below 60"
        return f"onset {_short(onset)} or {what} {_short(end)} is not a number of {unit}{hint}"

    def _odd_times(
        self,
        line: int | None,
        filename: str,
        onset_s: float,
        end_s: float | None,
        offset_s: float,
        label: str,
    ) -> None:
        what, end = ("duration", end_s) if self.lasting else ("offset", offset_s)
        times = (
            f"onset {onset_s:.10g}, {what} {end:.10g}"
            if end_s is not None
            else f"onset {onset_s:.10g}"
        )
        if onset_s < 0 < offset_s < math.inf:
            self.fault(line, f"{times}: negative", "the onset becomes 0")
            self._keep(line, filename, Event(0.0, offset_s, label))
        elif not (0 <= onset_s < math.inf and math.isfinite(offset_s)):
            message = f"{times}: expected finite times of at least 0 s"
            self.fault(line, message, filename=filename)
        elif onset_s == offset_s and (self._points or end_s is None):
            if self._options.event_duration_s is None or self.time_unit == SAMPLES:
                self._lines_of_points.append(line)
            else:
                offset_s = round(onset_s + self._options.event_duration_s, END_DIGITS)
                self._keep(line, filename, Event(onset_s, offset_s, label))
        elif self.lasting:
            message = f"{times}: expected a duration above 0"
            self.fault(line, message, filename=filename)
        else:
            message = f"offset {offset_s:.10g} is not after onset {onset_s:.10g}"
            self.fault(line, message, filename=filename)


def _costs_rows(fault: Fault) -> bool:
    return fault.repair is None or fault.repair.startswith(_DROPPED)


def _short(field: str) -> str:
    """A field in quotation marks, cut where it would fill the message."""
    return repr(field if len(field) <= _SHOWN else f"{field[:_SHOWN]}...")


def _is_text(text: str) -> bool:
    """Whether characters can be written: JSON can hold halves of one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def times_of(event: Event) -> tuple[str, str]:
    """Onset and offset to the microsecond, the offset always after the onset."""
    return f"{event.onset_s:.6f}", f"{max(event.offset_s, event.onset_s + 1e-6):.6f}"


def join_touching(rows: list[Row]) -> list[Row]:
    """Join segments of a recording that follow one another with the same label into one event."""
    joined: list[Row] = []
    last: dict[tuple[str, str], int] = {}
    for row in sorted(rows, key=lambda row: row.event.onset_s if row.event else -1.0):
        if row.event is None:
            joined.append(row)
            continue
        key = (row.filename, row.event.label)
        before = joined[last[key]].event if key in last else None
        if before is not None and row.event.onset_s <= before.offset_s + _TOUCHING_S:
            offset_s = max(before.offset_s, row.event.offset_s)
            joined[last[key]] = joined[last[key]]._replace(event=before._replace(offset_s=offset_s))
        else:
            last[key] = len(joined)
            joined.append(row)
    return sorted(joined, key=lambda row: row.line or 0)
