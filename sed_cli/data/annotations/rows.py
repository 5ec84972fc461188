"""From fields to events: the checks and repairs that all formats share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from sed_cli.data.annotations.events import Annotations, Event, Fault, Row
from sed_cli.data.annotations.text import Text

_DROPPED = "the row is dropped"
SOFT_MAX = 1 + 1e-6  # MAESTRO has sums of weights that pass 1 by rounding
_TOUCHING_S = 1e-6  # soft segments nearer than this follow one another
END_DIGITS = 9  # of a sum of onset and duration: what is finer is floating point's


@dataclass(frozen=True)
class ReadOptions:
    """What the caller of a reader may set; see :func:`read_annotations`."""

    columns: dict[str, str] = field(default_factory=dict)
    event_duration_s: float | None = None
    soft_threshold: float = 0.5
    whole_clips: bool = False


class RowCollector:
    """Takes the fields of one row after another, and keeps the rows and all their faults.

    Args:
        text: the file; its encoding faults are kept.
        options: the caller's.
        lasting: whether rows give a duration in place of an offset.
        points: whether an offset equal to its onset marks a point in time, as Audacity's labels do.
        decimal_comma: whether times are written with a comma.
        units_s: seconds in the units of the onsets, and of the offsets or durations.
    """

    def __init__(
        self,
        text: Text,
        options: ReadOptions,
        *,
        lasting: bool = False,
        points: bool = False,
        decimal_comma: bool = False,
        units_s: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.path: Path = text.path
        self.place = ""  # what stands before the messages of faults, where there are no lines
        self.rows: list[Row] = []
        self.faults: list[Fault] = list(text.faults)
        self._options = options
        self._lasting = lasting
        self._points = points or options.event_duration_s is not None
        self._decimal_comma = decimal_comma
        self._onset_unit_s, self._end_unit_s = units_s
        self._seen: dict[str, set[Event]] = {}
        self._lines_of_points: list[int | None] = []

    def fault(self, line: int | None, message: str, repair: str | None = _DROPPED) -> None:
        """Keep a fault; unless said otherwise its row is left out."""
        self.faults.append(Fault(self.path, line, self.place + message, repair))

    def empty(self, filename: str, line: int | None = None) -> None:
        """Take a row that says that a recording has no events."""
        self.rows.append(Row(filename, None, line))

    def add(self, line: int | None, filename: str, onset: str, end: str, label: str) -> None:
        """Take a row; ``end`` is its offset or its duration, empty where it has neither."""
        if not filename:
            return self.fault(line, "no file name")
        if not (onset or end or label):
            return self.empty(filename, line)
        if not (onset and label):
            what = "duration" if self._lasting else "offset"
            empty = f"onset {onset!r}, {what} {end!r}, label {label!r}: one is empty"
            return self.fault(line, empty)
        try:
            onset_s = self.seconds(onset, self._onset_unit_s)
            end_s = self.seconds(end, self._end_unit_s) if end else None
        except ValueError:
            return self.fault(line, self._no_number(onset, end))
        return self.add_times(line, filename, onset_s, end_s, label)

    def add_times(
        self, line: int | None, filename: str, onset_s: float, end_s: float | None, label: str
    ) -> None:
        """Take a row whose times are numbers of seconds."""
        if end_s is None:
            offset_s = onset_s
        elif self._lasting:
            offset_s = round(onset_s + end_s, END_DIGITS)
        else:
            offset_s = end_s
        if not (0 <= onset_s < offset_s < math.inf):
            return self._odd_times(line, filename, onset_s, end_s, offset_s, label)
        return self._keep(line, filename, Event(onset_s, offset_s, label))

    def add_whole(self, line: int | None, filename: str, label: str) -> None:
        """Take a label of a whole recording, however long that is."""
        if not filename:
            return self.fault(line, "no file name")
        return self._keep(line, filename, Event(0.0, math.inf, label))

    def is_active(self, line: int | None, filename: str, soft_label: str) -> bool:
        """Whether a soft label, from 0 to 1, is above the threshold; its recording is kept."""
        try:
            value = self.seconds(soft_label)
        except ValueError:
            value = math.nan
        if value > self._options.soft_threshold and value <= SOFT_MAX:
            return True
        if not 0 <= value <= SOFT_MAX:
            self.fault(line, f"soft label {soft_label!r}: expected a number from 0 to 1")
        elif filename not in self._seen:
            self._seen[filename] = set()
            self.empty(filename, line)
        return False

    def finish(self, format: str, *, names_files: bool, may_be_empty: bool = False) -> Annotations:
        """The annotations, with the faults in order of their lines."""
        self.place = ""
        if self._lines_of_points:
            n_points, first = len(self._lines_of_points), self._lines_of_points[0]
            where = "" if first is None else f", the first in line {first}"
            message = (
                f"{n_points} rows have an onset but no duration{where}; "
                f"set data.event_duration_s to the seconds that an event lasts"
            )
            self.fault(None, message, None)
        if not self.rows and not self.faults:
            if not names_files:
                self.empty(self.path.stem)
            elif not may_be_empty:
                self.fault(None, "no rows", None)
        self.faults.sort(key=lambda fault: fault.line or 0)
        return Annotations(
            path=self.path,
            format=format,
            names_files=names_files,
            rows=tuple(self.rows),
            faults=tuple(self.faults),
        )

    def _keep(self, line: int | None, filename: str, event: Event) -> None:
        seen = self._seen.get(filename)
        if seen is None:
            seen = self._seen[filename] = set()
        if event in seen:
            return self.fault(line, "the same event stands there twice")
        seen.add(event)
        self.rows.append(Row(filename, event, line))
        return None

    def seconds(self, text: str, unit_s: float = 1.0) -> float:
        """Read a number in a unit of time.

        Raises:
            ValueError: if it is none.
        """
        if self._decimal_comma:
            text = text.replace(",", ".")
        if "_" in text:  # Python's, not a number's
            raise ValueError(text)
        time = float(text)
        return time if unit_s == 1.0 else round(time * unit_s, END_DIGITS)

    def _no_number(self, onset: str, end: str) -> str:
        what = "duration" if self._lasting else "offset"
        comma = "; expected a decimal point" if "," in onset + end else ""
        return f"onset {onset!r} or {what} {end!r} is no number of seconds{comma}"

    def _odd_times(
        self,
        line: int | None,
        filename: str,
        onset_s: float,
        end_s: float | None,
        offset_s: float,
        label: str,
    ) -> None:
        what, end = ("duration", end_s) if self._lasting else ("offset", offset_s)
        times = (
            f"onset {onset_s:.10g}, {what} {end:.10g}"
            if end_s is not None
            else f"onset {onset_s:.10g}"
        )
        if onset_s < 0 < offset_s < math.inf:
            self.fault(line, f"{times}: negative", "the onset becomes 0")
            self._keep(line, filename, Event(0.0, offset_s, label))
        elif not (0 <= onset_s < math.inf and math.isfinite(offset_s)):
            self.fault(line, f"{times}: expected finite times of at least 0 s")
        elif onset_s == offset_s and (self._points or end_s is None):
            if self._options.event_duration_s is None:
                self._lines_of_points.append(line)
            else:
                offset_s = round(onset_s + self._options.event_duration_s, END_DIGITS)
                self._keep(line, filename, Event(onset_s, offset_s, label))
        elif self._lasting:
            self.fault(line, f"{times}: expected a duration above 0")
        else:
            self.fault(line, f"offset {offset_s:.10g} is not after onset {onset_s:.10g}")


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
