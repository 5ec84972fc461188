"""Correctly labelled time bins, computed from event times without an array of bins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import SLACK_S

Spans = NDArray[np.int64]
"""First bins, and those after the last ones (n, 2)."""


def right_bins(
    reference: Sequence[Event], detected: Sequence[Event], duration_s: float, bin_s: float
) -> tuple[int, int]:
    """Count the bins in which exactly the annotated labels were detected, and all bins.

    A label is active in a bin if it is at its centre. Without labels a bin is silent, and correct
    if it is silent in both.

    Args:
        reference: annotated events.
        detected: detected events.
        duration_s: of the recording in seconds.
        bin_s: length of a bin in seconds.
    """
    n_bins = max(1, math.ceil((duration_s - SLACK_S) / bin_s - 0.5))
    labels = {event.label for event in (*reference, *detected)}
    wrong = [
        _differing(*(_spans(side, label, bin_s, n_bins) for side in (reference, detected)))
        for label in sorted(labels)
    ]
    joined = _joined(np.concatenate([np.zeros((0, 2), np.int64), *wrong]))
    return n_bins - int(np.diff(joined, axis=1).sum()), n_bins


def _spans(events: Sequence[Event], label: str, bin_s: float, n_bins: int) -> Spans:
    """Bins of the events of a label, in order and disjoint."""
    times = [event[:2] for event in events if event.label == label]
    edges = np.array(times, dtype=np.float64).reshape(-1, 2)
    spans = np.ceil((edges - SLACK_S) / bin_s - 0.5).astype(np.int64)
    return _joined(spans.clip(0, n_bins))


def _joined(spans: Spans) -> Spans:
    """Merge spans that overlap or touch."""
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    is_new = np.ones(len(spans), dtype=np.bool_)
    is_new[1:] = spans[1:, 0] > ends[:-1]
    lasts = np.append(np.flatnonzero(is_new)[1:], len(spans)) - 1
    return np.stack([spans[is_new, 0], ends[lasts[lasts >= 0]]], axis=1)


def _differing(one: Spans, other: Spans) -> Spans:
    """Symmetric difference of two lists of spans."""
    return np.sort(np.concatenate([one.ravel(), other.ravel()])).reshape(-1, 2)
