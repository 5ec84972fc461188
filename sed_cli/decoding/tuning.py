"""Tuning of thresholds and median filters of each class on validation, for a given metric.

Every pair of a threshold and a filter is tried by counting (:mod:`sed_cli.decoding.grid`):
probabilities are filtered once per length, then compared with all thresholds at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sed_cli.data.sets import Recording
from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.decoder import Scored
from sed_cli.decoding.grid import THRESHOLDS, Grid, Lengths, Point, distinct, excerpts, short
from sed_cli.decoding.postprocessing import PostProcessing, mend_runs, smoothed
from sed_cli.metrics.detection import COLLAR_S

LONGEST_FILTER_S = 1.0
_N_FILTERS = 7
_SHORT = 25  # percentile of a class's silences and events that limits filter lengths


def filter_lengths(hop_s: float) -> list[int]:
    """Odd numbers of frames from 1 to about a second, in equal ratios."""
    longest = max(3.0, LONGEST_FILTER_S / hop_s)
    halves = np.rint((np.geomspace(3.0, longest, _N_FILTERS) - 1) / 2).astype(int)
    return [1, *sorted({2 * int(half) + 1 for half in halves})]


def tune(
    recordings: Sequence[Recording],
    scored: Scored,
    classes: Sequence[str],
    hop_s: float,
    metric: str,
    *,
    collar_s: float = COLLAR_S,
    min_gap_s: float = 0.0,
    min_duration_s: float = 0.0,
) -> PostProcessing:
    """Find the threshold and the filter of each class for F1 of ``metric``.

    Frames and segments are tuned jointly with events (the mean of both F1), events alone as long as
    frames do not get worse. A class keeps 0.5 without a filter if no gain is certain, or if it
    corresponds to too few events in validation; the reason is logged, and recorded in ``tuning`` of
    the result.

    Args:
        recordings: of the validation split.
        scored: the same, each with its probabilities (T, C); they are iterated once and not kept.
        classes: labels of the columns.
        hop_s: seconds from one frame to the next.
        metric: one that can be tuned for.
        collar_s: tolerance of event times in seconds.
        min_gap_s: as in :class:`PostProcessing`, applied during tuning.
        min_duration_s: the same.
    """
    mend = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
    lengths, n_recordings = filter_lengths(hop_s), len(recordings)
    of_classes = Lengths.of_classes(recordings, len(classes))
    # Filters no longer than the events or silences that they would erase.
    limits = [min(short(of.silences, _SHORT), short(of.events, _SHORT)) for of in of_classes]
    grid = Grid.empty(
        (np.array(lengths) == 1) | (np.array(lengths) <= np.array(limits).reshape(-1, 1)),
        np.array([len(of.events) for of in of_classes], np.int64),
        n_recordings=n_recordings,
        metric=metric,
        collar_s=collar_s,
    )
    for recording, probabilities, in_recording in excerpts(scored, n_recordings, classes, hop_s):
        for index, of_class in enumerate(in_recording):
            for row in np.flatnonzero(grid.allowed[index]).tolist():
                filtered = smoothed(probabilities[:, index], lengths[row])
                active, column_of = distinct(filtered[:, None] > THRESHOLDS)
                active = mend_runs(active, hop_s, recording.duration_s, **mend)
                grid.add(of_class, index, row, active, column_of)
    points = [grid.choose(index) for index in range(len(classes))]
    choices = [_choice(point, lengths) for point in points]
    log_choices(classes, choices)
    return PostProcessing(
        thresholds=tuple(point.threshold for point in points),
        filter_frames=tuple(lengths[point.row] for point in points),
        tuned_for=metric,
        tuning={label: choice.note for label, choice in zip(classes, choices, strict=True)},
        **mend,
    )


def _choice(point: Point, lengths: Sequence[int]) -> Choice:
    what = f"threshold {point.threshold:.2f}, filter of {lengths[point.row]} frames"
    if point.gain is None:
        what = f"threshold {point.threshold:g}, no filter"
    return Choice(what=what, reason=point.reason, n_events=point.n_events, gain=point.gain)
