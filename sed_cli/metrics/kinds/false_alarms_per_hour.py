"""False alarms per hour of recording, and the recall at that rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sed_cli.metrics.detection import Bootstrap


@component("metric", "false_alarms_per_hour")
class FalseAlarms(Metric):
    """Detected events that overlap no annotated one of their class, per hour of recording.

    ``recall`` is the share of annotated events overlapped by a detected one of their class, matched
    one to one. Times do not matter otherwise: the question is whether a call was detected, not its
    onset. Hours in which a class is not annotated do not count for it; the hours of all classes
    together are their mean.
    """

    ORDER: ClassVar[int] = 8
    TITLE: ClassVar[str] = "false alarms per hour"
    COUNTED: ClassVar[str] = "events that overlap none of their class"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("rate", "false alarms per hour", lower_is_better=True, is_fraction=False),
        Figure("recall", "recall at that rate"),
    )
    IN_SHORT: ClassVar[bool] = False

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count (1 + C, 4): false alarms, annotated events found, annotated ones, and hours."""
        import numpy as np

        from sed_cli.metrics.counting import alarms_of
        from sed_cli.metrics.known import known_hours

        counts = np.zeros((1 + len(compared.classes), 4))
        for row, label in enumerate(compared.classes, start=1):
            counts[row, :3] = alarms_of(compared.reference, compared.detected, label)
        counts[0] = counts.sum(axis=0)
        hours = known_hours(compared.duration_s, compared.known)
        counts[1:, 3], counts[0, 3] = hours, np.mean(hours)
        return counts

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Rate and recall of all classes together."""
        return _figures(counts[..., 0, :])

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Rate, recall, ``counts`` and ``interval``; and rate and recall by label."""
        from sed_cli.metrics.detection import number, quiet

        block, _ = super().describe(counts, classes, bootstrap)
        with quiet():
            rows = [_figures(row) for row in counts.sum(axis=0)[1:]]
        of_classes = {
            label: {name: number(value) for name, value in row.items()}
            for label, row in zip(classes, rows, strict=True)
        }
        return block, of_classes


def _figures(row: NDArray[Any]) -> dict[str, Any]:
    n_false, n_found, n_there, hours = (row[..., column] for column in range(4))
    return {"rate": n_false / hours, "recall": n_found / n_there}
