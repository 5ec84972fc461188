"""How late a decoder's times are on validation, so that it can report them without that bias."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sed_cli.data.annotations import Event

_ENOUGH = 20  # minimum number of found events
_SURE = 2.0  # standard errors that a median must be from 0 to be more than noise


class Lateness(NamedTuple):
    """Seconds by which detected onsets and offsets are late; negative: early."""

    onset_s: float = 0.0
    offset_s: float = 0.0


ON_TIME = Lateness()


def lateness(pairs: Iterable[tuple[Sequence[Event], Sequence[Event]]]) -> Lateness:
    """Median errors of the times of events that were found.

    An annotated event is found if one of its class covers more than half of it. An error that is
    within noise, or of fewer than 20 events, is 0.

    Args:
        pairs: annotated and detected events of each recording.
    """
    errors = [error for annotated, detected in pairs for error in _errors(annotated, detected)]
    if len(errors) < _ENOUGH:
        return ON_TIME
    values = np.array(errors)  # (n, 2)
    medians = np.median(values, axis=0)
    spread = np.median(np.abs(values - medians), axis=0) / 0.6745  # a normal one's deviation
    noise = np.sqrt(np.pi / 2 / len(values)) * spread  # standard error of a normal one's median
    onset_s, offset_s = np.where(np.abs(medians) > _SURE * noise, medians, 0.0).round(5).tolist()
    return Lateness(onset_s, offset_s)


def _errors(annotated: Sequence[Event], detected: Sequence[Event]) -> Iterable[tuple[float, float]]:
    """Detected minus annotated onset and offset of each found event.

    Detected events of a class do not overlap, so that at most one covers more than half of another.
    """
    of_class: dict[str, list[Event]] = {}
    for found in sorted(detected):
        of_class.setdefault(found.label, []).append(found)
    ends = {label: [found.offset_s for found in of] for label, of in of_class.items()}
    for event in annotated:
        half = (event.offset_s - event.onset_s) / 2
        first = bisect_right(ends.get(event.label, []), event.onset_s)
        own = of_class.get(event.label, [])
        for found in own[first : bisect_left(own, event.offset_s, key=lambda one: one.onset_s)]:
            shared = min(event.offset_s, found.offset_s) - max(event.onset_s, found.onset_s)
            if shared > half:
                yield found.onset_s - event.onset_s, found.offset_s - event.offset_s
                break
