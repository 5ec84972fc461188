"""What a model owes to being fed the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "exposure_gap")
class ExposureGap(Metric):
    """Frame F1 where the model is fed the ground truth, less that where it runs freely.

    Of the same model, split and decoder. The more, the more the model leans on a past that it does
    not have in use. Models without feedback have none.
    """

    ORDER: ClassVar[int] = 20
    TITLE: ClassVar[str] = "exposure gap"
    COUNTED: ClassVar[str] = "frames, free running and teacher-forced"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("gap", "exposure gap", lower_is_better=True, is_fraction=False),
        Figure("forced_f1", "teacher-forced frame F1"),
    )
    COLUMNS: ClassVar[tuple[str, ...]] = ("tp", "n_ref", "n_sys", "forced_tp", "forced_n_sys")
    IN_SHORT: ClassVar[bool] = False
    IN_DIAGNOSTICS: ClassVar[bool] = True
    NEEDS_FORCED: ClassVar[bool] = True

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count frames as ``frame`` does, twice."""
        import numpy as np

        from sed_cli.metrics.detection import N_SYS, TP, count_frames

        assert compared.forced_frames is not None
        free, forced = (
            count_frames(compared.reference_frames, frames)[0]
            for frames in (compared.detected_frames, compared.forced_frames)
        )
        return np.array([*free[:3], forced[TP], forced[N_SYS]])

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """The gap, and the F1 that is reached with the ground truth."""
        tp, n_ref, n_sys, forced_tp, forced_n_sys = (counts[..., column] for column in range(5))
        forced_f1 = 2 * forced_tp / (n_ref + forced_n_sys)
        return {"gap": forced_f1 - 2 * tp / (n_ref + n_sys), "forced_f1": forced_f1}
