"""Outcome of each event: hit, wrong boundary, confused or missed.

Hits are those of event-based scores (onset within the collar, offset within the larger of the
collar and half of the event's length), as many as sed_eval counts. The kinds of errors among
the rest are for reading, not for scoring: they describe what a person would see in the two lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import COLLAR_S, OFFSET_SHARE, SLACK_S

HIT, ONSET, OFFSET, BOTH, CONFUSED, MISSED, INSERTED = OUTCOMES = (
    "hit",
    "onset",  # of the class, but the onset is outside the collar
    "offset",
    "both",
    "confused",  # an event of another class overlaps it
    "missed",
    "inserted",
)

_SHARED = 0.5  # minimum overlap of confused events, as a share of the shorter one


class Fate(NamedTuple):
    """Outcome of an event, and the index of its partner on the other side, if any."""

    outcome: str
    partner: int | None = None


class _Match(NamedTuple):
    reference: int
    estimate: int
    overlap_s: float
    onset_fits: bool
    offset_fits: bool
    same_label: bool


def event_outcomes(
    reference: Sequence[Event], estimate: Sequence[Event], collar_s: float = COLLAR_S
) -> tuple[list[Fate], list[Fate]]:
    """Pair the events of a recording, each with at most one of the other side.

    Args:
        reference: annotated events.
        estimate: detected events.
        collar_s: seconds that an event may be off.

    Returns:
        Outcomes of annotated and of detected events, in order. The partner of a hit matches by
        sed_eval's rules; an event with a wrong boundary overlaps one of its own class; a confused
        one shares half of the shorter event with one of another class.
    """
    of_reference = [Fate(MISSED)] * len(reference)
    of_estimate = [Fate(INSERTED)] * len(estimate)
    pairs = list(_pairs(reference, estimate, collar_s + SLACK_S))

    def settle(pair: _Match, outcome: str) -> None:
        of_reference[pair.reference] = Fate(outcome, pair.estimate)
        of_estimate[pair.estimate] = Fate(outcome, pair.reference)

    hits = [pair for pair in pairs if pair.same_label and pair.onset_fits and pair.offset_fits]
    for pair in _most_pairs(hits, len(reference), len(estimate)):
        settle(pair, HIT)

    def settle_by_overlap(fits: Callable[[_Match], bool], outcome: Callable[[_Match], str]) -> None:
        for pair in sorted(filter(fits, pairs), key=lambda pair: -pair.overlap_s):
            free = of_reference[pair.reference].partner is None
            if free and of_estimate[pair.estimate].partner is None:
                settle(pair, outcome(pair))

    settle_by_overlap(lambda pair: pair.same_label and pair.overlap_s > 0, _wrong_boundary)
    settle_by_overlap(
        lambda pair: (
            not pair.same_label
            and pair.overlap_s
            >= _SHARED * min(_length(reference[pair.reference]), _length(estimate[pair.estimate]))
        ),
        lambda pair: CONFUSED,
    )
    return of_reference, of_estimate


def _length(event: Event) -> float:
    return event.offset_s - event.onset_s


def _wrong_boundary(pair: _Match) -> str:
    if pair.onset_fits:
        # Both may match: then another event was the better partner, and one was split in two.
        return OFFSET
    return ONSET if pair.offset_fits else BOTH


def _pairs(
    reference: Sequence[Event], estimate: Sequence[Event], collar_s: float
) -> Iterator[_Match]:
    """Yield all pairs that might be related."""
    order = np.argsort([event.onset_s for event in estimate], kind="stable")
    onsets = np.array([estimate[index].onset_s for index in order], dtype=np.float64)
    longest_s = max((_length(event) for event in estimate), default=0.0)
    for index, event in enumerate(reference):
        first = np.searchsorted(onsets, event.onset_s - max(longest_s, collar_s))
        last = np.searchsorted(onsets, max(event.offset_s, event.onset_s + collar_s), "right")
        for other in order[first:last].tolist():
            pair = _pair(index, event, other, estimate[other], collar_s)
            if pair.overlap_s > 0 or pair.onset_fits:
                yield pair


def _pair(index: int, event: Event, other: int, found: Event, collar_s: float) -> _Match:
    room_s = max(collar_s, OFFSET_SHARE * _length(event))
    return _Match(
        reference=index,
        estimate=other,
        overlap_s=min(event.offset_s, found.offset_s) - max(event.onset_s, found.onset_s),
        onset_fits=abs(event.onset_s - found.onset_s) <= collar_s,
        offset_fits=abs(event.offset_s - found.offset_s) <= room_s,
        same_label=event.label == found.label,
    )


def _most_pairs(pairs: Sequence[_Match], n_reference: int, n_estimate: int) -> Iterator[_Match]:
    """Choose as many pairs as possible so that no event is in two of them."""
    if not pairs:
        return
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    by_place = {(pair.reference, pair.estimate): pair for pair in pairs}
    rows, columns = np.array(list(by_place), dtype=np.int32).T
    fits = csr_array((np.ones(len(rows), np.int8), (rows, columns)), (n_reference, n_estimate))
    for row, column in enumerate(maximum_bipartite_matching(fits, perm_type="column").tolist()):
        if column >= 0:
            yield by_place[row, column]


def frame_confusions(
    reference: NDArray[np.uint8], estimate: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Frames in which one class was missed and another inserted: (C missed, C inserted).

    As in frame-based scores: a frame with m missed and i inserted classes has min(m, i)
    substitutions. If m or i is above one, the pairing is unknown, so they are distributed evenly;
    the sum over all is the number of substitutions.

    Args:
        reference: (T, C), 0 or 1.
        estimate: (T, C).
    """
    truth = reference.astype(bool)
    missed, inserted = (truth & ~estimate).astype(float), (estimate & ~truth).astype(float)
    n_missed, n_inserted = missed.sum(axis=1), inserted.sum(axis=1)
    weight = np.minimum(n_missed, n_inserted) / np.maximum(n_missed * n_inserted, 1.0)
    confusions: NDArray[np.float64] = (missed * weight[:, None]).T @ inserted
    return confusions
