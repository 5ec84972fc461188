"""Fragmented and merged events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "fragmentation")
class Fragmentation(Metric):
    """Detected events of the class per annotated event that any of them overlaps; 1 is best.

    Events of the same class overlap if they share any time. ``merged`` is the reverse: annotated
    events per detected event that overlaps any.
    """

    ORDER: ClassVar[int] = 21
    TITLE: ClassVar[str] = "fragmentation"
    COUNTED: ClassVar[str] = "overlaps of annotated and detected events"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("fragments", "fragments of an event", lower_is_better=True, is_fraction=False),
        Figure("merged", "events merged into one", lower_is_better=True, is_fraction=False),
    )
    COLUMNS: ClassVar[tuple[str, ...]] = ("overlaps", "n_overlapped", "n_overlapping")
    IN_SHORT: ClassVar[bool] = False
    IN_DIAGNOSTICS: ClassVar[bool] = True

    def count(self, compared: Compared) -> tuple[int, int, int]:
        """Count overlapping pairs, and the annotated and the detected events among them."""
        from sed_cli.metrics.counting import intervals_of, overlaps_of
        from sed_cli.metrics.detection import SLACK_S

        pairs = overlapped = overlapping = 0
        for label in {event.label for event in compared.detected}:
            there, found = (
                intervals_of(events, label).times_s
                for events in (compared.reference, compared.detected)
            )
            of_there = overlaps_of(there, found, SLACK_S)
            of_found = overlaps_of(found, there, SLACK_S)
            pairs += int(of_there.sum())
            overlapped += int((of_there > 0).sum())
            overlapping += int((of_found > 0).sum())
        return pairs, overlapped, overlapping

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Pairs per annotated and per detected event."""
        pairs, overlapped, overlapping = (counts[..., column] for column in range(3))
        return {"fragments": pairs / overlapped, "merged": pairs / overlapping}
