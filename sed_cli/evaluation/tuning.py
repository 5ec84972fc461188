"""Thresholds and median filters of each class, found on the validation split for a stated metric.

Every pair of a threshold and a filter is tried by counting, without sed_eval: probabilities are
filtered once a length, then held against all thresholds at once. The counts are those of
:mod:`sed_cli.evaluation.metrics` for a single class, so what is tuned is what is reported.

Each class is tuned for its own F1, which is best for the mean over classes; the micro average, in
which classes mix, follows closely but is not what is maximised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.sets import Recording
from sed_cli.evaluation.metrics import COLLAR_S, OFFSET_SHARE, SEGMENTS_S
from sed_cli.inference import PostProcessing
from sed_cli.inference.postprocessing import PLAIN_THRESHOLD, mend_runs, runs, smoothed

THRESHOLDS: NDArray[np.float64] = np.linspace(0.02, 0.98, 49).round(2)  # 0.5 is one of them
LONGEST_FILTER_S = 1.0
_N_FILTERS = 7

Active = NDArray[np.bool_]  # (T, K): one class at K thresholds
Hits = tuple[NDArray[np.int64], NDArray[np.int64], int]
"""True positives (K,), what was found (K,), what is there."""


def filter_lengths(hop_s: float) -> list[int]:
    """Odd numbers of frames from 1 to about a second, in even ratios."""
    longest = max(3.0, LONGEST_FILTER_S / hop_s)
    halves = np.rint((np.geomspace(3.0, longest, _N_FILTERS) - 1) / 2).astype(int)
    return [1, *sorted({2 * int(half) + 1 for half in halves})]


def tune(
    recordings: Iterable[tuple[Recording, NDArray[np.floating]]],
    classes: Sequence[str],
    hop_s: float,
    metric: str,
    *,
    min_gap_s: float = 0.0,
    min_duration_s: float = 0.0,
) -> PostProcessing:
    """Find the threshold and the filter of each class with the highest F1 of ``metric``.

    Among equals the shortest filter and the threshold nearest to 0.5 are taken; a class of which
    nothing is annotated keeps 0.5 without a filter.

    Args:
        recordings: of the validation split, each with its probabilities (T, C); they are passed
            through once and not kept.
        classes: labels of the columns.
        hop_s: seconds from one frame to the next.
        metric: ``frame``, ``segment``, ``segment_100ms``, ``event`` or ``event_onset``.
        min_gap_s: as in :class:`PostProcessing`, in force while trying.
        min_duration_s: the same.
    """
    count, lengths = _COUNTERS[metric], filter_lengths(hop_s)
    mend = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
    n_classes = len(classes)
    true_positives = np.zeros((n_classes, len(lengths), len(THRESHOLDS)), dtype=np.int64)
    n_found = np.zeros_like(true_positives)
    n_reference = np.zeros(n_classes, dtype=np.int64)
    for recording, probabilities in recordings:
        activities = recording.activities[:].astype(bool)
        for index, label in enumerate(classes):
            own = [event for event in recording.events if event.label == label]
            truth = activities[:, index]
            for row, length in enumerate(lengths):
                filtered = smoothed(probabilities[:, index], length)
                active, column_of = _distinct(filtered)
                active = mend_runs(active, hop_s, recording.duration_s, **mend)
                hits = count(active, truth, own, hop_s, recording.duration_s)
                true_positives[index, row] += hits[0][column_of]
                n_found[index, row] += hits[1][column_of]
            n_reference[index] += hits[2]
    chosen = [
        _best(true_positives[index], n_found[index], int(n_reference[index]), lengths)
        for index in range(n_classes)
    ]
    return PostProcessing(
        thresholds=tuple(threshold for threshold, _ in chosen),
        filter_frames=tuple(length for _, length in chosen),
        tuned_for=metric,
        **mend,
    )


def _distinct(filtered: NDArray[np.floating]) -> tuple[Active, NDArray[np.intp]]:
    """Hold (T,) against all thresholds, once where several give the same; and which is whose.

    What is active only shrinks as the threshold rises, so equal numbers are equal frames.
    """
    active = filtered[:, None] > THRESHOLDS  # (T, K)
    is_new = np.diff(active.sum(axis=0), prepend=-1) != 0
    return active[:, is_new], np.cumsum(is_new) - 1


def _best(
    true_positives: NDArray[np.int64],
    n_found: NDArray[np.int64],
    n_reference: int,
    lengths: Sequence[int],
) -> tuple[float, int]:
    """Threshold and filter length with the highest F1, of counts (filters, thresholds)."""
    if not n_reference:
        return PLAIN_THRESHOLD, 1
    f1 = 2 * true_positives / (n_found + n_reference)
    row = int(np.flatnonzero(f1.max(axis=1) == f1.max())[0])
    ties = np.flatnonzero(f1[row] == f1.max())
    column = ties[np.abs(THRESHOLDS[ties] - PLAIN_THRESHOLD).argmin()]
    return float(THRESHOLDS[column]), lengths[row]


# ---------------------------------------------------------------------------- what is counted


class _Counter(Protocol):
    def __call__(
        self,
        active: Active,
        truth: NDArray[np.bool_],
        events: list[Event],
        hop_s: float,
        end: float,
    ) -> Hits: ...


def _frames(
    active: Active, truth: NDArray[np.bool_], events: list[Event], hop_s: float, end: float
) -> Hits:
    return active[truth].sum(axis=0), active.sum(axis=0), int(truth.sum())


def _segments(resolution_s: float) -> _Counter:
    def count(
        active: Active, truth: NDArray[np.bool_], events: list[Event], hop_s: float, end: float
    ) -> Hits:
        n_segments = int(np.ceil(end / resolution_s))
        reference = np.zeros(n_segments, dtype=np.bool_)
        for event in events:
            first = int(np.floor(event.onset_s / resolution_s))
            reference[first : int(np.ceil(event.offset_s / resolution_s))] = True
        found = _in_segments(active, n_segments, resolution_s / hop_s, end / hop_s)
        return found[reference].sum(axis=0), found.sum(axis=0), int(reference.sum())

    return count


def _in_segments(
    active: Active, n_segments: int, frames_each: float, n_frames: float
) -> NDArray[np.bool_]:
    """Mark segments (S, K) in which any frame of ``active`` lies, wholly or in part."""
    slack = 1e-9  # a frame that starts where a segment ends is not in it
    starts = np.arange(n_segments) * frames_each
    last = min(len(active), int(np.ceil(n_frames - slack)))  # frames past the end hold no event
    first = np.minimum(np.floor(starts + slack).astype(int), last)
    after = np.clip(np.ceil(starts + frames_each - slack).astype(int), first, last)
    total = np.concatenate([np.zeros((1, active.shape[1]), np.int64), active.cumsum(axis=0)])
    marked: NDArray[np.bool_] = total[after] > total[first]
    return marked


def _events(*, offsets: bool) -> _Counter:
    def count(
        active: Active, truth: NDArray[np.bool_], events: list[Event], hop_s: float, end: float
    ) -> Hits:
        reference = np.array([event[:2] for event in events]).reshape(-1, 2)
        found = [_intervals(column, hop_s, end) for column in active.T]
        n_hits = [_n_matched(reference, estimate, offsets=offsets) for estimate in found]
        return np.array(n_hits), np.array([len(estimate) for estimate in found]), len(events)

    return count


def _intervals(column: NDArray[np.bool_], hop_s: float, end_s: float) -> NDArray[np.float64]:
    first, after = runs(column)
    intervals = np.stack([first * hop_s, np.minimum(after * hop_s, end_s)], axis=1)
    return intervals[intervals[:, 1] > intervals[:, 0]]


def _n_matched(
    reference: NDArray[np.float64], estimate: NDArray[np.float64], *, offsets: bool
) -> int:
    """Most pairs of intervals (n, 2) and (m, 2) that match, each in one pair at most."""
    if not (len(reference) and len(estimate)):
        return 0
    match = np.abs(reference[:, None, 0] - estimate[None, :, 0]) <= COLLAR_S
    if offsets:
        collars = np.maximum(COLLAR_S, OFFSET_SHARE * np.diff(reference, axis=1))
        match &= np.abs(reference[:, None, 1] - estimate[None, :, 1]) <= collars
    if match.sum(axis=0).max() <= 1 and match.sum(axis=1).max() <= 1:
        return int(match.sum())  # nearly always: nothing to choose
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_array(match)) >= 0).sum())


_COUNTERS: dict[str, Any] = {
    "frame": _frames,
    "segment": _segments(SEGMENTS_S["segment"]),
    "segment_100ms": _segments(SEGMENTS_S["segment_100ms"]),
    "event": _events(offsets=True),
    "event_onset": _events(offsets=False),
}
