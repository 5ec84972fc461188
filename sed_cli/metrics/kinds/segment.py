"""Segments of one second."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, TunableMetric

if TYPE_CHECKING:
    from sed_cli.metrics.counting import Active, Excerpt, Hits
    from sed_cli.metrics.detection import Counts


@component("metric", "segment")
class SegmentMetric(TunableMetric):
    """Whether a class is active within each second."""

    ORDER: ClassVar[int] = 1
    TITLE: ClassVar[str] = "segment"
    HEADING: ClassVar[str] = "segment\n1 s"
    COUNTED: ClassVar[str] = "segments of 1 s"
    IN_PLAIN: ClassVar[bool] = True
    RESOLUTION_S: ClassVar[float] = 1.0

    def count(self, compared: Compared) -> Counts:
        """Count segments with sed_eval."""
        from sed_cli.metrics.detection import count_segments
        from sed_cli.metrics.known import in_known_segments

        return count_segments(
            compared.reference,
            in_known_segments(compared, self.RESOLUTION_S),
            compared.duration_s,
            compared.classes,
            self.RESOLUTION_S,
        )

    def hits(self, active: Active, of: Excerpt, collar_s: float) -> Hits:
        """Count segments at many thresholds."""
        from sed_cli.metrics.counting import segment_hits

        return segment_hits(active, of, self.RESOLUTION_S)
