"""Whether an error causes others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sed_cli.metrics.detection import Bootstrap


@component("metric", "errors_after_error")
class ErrorsAfterError(Metric):
    """Share of annotated events missed among the five after a first error, minus that of all.

    In order of onset, an event is an error if no detected one matches it (onset within the collar,
    offset within the collar or half of the event); a first error is one whose predecessor in the
    recording is not an error. Each event after each first error counts, so that some count twice.
    """

    ORDER: ClassVar[int] = 23
    TITLE: ClassVar[str] = "errors after an error"
    COUNTED: ClassVar[str] = "annotated events, all of them and those 1 to 5 after a first error"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("excess", "errors after an error", lower_is_better=True, is_fraction=False),
        Figure("rate", "rate after an error", lower_is_better=True),
        Figure("base", "rate of all events", lower_is_better=True),
    )
    IN_SHORT: ClassVar[bool] = False
    IN_DIAGNOSTICS: ClassVar[bool] = True
    STEPS: ClassVar[int] = 5

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count events and errors: (1 + STEPS, 2), of all, then by steps after a first error."""
        import numpy as np

        from sed_cli.metrics.counting import partnered

        events = sorted(compared.reference)
        is_found, _ = partnered(events, compared.detected, compared.collar_s)
        is_error = ~is_found
        before = np.concatenate([[False], is_error[:-1]])
        first = np.flatnonzero(is_error & ~before)
        counts = [(len(events), int(is_error.sum()))]
        for step in range(1, self.STEPS + 1):
            after = first[first + step < len(events)] + step
            counts.append((len(after), int(is_error[after].sum())))
        return np.array(counts)

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Both rates, and their difference."""
        base = counts[..., 0, 1] / counts[..., 0, 0]
        after = counts[..., 1:, :].sum(axis=-2)
        rate = after[..., 1] / after[..., 0]
        return {"excess": rate - base, "rate": rate, "base": base}

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Add ``by_step``, the rate by number of events after a first error."""
        block, of_classes = super().describe(counts, classes, bootstrap)
        rows = counts.sum(axis=0)[1:].tolist()
        block["by_step"] = [errors / n if n else None for n, errors in rows]
        return block, of_classes
