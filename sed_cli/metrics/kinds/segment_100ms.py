"""Segments of a tenth of a second."""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.kinds.segment import SegmentMetric


@component("metric", "segment_100ms")
class ShortSegmentMetric(SegmentMetric):
    """Whether a class is active within each tenth of a second."""

    ORDER: ClassVar[int] = 2
    TITLE: ClassVar[str] = "segment 100 ms"
    HEADING: ClassVar[str] = "segment\n100 ms"
    COUNTED: ClassVar[str] = "segments of 0.1 s"
    IN_SHORT: ClassVar[bool] = False
    IN_PLAIN: ClassVar[bool] = False
    RESOLUTION_S: ClassVar[float] = 0.1
