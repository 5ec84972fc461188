"""Edits between sequences of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray


@component("metric", "syllable_error_rate")
class SyllableErrorRate(Metric):
    """Edits from the annotated to the detected labels, in order of onset, per annotated event.

    vak's segment error rate, summed over recordings: the Levenshtein distance divided by the number
    of annotated events. Times do not matter, except for the order.
    """

    ORDER: ClassVar[int] = 5
    TITLE: ClassVar[str] = "syllable error rate"
    COUNTED: ClassVar[str] = "labels in order"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("rate", "syllable error rate", lower_is_better=True, is_fraction=False),
    )
    COLUMNS: ClassVar[tuple[str, ...]] = ("substitutions", "deletions", "insertions", "n_ref")

    def count(self, compared: Compared) -> tuple[int, ...]:
        """Count edits of each kind, and annotated events."""
        from sed_cli.metrics.edits import edits_between

        sides = compared.reference, compared.detected
        reference, detected = ([event.label for event in sorted(side)] for side in sides)
        return (*edits_between(reference, detected), len(reference))

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Edits per annotated event; may exceed 1."""
        import numpy as np

        n_reference = counts[..., 3]
        return {
            "rate": np.where(n_reference > 0, counts[..., :3].sum(axis=-1), np.nan) / n_reference
        }
