"""Annotated times held against the recordings: in their seconds, and not behind their ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from sed_cli.data.annotations import Event, Fault, Row, likely_unit
from sed_cli.data.manifest import Clip

_SLACK_S = 0.1  # annotations may pass the end of a recording by rounding, not by more


@dataclass
class Times:
    """Annotated times held against the lengths of the recordings, of all splits together.

    Args:
        unit: ``data.time_unit``.
    """

    unit: str
    _late: list[Fault] = field(default_factory=list)
    _seen: list[tuple[list[Event], float, float]] = field(default_factory=list)
    _first: Path = Path()

    def in_seconds(self, one: Clip, length_s: float, rate: float, *, is_whole: bool) -> Clip:
        """Take note of a recording's events; where they count samples, convert them.

        Of a recording that breaks off, events may lie behind its end in any unit.
        """
        if self.unit == "samples":
            return replace(one, rows=tuple(_in_seconds(row, rate) for row in one.rows))
        if not is_whole:
            return one
        if not self._seen:
            self._first = one.annotations
        self._seen.append(([row.event for row in one.rows if row.event], length_s, rate))
        return one

    @property
    def faults(self) -> list[Fault]:
        """One where the times are in another unit, else one an event."""
        if self.unit == "auto" and self._seen:
            remedy = likely_unit(*zip(*self._seen, strict=True))
            if remedy is not None:
                return [Fault(self._first, None, remedy)]
        return self._late

    def within(self, one: Clip, length_s: float) -> list[Event]:
        """Cut a recording's events at its end; more than rounding beyond it is a fault."""
        events = []
        for row in one.rows:
            event = row.event
            if event is None:
                continue
            beyond_s = (event.onset_s if event.onset_s >= length_s else event.offset_s) - length_s
            if _SLACK_S <= beyond_s < math.inf:  # to infinity: a label of the whole recording
                outside = event.onset_s >= length_s
                self._late.append(
                    Fault(
                        one.annotations,
                        row.line,
                        f"{one.name} lasts {length_s:.3f} s, but {event.label} is annotated "
                        f"{f'at {event.onset_s:.3f}' if outside else f'to {event.offset_s:.3f}'} s",
                        "the event is dropped" if outside else "it is cut there",
                    )
                )
            if event.onset_s < length_s:
                events.append(event._replace(offset_s=min(event.offset_s, length_s)))
        return events


def _in_seconds(row: Row, rate: float) -> Row:
    if row.event is None:
        return row
    onset_s, offset_s = (round(time / rate, 9) for time in row.event[:2])
    return row._replace(event=Event(onset_s, offset_s, row.event.label))
