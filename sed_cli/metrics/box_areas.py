"""PSDS of one class without a library, from events with confidences (boxes).

Boxes are the same at all thresholds, so whether one is correct does not depend on the others,
and the curve of a class needs two sorts. Areas are those of sed_scores_eval for a class; over
classes it subtracts the standard deviation from their mean.

Source: Bilen et al. 2020, "A framework for the robust evaluation of sound event detection".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.metrics.curves import MAX_FP_PER_HOUR, SCENARIOS, merged

Values = NDArray[np.float64]

_APART_S = 1.0  # between recordings on the common time axis
_SLACK_S = 1e-6


@dataclass(frozen=True)
class Axis:
    """Annotated events of recordings, concatenated on one time axis.

    Attributes:
        starts_s: start of each recording.
        durations_s: its length.
        events: onsets and offsets of each class, disjoint (C, each (n, 2)).
    """

    starts_s: Values
    durations_s: Values
    events: Sequence[Values]

    @classmethod
    def of(
        cls, recordings: Sequence[tuple[Sequence[Event], float]], classes: Sequence[str]
    ) -> Axis:
        """Concatenate recordings, given as events and seconds."""
        durations_s = np.array([duration_s for _, duration_s in recordings])
        starts_s = np.cumsum(durations_s + _APART_S) - durations_s - _APART_S
        events = []
        for label in classes:
            own = [
                np.array(merged(reference, label)).reshape(-1, 2) + start_s
                for (reference, _), start_s in zip(recordings, starts_s, strict=True)
            ]
            events.append(np.concatenate(own) if own else np.empty((0, 2)))
        return cls(starts_s, durations_s, events)

    @property
    def hours(self) -> float:
        """Length of all recordings."""
        return float(self.durations_s.sum()) / 3600

    def covered(self, index: int, first_s: Values, after_s: Values) -> Values:
        """Seconds of each interval in which a class is annotated."""
        events = self.events[index]
        if not len(events):
            return np.zeros(len(first_s))
        lengths = events[:, 1] - events[:, 0]
        ends = np.cumsum(lengths)
        total = np.stack([ends - lengths, ends], axis=1).reshape(-1)
        times = events.reshape(-1)
        seconds: Values = np.interp(after_s, times, total) - np.interp(first_s, times, total)
        return seconds


class Found(NamedTuple):
    """Boxes of a class on the axis, in order of time and disjoint: seconds (n,)."""

    first_s: Values
    after_s: Values


class Judged(NamedTuple):
    """Boxes of a class in a scenario, independent of their confidences.

    Attributes:
        is_right: whether a box is within annotated events (n,).
        weight: effective false positives per hour of an incorrect box (n,).
        pairs: annotated event, correct box, and share of the event covered by the box (m,) each.
        n_events: number of annotated events.
        share: minimum covered share of an event.
    """

    is_right: NDArray[np.bool_]
    weight: Values
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], Values]
    n_events: int
    share: float


def judged(axis: Axis, index: int, found: Found, scenario: str) -> Judged:
    """Compare the boxes of a class with the annotations.

    Args:
        axis: annotated events.
        index: of the class.
        found: its boxes.
        scenario: one of :data:`sed_cli.metrics.curves.SCENARIOS`.
    """
    settings, events = SCENARIOS[scenario], axis.events[index]
    lengths = found.after_s - found.first_s
    inside = axis.covered(index, *found)
    is_right = inside >= settings["dtc_threshold"] * lengths - _SLACK_S
    weight = np.full(len(lengths), 1 / axis.hours)
    others = [k for k, of in enumerate(axis.events) if k != index and len(of)]
    if settings["alpha_ct"]:
        for other in others:
            hours = float((axis.events[other][:, 1] - axis.events[other][:, 0]).sum()) / 3600
            covered = axis.covered(other, *found)
            triggers = covered >= settings["cttc_threshold"] * lengths - _SLACK_S
            weight += settings["alpha_ct"] / len(others) * triggers / hours
    pairs = _overlaps(events, found, np.flatnonzero(is_right))
    return Judged(is_right, weight, pairs, len(events), settings["gtc_threshold"])


def _overlaps(
    events: Values, found: Found, right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Values]:
    first_s, after_s = found.first_s[right], found.after_s[right]
    low = np.searchsorted(after_s, events[:, 0], side="right")
    high = np.searchsorted(first_s, events[:, 1], side="left")
    n_each = np.maximum(high - low, 0)
    event = np.repeat(np.arange(len(events)), n_each)
    box = np.arange(len(event)) + np.repeat(low - (np.cumsum(n_each) - n_each), n_each)
    onset_s, offset_s = events[event].T
    seconds = np.minimum(after_s[box], offset_s) - np.maximum(first_s[box], onset_s)
    return event, right[box], seconds / np.maximum(offset_s - onset_s, _SLACK_S)


def area(of: Judged, confidence: Values, most_per_hour: float = MAX_FP_PER_HOUR) -> float:
    """The area under the PSD-ROC of a class, in [0, 1]; 0 if nothing is annotated.

    Args:
        of: its boxes.
        confidence: of these (n,).
        most_per_hour: upper limit of effective false positives in the area.
    """
    if not of.n_events:
        return 0.0
    found_at = np.sort(_found_at(of, confidence))
    wrong = np.flatnonzero(~of.is_right)
    wrong = wrong[np.argsort(-confidence[wrong])]
    rates = np.concatenate([[0.0], np.cumsum(of.weight[wrong]), [most_per_hour]])
    above = np.append(confidence[wrong], 0.0)
    ratio = 1 - np.searchsorted(found_at, above, side="right") / of.n_events
    return float(ratio @ np.diff(np.minimum(rates, most_per_hour))) / most_per_hour


def _found_at(of: Judged, confidence: Values) -> Values:
    """The highest threshold at which each annotated event is detected; 0: at none (n_events,)."""
    event, box, share = of.pairs
    order = np.lexsort((-confidence[box], event))
    event, share = event[order], share[order]
    n_each = np.bincount(event, minlength=of.n_events)
    covered = np.cumsum(share)
    before = np.append(0.0, covered)[np.cumsum(n_each) - n_each]
    enough = covered - before[event] >= of.share - _SLACK_S
    found_at = np.zeros(of.n_events)
    np.maximum.at(found_at, event[enough], confidence[box[order]][enough])
    return found_at
