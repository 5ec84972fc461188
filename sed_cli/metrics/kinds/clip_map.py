"""Whole recordings, ranked by probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.kinds.frame_map import FrameMeanAveragePrecision
from sed_cli.metrics.metric import Compared, Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "clip_map")
class ClipMeanAveragePrecision(FrameMeanAveragePrecision):
    """Whether recordings with a class have higher pooled probabilities than those without it."""

    ORDER: ClassVar[int] = 11
    TITLE: ClassVar[str] = "clip mAP"
    COUNTED: ClassVar[str] = "recordings by probability"
    FIGURES: ClassVar[tuple[Figure, ...]] = (Figure("map", "clip mAP"),)
    IN_SHORT: ClassVar[bool] = False

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count a recording as one frame."""
        from sed_cli.metrics.known import clip_reference, clips_of
        from sed_cli.metrics.ranking import count_ranked

        present, known = clip_reference(compared.reference, compared.classes, compared.known)
        return count_ranked(present, clips_of(compared), known)
