"""Means with t intervals over seeds, and paired differences. Source: any textbook.

Equal to ``scipy.stats``, which takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from sed_cli.metrics.detection import CONFIDENCE

_ROUNDING = 1e-12  # closer differences of fractions count as equal


@dataclass(frozen=True)
class Summary:
    """A mean over seeds and its 95 % t interval; ``None`` with too few seeds."""

    mean: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Half the interval, the number after the plus-minus sign."""
        return None if self.low is None or self.mean is None else self.mean - self.low


@dataclass(frozen=True)
class Paired(Summary):
    """The mean of paired differences, and the p value of a paired t test that it is 0."""

    p: float | None = None


def summarise(values: Mapping[int, float | None]) -> Summary:
    """Summarise a metric over seeds; undefined values (``None``) are left out."""
    return _summary(np.array([value for value in values.values() if value is not None]))


def compare(values: Mapping[int, float | None], baseline: Mapping[int, float | None]) -> Paired:
    """Differences to a baseline, paired over the seeds that both have.

    The p value is not corrected for the number of comparisons; it needs two seeds, and differences
    that are not all equal.
    """
    pairs = [
        (value, baseline[seed])
        for seed, value in values.items()
        if value is not None and baseline.get(seed) is not None
    ]
    own, other = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    differences = own - other
    summary = _summary(differences)
    p = None
    if summary.mean is not None and summary.n > 1 and np.ptp(differences) > _ROUNDING:
        t = summary.mean / (differences.std(ddof=1) / math.sqrt(summary.n))
        p = 2 * float(stdtr(summary.n - 1, -abs(t)))
    return Paired(summary.mean, summary.low, summary.high, summary.n, p)


def _summary(values: NDArray[np.float64]) -> Summary:
    n = len(values)
    if not n:
        return Summary(None, None, None, 0)
    mean = float(values.mean())
    if n == 1:
        return Summary(mean, None, None, 1)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return Summary(mean, mean - half, mean + half, n)
