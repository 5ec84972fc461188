"""Whether confidences of events are probabilities of being correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sed_cli.metrics.detection import Bootstrap


@component("metric", "calibration")
class CalibrationMetric(Metric):
    """How well the confidence of detected events equals their rate of matches.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 2, with a matching
    event (onset within the collar, offset within the collar or half of the event) as the correct
    prediction.
    """

    ORDER: ClassVar[int] = 7
    TITLE: ClassVar[str] = "calibration"
    COUNTED: ClassVar[str] = "detected events by confidence"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("ece", "calibration error", lower_is_better=True),
    )
    IN_SHORT: ClassVar[bool] = False
    N_BINS: ClassVar[int] = 10

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count detected events by confidence, with its sum, and matching ones."""
        import numpy as np

        from sed_cli.metrics.counting import hits_of

        confidences = np.asarray(compared.confidences, dtype=np.float64)
        is_hit = hits_of(compared.reference, compared.detected, compared.collar_s)
        bins = np.minimum((confidences * self.N_BINS).astype(np.int64), self.N_BINS - 1)
        parts = (None, confidences, is_hit)
        return np.stack(
            [np.bincount(bins, weights, self.N_BINS).astype(np.float64) for weights in parts],
            axis=1,
        )

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """The expected calibration error: difference of confidence and match rate, per event."""
        n, confidence, n_hits = (counts[..., column] for column in range(3))
        return {"ece": abs(confidence - n_hits).sum(axis=-1) / n.sum(axis=-1)}

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Add the reliability table: ``bins`` with mean confidence, rate of matches, number."""
        block, of_classes = super().describe(counts, classes, bootstrap)
        rows = counts.sum(axis=0).tolist()
        block["bins"] = [
            {
                "from": index / self.N_BINS,
                "to": (index + 1) / self.N_BINS,
                "n": int(n),
                "confidence": confidence / n if n else None,
                "matched": n_hits / n if n else None,
            }
            for index, (n, confidence, n_hits) in enumerate(rows)
        ]
        return block, of_classes
