"""Counts summed over recordings, read back and joined over folds by ``sedtf compare``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.metrics.detection import N_REF, figures, macro_figures, number, quiet

if TYPE_CHECKING:
    from sed_cli.metrics.metric import Metric

Row = NDArray[np.int64]
"""Counts (4,): true positives, annotated, detected, substitutions."""


class Totals(Protocol):
    """Counts of a metric."""

    def __add__(self, other: Any) -> Self:
        """Join the counts of two folds."""

    def figures(self) -> dict[str, float | None]:
        """Figures of the counts; None if undefined."""

    @property
    def n_references(self) -> int:
        """Number of annotated items, if counted."""


@dataclass(frozen=True)
class SummedCounts:
    """Counts of any metric."""

    metric: Metric
    counts: NDArray[Any]

    def __add__(self, other: SummedCounts) -> SummedCounts:
        return SummedCounts(self.metric, self.counts + other.counts)

    def figures(self) -> dict[str, float | None]:
        """The metric's own."""
        with quiet():
            return {name: number(value) for name, value in self.metric.figures(self.counts).items()}

    @property
    def n_references(self) -> int:
        """Unknown: only the metric knows the meaning of its counts."""
        return 0


@dataclass(frozen=True)
class DetectionScores:
    """Counts of all classes together, and of each."""

    overall: Row
    per_class: dict[str, Row]

    def __add__(self, other: DetectionScores) -> DetectionScores:
        labels = [*self.per_class, *(x for x in other.per_class if x not in self.per_class)]
        nothing = np.zeros(4, dtype=np.int64)
        return DetectionScores(
            self.overall + other.overall,
            {
                label: self.per_class.get(label, nothing) + other.per_class.get(label, nothing)
                for label in labels
            },
        )

    def figures(self) -> dict[str, float | None]:
        """Micro and macro F1, error rate and their parts."""
        counts = np.stack([self.overall, *self.per_class.values()])
        values = {
            **figures(counts[0]),
            **{f"macro_{name}": value for name, value in macro_figures(counts).items()},
        }
        return {name: number(value) for name, value in values.items()}

    @property
    def n_references(self) -> int:
        """Annotated events, or active frames or segments."""
        return int(self.overall[N_REF])


def row_of(counts: Mapping[str, int]) -> Row:
    """Counts of a class in the form of ``metrics.json``."""
    return np.array([counts[key] for key in ("tp", "n_ref", "n_sys", "subs")], dtype=np.int64)
