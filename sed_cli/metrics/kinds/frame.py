"""Frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, TunableMetric

if TYPE_CHECKING:
    from sed_cli.metrics.counting import Active, Excerpt, Hits
    from sed_cli.metrics.detection import Counts


@component("metric", "frame")
class FrameMetric(TunableMetric):
    """Activity in every frame of the features."""

    ORDER: ClassVar[int] = 0
    TITLE: ClassVar[str] = "frame"
    COUNTED: ClassVar[str] = "frames"
    IN_PLAIN: ClassVar[bool] = True

    def count(self, compared: Compared) -> Counts:
        """Count frames."""
        from sed_cli.metrics.detection import count_frames

        return count_frames(compared.reference_frames, compared.detected_frames)

    def hits(self, active: Active, of: Excerpt, collar_s: float) -> Hits:
        """Count frames at many thresholds."""
        from sed_cli.metrics.counting import frame_hits

        return frame_hits(active, of)
