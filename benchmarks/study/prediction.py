"""A line through gains over bits of syntax, and how far a new data set may fall from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.study.results import LEVEL


@dataclass(frozen=True, kw_only=True)
class Line:
    """Least squares.

    Args:
        slope: gain a bit.
        half_slope: half-width of its 95 % interval.
        mean: of the gains, and
        center: of the bits.
        spread: sum of the squared deviations of the bits.
        error: standard deviation of the gains about the line.
        n: points.
    """

    slope: float
    half_slope: float
    mean: float
    center: float
    spread: float
    error: float
    n: int

    def at(self, bits: float) -> tuple[float, float]:
        """Gain that is expected, and half-width of the 95 % interval of one new gain."""
        expected = self.mean + self.slope * (bits - self.center)
        share = 1 + 1 / self.n + (bits - self.center) ** 2 / self.spread
        return expected, _quantile(self.n) * self.error * math.sqrt(share)


def fit_line(points: Sequence[tuple[float, float]]) -> Line:
    """Fit a line to (bits, gain); at least three points with two different bits."""
    x, y = np.array(points, dtype=float).T
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    residuals = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt(float((residuals**2).sum()) / (len(x) - 2))
    return Line(
        slope=slope,
        half_slope=_quantile(len(x)) * error / math.sqrt(spread),
        mean=float(y.mean()),
        center=float(x.mean()),
        spread=spread,
        error=error,
        n=len(x),
    )


def _quantile(n: int) -> float:
    return float(stats.t.ppf(1 - (1 - LEVEL) / 2, n - 2))
