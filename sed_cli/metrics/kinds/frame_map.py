"""Frames, ranked by probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sed_cli.metrics.detection import Bootstrap
    from sed_cli.metrics.totals import Totals

_ROWS = ("silent", "active")


@component("metric", "frame_map")
class FrameMeanAveragePrecision(Metric):
    """Ranking of active above silent frames by probability, for all thresholds."""

    ORDER: ClassVar[int] = 9
    TITLE: ClassVar[str] = "frame mAP"
    COUNTED: ClassVar[str] = "frames by probability"
    FIGURES: ClassVar[tuple[Figure, ...]] = (Figure("map", "frame mAP"),)

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count the frames of each class by probability, (C, 2, bins)."""
        from sed_cli.metrics.ranking import count_ranked

        return count_ranked(compared.reference_frames, compared.probabilities, compared.known)

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """The mean average precision over classes with active frames."""
        from sed_cli.metrics.ranking import mean_average_precision

        return {"map": mean_average_precision(counts)}

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Mean and interval; for each class its ``ap`` and its counts."""
        from sed_cli.metrics.detection import number, quiet
        from sed_cli.metrics.ranking import average_precision

        # Unused bins would take most of the time of the bootstrap.
        used = counts.any(axis=(0, 1, 2))
        block, _ = super().describe(counts[..., used], classes, bootstrap)
        del block["counts"]
        total = counts.sum(axis=0)
        with quiet():
            precisions = average_precision(total)
        return block, {
            label: {"ap": number(ap), "counts": _as_texts(of)}
            for label, ap, of in zip(classes, precisions, total, strict=True)
        }

    def read(self, metrics: Mapping[str, Any]) -> Totals:
        """Read the counts of each class."""
        from sed_cli.metrics.ranking import RankedFrames

        return RankedFrames(
            {
                label: _from_texts(of[self.name]["counts"])
                for label, of in metrics["per_class"].items()
            }
        )


def _as_texts(counts: NDArray[Any]) -> dict[str, str]:
    """Counts of a class (2, bins) for JSON, joined since each number would fill a line."""
    return {name: " ".join(map(str, row)) for name, row in zip(_ROWS, counts, strict=True)}


def _from_texts(values: Mapping[str, str]) -> NDArray[Any]:
    import numpy as np

    return np.array([values[name].split() for name in _ROWS], dtype=np.int64)
