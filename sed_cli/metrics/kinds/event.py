"""Events, with both of their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, TunableMetric

if TYPE_CHECKING:
    from sed_cli.metrics.counting import Active, Excerpt, Hits
    from sed_cli.metrics.detection import Counts


@component("metric", "event")
class EventMetric(TunableMetric):
    """Onset within the collar, offset within the collar or half of the event."""

    ORDER: ClassVar[int] = 3
    TITLE: ClassVar[str] = "event"
    HEADING: ClassVar[str] = "event\n{collar_ms} ms"
    COUNTED: ClassVar[str] = "events"
    IN_PLAIN: ClassVar[bool] = True
    BESIDE: ClassVar[str] = "frame"
    SHARE: ClassVar[float] = 1.0
    OFFSETS: ClassVar[bool] = True  # whether the offset must match too

    def count(self, compared: Compared) -> Counts:
        """Count events with sed_eval."""
        from sed_cli.metrics.detection import count_events

        return count_events(
            compared.reference,
            compared.detected,
            compared.classes,
            compared.collar_s,
            offsets=self.OFFSETS,
        )

    def hits(self, active: Active, of: Excerpt, collar_s: float) -> Hits:
        """Count events at many thresholds."""
        from sed_cli.metrics.counting import event_hits

        return event_hits(active, of, collar_s, offsets=self.OFFSETS)
