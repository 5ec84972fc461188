"""Checks of annotated times against recordings: their unit and the end of the recording."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from sed_cli.data.annotations import Event, Fault, Row, likely_unit
from sed_cli.data.annotations.numbers import END_DIGITS
from sed_cli.data.annotations.units import SAMPLES, UNITS_S, OtherUnit
from sed_cli.data.manifest import Clip

_SLACK_S = 0.1  # annotations may exceed the end of a recording only by rounding


@dataclass
class Times:
    """Checks of annotated times against the lengths of recordings, over all splits.

    Args:
        unit: ``data.time_unit``.
    """

    unit: str
    guessed: str | None = field(default=None, init=False)
    _late: list[Fault] = field(default_factory=list)
    _seen: list[tuple[list[Event], float, float]] = field(default_factory=list)
    _first: Path = Path()
    _other: OtherUnit | None = field(default=None, init=False)

    def look_at(self, one: Clip, length_s: float, rate: float, *, is_whole: bool) -> None:
        """Record the events of a recording.

        Events may lie after the end of a truncated recording in any unit.
        """
        if one.in_samples or not is_whole:
            return
        if not self._seen:
            self._first = one.annotations
        timed = [row.event for row in one.rows if row.event and row.event.offset_s < math.inf]
        self._seen.append((timed, length_s, rate))

    def settle(self) -> str | None:
        """Decide the unit of times for all recordings together; return a note on a guess."""
        if self.unit != "auto" or not self._seen:
            return None
        self._other = likely_unit(*zip(*self._seen, strict=True))
        if self._other is None or self._other.unit is None:
            return None
        self.guessed = self._other.unit
        return f"{self._other.message.replace('; set', ', and are read as such:')} (or s)"

    def in_seconds(self, one: Clip, rate: float) -> Clip:
        """Convert a recording's events to seconds."""
        if one.in_samples or self.guessed == SAMPLES:
            unit_s = 1.0 / rate
        elif self.guessed is not None:
            unit_s = UNITS_S[self.guessed]
        else:
            return one
        rows = tuple(_in_seconds(row, unit_s) for row in one.rows)
        return replace(one, rows=rows, in_samples=False)

    @property
    def faults(self) -> list[Fault]:
        """One fault if the times are in another, unknown unit, else one per event."""
        if self._other is not None and self._other.unit is None:
            return [Fault(self._first, None, self._other.message)]
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


def _in_seconds(row: Row, unit_s: float) -> Row:
    if row.event is None:
        return row
    onset_s, offset_s = (round(time * unit_s, END_DIGITS) for time in row.event[:2])
    return row._replace(event=Event(onset_s, offset_s, row.event.label))
