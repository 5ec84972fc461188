"""Short time bins, with silence as a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "bin_accuracy")
class BinAccuracy(Metric):
    """Time bins in which exactly the annotated labels, or correctly none, were detected."""

    ORDER: ClassVar[int] = 6
    TITLE: ClassVar[str] = "bin accuracy"
    COUNTED: ClassVar[str] = "time bins"
    FIGURES: ClassVar[tuple[Figure, ...]] = (Figure("accuracy", "bin accuracy"),)
    COLUMNS: ClassVar[tuple[str, ...]] = ("right", "n_bins")

    def count(self, compared: Compared) -> tuple[int, int]:
        """Count the correct bins, and all of them."""
        from sed_cli.metrics.bins import right_bins

        return right_bins(
            compared.reference, compared.detected, compared.duration_s, compared.bin_s
        )

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """The share of correct bins."""
        return {"accuracy": counts[..., 0] / counts[..., 1]}
