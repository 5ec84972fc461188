"""Recordings and events held against the audio: what is missing, unreadable or too short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sed_cli.audio import duration_s
from sed_cli.data.annotations import Event, Fault
from sed_cli.data.listing import Listed
from sed_cli.errors import DataError

_SHOWN = 10
_SLACK_S = 0.1  # annotations may pass the end of a recording by rounding, not by more
_UNIT = 0.9  # of all events beyond the end: nobody annotates so, the times are in another unit
_MIN_BEYOND = 3  # events, before anything is said of all of them


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recording of a split, with its events of the classes in question.

    Args:
        name: as the set writes it.
        path: of the audio.
        duration_s: its length in seconds.
        events: in order of onset; none begins or ends after the recording.
    """

    name: str
    path: Path
    duration_s: float
    events: tuple[Event, ...]


class _Beyond(NamedTuple):
    """An event that begins after its recording has ended."""

    one: Listed
    event: Event
    length_s: float
    fault: Fault


def present(listed: Sequence[Listed]) -> tuple[list[Listed], list[Fault]]:
    """Return recordings that are there and can be opened, with their lengths, and what is not.

    A set is divided by these: a split drawn of missing recordings would be smaller than asked for.
    """
    missing = [one for one in listed if one.problem or not one.audio.is_file()]
    faults = _missing_audio("", missing, len(listed))
    left_out = {id(one) for one in missing}
    kept = []
    for one in listed:
        if id(one) in left_out:
            continue
        try:
            kept.append(replace(one, duration_s=duration_s(one.audio)))
        except DataError as error:
            faults.append(_unreadable(one, error))
    return kept, faults


class Lengths:
    """Looks at the audio of split after split, and keeps what does not fit.

    Args:
        classes: labels of the events that are kept.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = set(classes)
        self._faults: list[Fault] = []
        self._beyond: list[_Beyond] = []
        self._n_events = 0

    def look_at(self, split: str, listed: Sequence[Listed]) -> list[Entry]:
        """Return the recordings of a split that are there, with the events that fit in them."""
        missing = [one for one in listed if one.problem or not one.audio.is_file()]
        self._faults += _missing_audio(split, missing, len(listed))
        left_out = {id(one) for one in missing}
        entries = []
        for one in listed:
            if id(one) in left_out:
                continue
            try:
                length_s = one.duration_s if one.duration_s is not None else duration_s(one.audio)
            except DataError as error:
                self._faults.append(_unreadable(one, error))
                continue
            events = self._within(one, length_s)
            entries.append(
                Entry(
                    name=one.name,
                    path=one.audio,
                    duration_s=length_s,
                    events=tuple(sorted(e for e in events if e.label in self._classes)),
                )
            )
        return entries

    def faults(self) -> list[Fault]:
        """Return what does not fit; events that nearly all lie beyond the end are one fault."""
        n_beyond = len(self._beyond)
        if n_beyond < _MIN_BEYOND or n_beyond < _UNIT * self._n_events:
            return self._faults
        single = {id(beyond.fault) for beyond in self._beyond}
        kept = [fault for fault in self._faults if id(fault) not in single]
        return [*kept, _all_beyond(self._beyond, self._n_events)]

    def _within(self, one: Listed, length_s: float) -> list[Event]:
        """Cut a recording's events at its end; more than rounding beyond it is a fault."""
        events = []
        for row in one.rows:
            event = row.event
            if event is None:
                continue
            self._n_events += 1
            outside = event.onset_s >= length_s
            beyond_s = (event.onset_s if outside else event.offset_s) - length_s
            if _SLACK_S <= beyond_s < math.inf:  # to infinity: a label of the whole recording
                fault = Fault(
                    one.annotations,
                    row.line,
                    f"{one.name} lasts {length_s:.3f} s, but {event.label} is annotated "
                    f"{f'at {event.onset_s:.3f}' if outside else f'to {event.offset_s:.3f}'} s",
                    "the event is dropped" if outside else "it is cut there",
                )
                self._faults.append(fault)
                if outside:
                    self._beyond.append(_Beyond(one, event, length_s, fault))
            if event.onset_s < length_s:
                events.append(event._replace(offset_s=min(event.offset_s, length_s)))
        return events


def _all_beyond(beyond: Sequence[_Beyond], n_events: int) -> Fault:
    first = beyond[0]
    how_many = f"all {n_events}" if len(beyond) == n_events else f"{len(beyond)} of {n_events}"
    return Fault(
        first.one.annotations,
        first.fault.line,
        f"{how_many} events begin after the end of their recordings ({first.one.name} lasts "
        f"{first.length_s:.3f} s, but {first.event.label} is annotated at "
        f"{first.event.onset_s:.3f} s){_unit(beyond)}",
        "they are dropped",
    )


def _unit(beyond: Sequence[_Beyond]) -> str:
    """Say which unit would put all events inside their recordings."""
    for unit, word, seconds in (("ms", "milliseconds", 1e-3), ("us", "microseconds", 1e-6)):
        if all(each.event.onset_s * seconds < each.length_s for each in beyond):
            return f"; the times look like {word}: set data.time_unit={unit}"
    return ""


def _missing_audio(split: str, missing: Sequence[Listed], n_listed: int) -> list[Fault]:
    if not missing:
        return []
    shown = [one.problem or str(one.audio) for one in missing[:_SHOWN]]
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    where, key = (f" of the {split} split", f"data.{split}.audio") if split else ("", "data.audio")
    return [
        Fault(
            missing[0].annotations,
            missing[0].rows[0].line if missing[0].rows else None,
            f"{len(missing)} of {n_listed} annotated recordings{where} are missing: "
            f"{', '.join(shown)}{more}; check {key}",
            None if len(missing) == n_listed else "they are left out",
        )
    ]


def _unreadable(one: Listed, error: DataError) -> Fault:
    line = one.rows[0].line if one.rows else None
    return Fault(one.annotations, line, str(error), "the recording is left out")
