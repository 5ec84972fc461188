"""The gain of a model from teacher forcing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "exposure_gap")
class ExposureGap(Metric):
    """Teacher-forced frame F1 minus free-running frame F1.

    For the same model, split and decoder. A larger gap means that the model relies more on a past
    that is unavailable at inference. Models without feedback have none.
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
        """Count frames like ``frame``, twice."""
        import numpy as np

        from sed_cli.metrics.detection import N_SYS, TP, count_frames

        assert compared.forced_frames is not None
        free, forced = (
            count_frames(compared.reference_frames, frames)[0]
            for frames in (compared.detected_frames, compared.forced_frames)
        )
        return np.array([*free[:3], forced[TP], forced[N_SYS]])

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """The gap, and the teacher-forced F1."""
        tp, n_ref, n_sys, forced_tp, forced_n_sys = (counts[..., column] for column in range(5))
        forced_f1 = 2 * forced_tp / (n_ref + forced_n_sys)
        return {"gap": forced_f1 - 2 * tp / (n_ref + n_sys), "forced_f1": forced_f1}
