"""Whole recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import ClassMetric, Compared

if TYPE_CHECKING:
    from sed_cli.metrics.detection import Counts


@component("metric", "clip")
class ClipMetric(ClassMetric):
    """Presence of a class in a recording, by its pooled probability, above 0.5."""

    ORDER: ClassVar[int] = 10
    TITLE: ClassVar[str] = "clip"
    COUNTED: ClassVar[str] = "classes of recordings"
    IN_SHORT: ClassVar[bool] = False

    def count(self, compared: Compared) -> Counts:
        """Count a recording as one frame."""
        from sed_cli.metrics.detection import count_frames
        from sed_cli.metrics.known import clip_reference, clips_of

        present, known = clip_reference(compared.reference, compared.classes, compared.known)
        return count_frames(present, (clips_of(compared) > 0.5) & known)
