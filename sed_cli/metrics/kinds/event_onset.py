"""Events, by their onsets."""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.kinds.event import EventMetric


@component("metric", "event_onset")
class EventOnsetMetric(EventMetric):
    """Onset within the collar, wherever the event ends."""

    ORDER: ClassVar[int] = 4
    TITLE: ClassVar[str] = "event onset"
    HEADING: ClassVar[str] = "event\nonset"
    COUNTED: ClassVar[str] = "onsets"
    IN_SHORT: ClassVar[bool] = False
    IN_PLAIN: ClassVar[bool] = False
    OFFSETS: ClassVar[bool] = False
