"""Thresholds and median filters of each class, found on the validation split for a stated metric.

Every pair of a threshold and a filter is tried by counting: probabilities are filtered once a
length, then held against all thresholds at once. What is tuned is what is reported: the counts are
those of :mod:`sed_cli.metrics.detection` for a single class.

A grid of some hundred points fits itself to the noise of a small validation split. So a class keeps
0.5 without a filter unless another point is better by more than that noise, for events as well as
for frames, and for all classes together as well as for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sed_cli.data.sets import Recording
from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.counting import Active, Excerpt, counter_of
from sed_cli.decoding.postprocessing import (
    PLAIN_THRESHOLD,
    PostProcessing,
    mend_runs,
    runs,
    smoothed,
)
from sed_cli.metrics.detection import COLLAR_S, EVENTS

THRESHOLDS: NDArray[np.float64] = np.linspace(0.02, 0.98, 49).round(2)  # 0.5 is one of them
_PLAIN = int(np.abs(THRESHOLDS - PLAIN_THRESHOLD).argmin())
LONGEST_FILTER_S = 1.0
_N_FILTERS = 7

_FEW_RECORDINGS = 10  # below that more is asked: stretches of a recording are alike
_WORTH, _WORTH_OF_FEW = 0.5, 2.0  # events of a class in validation that a gain has to be worth
# Share of draws of validation in which a point has to be better than the default; the parts of few
# recordings are alike, so that draws of them agree too easily.
_SURE, _SURE_OF_FEW = 0.7, 0.95
_DRAWS = 500
_N_STRETCHES = 20  # of validation, drawn with replacement: its noise
_NEIGHBOURS = 5  # thresholds averaged before the best is chosen: a single one's F1 is noisy
_SHORT = 25  # per cent of a class's silences and events that a filter may be longer than


def filter_lengths(hop_s: float) -> list[int]:
    """Odd numbers of frames from 1 to about a second, in even ratios."""
    longest = max(3.0, LONGEST_FILTER_S / hop_s)
    halves = np.rint((np.geomspace(3.0, longest, _N_FILTERS) - 1) / 2).astype(int)
    return [1, *sorted({2 * int(half) + 1 for half in halves})]


def tune(
    recordings: Sequence[Recording],
    scored: Iterable[tuple[Recording, NDArray[np.floating]]],
    classes: Sequence[str],
    hop_s: float,
    metric: str,
    *,
    collar_s: float = COLLAR_S,
    min_gap_s: float = 0.0,
    min_duration_s: float = 0.0,
) -> PostProcessing:
    """Find the threshold and the filter of each class for F1 of ``metric``.

    Frames and segments are tuned together with events (the mean of both F1), events by themselves
    as long as frames do not lose. A class keeps 0.5 without a filter where no gain is certain, or
    where it is worth too few of its events in validation; why is logged, and noted in the
    result's ``tuning``.

    Args:
        recordings: of the validation split.
        scored: the same, each with its probabilities (T, C); they are passed through once and
            not kept.
        classes: labels of the columns.
        hop_s: seconds from one frame to the next.
        metric: ``frame``, ``segment``, ``segment_100ms``, ``event`` or ``event_onset``.
        collar_s: seconds that an event may be off.
        min_gap_s: as in :class:`PostProcessing`, in force while trying.
        min_duration_s: the same.
    """
    mend = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
    metrics = (metric, "frame" if metric in EVENTS else "event")
    grid = _Grid.empty(recordings, len(classes), hop_s)
    counters = [counter_of(each, collar_s) for each in metrics]
    n_parts = -(-_N_STRETCHES // max(1, len(recordings)))  # that a recording is cut into
    for number, (recording, probabilities) in enumerate(scored):
        stretches = (number * n_parts + np.arange(n_parts)) % _N_STRETCHES
        edges_s = np.linspace(0.0, recording.duration_s, n_parts + 1)
        activities = recording.activities[:].astype(bool)
        for index, label in enumerate(classes):
            of_class = Excerpt(
                truth=activities[:, index],
                events=_own_events(recording, label),
                hop_s=hop_s,
                end_s=recording.duration_s,
                edges_s=edges_s,
            )
            for row in np.flatnonzero(grid.allowed[index]):
                filtered = smoothed(probabilities[:, index], grid.lengths[row])
                active, column_of = _distinct(filtered)
                active = mend_runs(active, hop_s, recording.duration_s, **mend)
                for kind, count in enumerate(counters):
                    tp, found, there = count(active, of_class)
                    grid.tp[kind, stretches, index, row] += tp[:, column_of]
                    grid.n_found[kind, stretches, index, row] += found[:, column_of]
                    if row == 0:
                        grid.n_there[kind, stretches, index] += there
    weights = np.array([1.0, 0.0] if metric in EVENTS else [0.5, 0.5])
    chosen = [_choose(grid, index, weights, metrics) for index in range(len(classes))]
    log_choices(classes, [each.choice for each in chosen])
    return PostProcessing(
        thresholds=tuple(each.threshold for each in chosen),
        filter_frames=tuple(each.filter_frames for each in chosen),
        tuned_for=metric,
        tuning={label: each.choice.note for label, each in zip(classes, chosen, strict=True)},
        **mend,
    )


def _own_events(recording: Recording, label: str) -> NDArray[np.float64]:
    own = [event[:2] for event in recording.events if event.label == label]
    return np.array(own, dtype=np.float64).reshape(-1, 2)


def _distinct(filtered: NDArray[np.floating]) -> tuple[Active, NDArray[np.intp]]:
    """Hold (T,) against all thresholds, once where several give the same; and which is whose.

    What is active only shrinks as the threshold rises, so equal numbers are equal frames.
    """
    active = filtered[:, None] > THRESHOLDS  # (T, K)
    is_new = np.diff(active.sum(axis=0), prepend=-1) != 0
    return active[:, is_new], np.cumsum(is_new) - 1


# ------------------------------------------------------------------------- what is counted


@dataclass
class _Grid:
    """Counts of two metrics (2) in stretches of validation (U), by class, filter and threshold."""

    lengths: list[int]
    allowed: NDArray[np.bool_]  # (C, F): filters that are not longer than what they would erase
    n_events: NDArray[np.int64]  # (C,)
    worth: float  # events that a gain has to be worth
    sure: float  # share of draws in which it has to be there
    tp: NDArray[np.int64]  # (2, U, C, F, K)
    n_found: NDArray[np.int64]
    n_there: NDArray[np.int64]  # (2, U, C)

    @classmethod
    def empty(cls, recordings: Sequence[Recording], n_classes: int, hop_s: float) -> _Grid:
        lengths = filter_lengths(hop_s)
        limits, n_events = _limits(recordings, n_classes)
        shape = (2, _N_STRETCHES, n_classes)
        points = (*shape, len(lengths), len(THRESHOLDS))
        return cls(
            lengths=lengths,
            allowed=(np.array(lengths) == 1) | (np.array(lengths) <= limits[:, None]),
            n_events=n_events,
            worth=_WORTH_OF_FEW if len(recordings) < _FEW_RECORDINGS else _WORTH,
            sure=_SURE_OF_FEW if len(recordings) < _FEW_RECORDINGS else _SURE,
            tp=np.zeros(points, np.int64),
            n_found=np.zeros(points, np.int64),
            n_there=np.zeros(shape, np.int64),
        )


def _limits(
    recordings: Sequence[Recording], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Frames that short silences and short events of each class last (C,), and its events (C,)."""
    silences: list[list[int]] = [[] for _ in range(n_classes)]
    lengths: list[list[int]] = [[] for _ in range(n_classes)]
    for recording in recordings:
        activities = recording.activities[:].astype(bool)
        for index in range(n_classes):
            first, after = runs(activities[:, index])
            lengths[index] += (after - first).tolist()
            silences[index] += (first[1:] - after[:-1]).tolist()
    limits = [
        min(float(np.percentile(values, _SHORT)) if values else np.inf for values in of_class)
        for of_class in zip(silences, lengths, strict=True)
    ]
    return np.array(limits).reshape(-1), np.array([len(each) for each in lengths], np.int64)


# -------------------------------------------------------------------------- what is chosen


@dataclass(frozen=True)
class _Chosen:
    threshold: float
    filter_frames: int
    choice: Choice

    @classmethod
    def plain(cls, reason: str, n_events: int) -> _Chosen:
        what = f"threshold {PLAIN_THRESHOLD:g}, no filter"
        choice = Choice(what=what, reason=reason, n_events=n_events)
        return cls(PLAIN_THRESHOLD, 1, choice)


def _choose(
    grid: _Grid, index: int, weights: NDArray[np.float64], metrics: tuple[str, str]
) -> _Chosen:
    """Choose the point of a class: the best there is, if its gain is certain."""
    n_events = int(grid.n_events[index])
    if not n_events:
        return _Chosen.plain("no events in validation", n_events)
    row, column = _best(grid, index, weights)
    if (row, column) == (0, _PLAIN):
        reason = "nothing is better by enough, for this class and for all of them"
        return _Chosen.plain(reason, n_events)
    draws = np.random.default_rng(0).multinomial(
        _N_STRETCHES, np.full(_N_STRETCHES, 1 / _N_STRETCHES), size=_DRAWS
    )
    share = float((weights @ _gains(grid, index, row, column, draws) > 0).mean())
    if share < grid.sure:
        reason = f"the gain is within its noise: it is one in {share:.0%} of draws of validation"
        return _Chosen.plain(reason, n_events)
    gains = _gains(grid, index, row, column, np.ones((1, _N_STRETCHES), np.int64))[:, 0]
    threshold, filter_frames = float(THRESHOLDS[column]), grid.lengths[row]
    choice = Choice(
        what=f"threshold {threshold:.2f}, filter of {filter_frames} frames",
        reason=f"a gain in {share:.0%} of draws of validation",
        n_events=n_events,
        gain=dict(zip(metrics, gains.tolist(), strict=True)),
    )
    return _Chosen(threshold, filter_frames, choice)


def _best(grid: _Grid, index: int, weights: NDArray[np.float64]) -> tuple[int, int]:
    """Filter and threshold with the highest weighted F1 by which neither F1 loses.

    Neither that of the class nor that of all classes together: a class that cannot be told apart
    gains a little itself by being found everywhere. The default is left only for more than
    ``worth`` events of the class are worth: one more or less among n is chance.
    """
    tp, n_found = (counts[:, :, index].sum(axis=1) for counts in (grid.tp, grid.n_found))
    f1 = _f1(tp, n_found, grid.n_there[:, :, index].sum(axis=1)[:, None, None])  # (2, F, K)
    total = _f1(
        grid.tp[..., 0, _PLAIN].sum(axis=(1, 2)),
        grid.n_found[..., 0, _PLAIN].sum(axis=(1, 2)),
        grid.n_there.sum(axis=(1, 2)),
    )[:, None, None]
    more_tp, more_found = (each - each[:, :1, _PLAIN, None] for each in (tp, n_found))
    smooth = uniform_filter1d(f1, _NEIGHBOURS, axis=2, mode="nearest")
    is_fit = (
        grid.allowed[index][:, None]
        & (f1 >= f1[:, :1, _PLAIN, None]).all(axis=0)
        & (smooth >= smooth[:, :1, _PLAIN, None]).all(axis=0)
        & (2 * more_tp >= total * more_found).all(axis=0)  # the total's F1 does not fall
    )
    score = np.where(is_fit, np.tensordot(weights, smooth, axes=1), -1.0)
    score[0, _PLAIN] += grid.worth / grid.n_events[index]
    rows, columns = np.nonzero(score == score.max())
    nearest = np.lexsort((np.abs(THRESHOLDS[columns] - PLAIN_THRESHOLD), rows))[0]
    return int(rows[nearest]), int(columns[nearest])


def _f1(tp: NDArray[Any], n_found: NDArray[Any], n_there: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of counts; 0 where nothing is there and nothing was found."""
    f1: NDArray[np.float64] = 2 * tp / np.maximum(n_found + n_there, 1)
    return f1


def _gains(
    grid: _Grid, index: int, row: int, column: int, draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """F1 of a point over that at 0.5 without a filter, with stretches taken so often (2, draws)."""
    there = grid.n_there[:, :, index] @ draws.T
    of_point, of_plain = (
        _f1(grid.tp[:, :, index, f, k] @ draws.T, grid.n_found[:, :, index, f, k] @ draws.T, there)
        for f, k in ((row, column), (0, _PLAIN))
    )
    return of_point - of_plain
