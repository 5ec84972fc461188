"""Ranking of active before silent frames by probability, over all thresholds at once.

Frames are counted by their log-odds, in narrow bins, so that counts of recordings and of folds
can be added: the metric of the sum is that of all their frames together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.metrics.detection import number, quiet

LIMIT = 6.0  # log-odds; a probability of .9975
STEP = 0.1
N_BINS = 2 * round(LIMIT / STEP) + 2  # the outermost are open

Ranked = NDArray[np.integer[Any]]
"""(..., 2, N_BINS): silent frames, then active ones, by rising probability."""


def count_ranked(
    activities: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    known: NDArray[np.bool_] | None = None,
) -> Ranked:
    """Count the frames of a recording: activities and probabilities (T, C) to (C, 2, N_BINS).

    Those that are not ``known`` (T, C) are skipped.
    """
    n_classes = activities.shape[1]
    p = probabilities.astype(np.float64).clip(1e-9, 1 - 1e-9)
    log_odds = np.log(p) - np.log1p(-p)
    bins = (np.floor(log_odds / STEP) + N_BINS // 2).clip(0, N_BINS - 1).astype(np.int64)
    rows = 2 * np.arange(n_classes) + activities.astype(np.int64)
    places = rows * N_BINS + bins
    counted = places.ravel() if known is None else places[known]
    counts = np.bincount(counted, minlength=2 * n_classes * N_BINS)
    # Of one recording; those of all recordings are kept, and are many with hundreds of classes.
    return counts.astype(np.int32).reshape(n_classes, 2, N_BINS)


def average_precision(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Average precision of counts (..., 2, N_BINS): (...); NaN if nothing is active.

    The mean, over the active frames, of the precision at a threshold just below each. Frames of a
    bin count as evenly mixed: with n of them, a active, above which N lie, A active, the precision
    after x of the a is (A + x) / (N + x n / a), and its integral over x replaces the sum.

    Source: Buckley and Voorhees 2000, and scikit-learn's ``average_precision_score``, which does
    not break ties: a bin would be one tie.
    """
    active = counts[..., 1, ::-1].astype(np.float64)  # the highest first
    n = active + counts[..., 0, ::-1]
    n_above, above = n.cumsum(axis=-1) - n, active.cumsum(axis=-1) - active
    with quiet():
        share = active / n
        integral = share * (active + (above - n_above * share) * np.log1p(n / n_above))
        integral = np.where(n_above == 0, share * active, integral)
        sums: NDArray[np.float64] = np.where(active > 0, integral, 0.0).sum(axis=-1)
        return np.asarray(sums / active.sum(axis=-1))


def mean_average_precision(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over classes with active frames, of counts (..., C, 2, N_BINS): (...)."""
    of_classes = average_precision(counts)
    there = np.isfinite(of_classes)
    with quiet():
        return np.asarray(np.where(there, of_classes, 0.0).sum(axis=-1) / there.sum(axis=-1))


@dataclass(frozen=True)
class RankedFrames:
    """Counts (2, N_BINS) of each class, joined over folds by ``sedtf compare``."""

    per_class: Mapping[str, Ranked]

    def __add__(self, other: RankedFrames) -> RankedFrames:
        joined = dict(self.per_class)
        for label, counts in other.per_class.items():
            joined[label] = joined.get(label, 0) + counts
        return RankedFrames(joined)

    def figures(self) -> dict[str, float | None]:
        """The mean average precision."""
        with quiet():
            return {"map": number(mean_average_precision(np.stack([*self.per_class.values()])))}

    @property
    def n_references(self) -> int:
        """Active frames, of all classes together."""
        return int(sum(counts[1].sum() for counts in self.per_class.values()))
