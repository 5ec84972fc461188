"""Annotated and detected transitions between classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.metrics.metric import Compared, Figure, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sed_cli.data.annotations import Event
    from sed_cli.metrics.detection import Bootstrap


@component("metric", "transitions")
class Transitions(Metric):
    """Distance of detected from annotated transitions between classes: 0 equal, 1 disjoint.

    A transition is a pair of successive events of a recording in order of onset. For each class the
    annotated and detected distributions of the next class are compared: by the Jensen-Shannon
    divergence in bits, and by the total variation. The mean over classes is weighted by their
    annotated transitions; a class without detected transitions has distance 1.

    Source: Lin 1991, "Divergence measures based on the Shannon entropy".
    """

    ORDER: ClassVar[int] = 22
    TITLE: ClassVar[str] = "transitions"
    COUNTED: ClassVar[str] = "transitions between classes"
    FIGURES: ClassVar[tuple[Figure, ...]] = (
        Figure("js_bits", "divergence of transitions (bits)", lower_is_better=True),
        Figure("total_variation", "total variation of transitions", lower_is_better=True),
    )
    IN_SHORT: ClassVar[bool] = False
    IN_DIAGNOSTICS: ClassVar[bool] = True
    MOST_CLASSES: ClassVar[int] = 100  # limit for intervals, whose draws have C x C numbers each

    def count(self, compared: Compared) -> NDArray[Any]:
        """Count annotated and detected transitions: (2, C, C), from the class of the row."""
        import numpy as np

        sides = compared.reference, compared.detected
        return np.stack([_counted(events, compared.classes) for events in sides])

    def figures(self, counts: NDArray[Any]) -> Mapping[str, Any]:
        """Both weighted distances of rows."""
        import numpy as np

        annotated, detected = counts[..., 0, :, :], counts[..., 1, :, :]  # (..., C, C)
        n_annotated, n_detected = annotated.sum(axis=-1), detected.sum(axis=-1)  # (..., C)
        p = annotated / np.maximum(n_annotated, 1)[..., None]
        q = detected / np.maximum(n_detected, 1)[..., None]
        mean = (p + q) / 2
        js_bits = (_relative_bits(p, mean) + _relative_bits(q, mean)) / 2
        distances = {"js_bits": js_bits, "total_variation": abs(p - q).sum(axis=-1) / 2}
        return {
            name: (n_annotated * np.where(n_detected > 0, of_rows, 1.0)).sum(axis=-1)
            / n_annotated.sum(axis=-1)
            for name, of_rows in distances.items()
        }

    def describe(
        self, counts: NDArray[Any], classes: Sequence[str], bootstrap: Bootstrap | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Without an interval if there are too many classes."""
        few = len(classes) <= self.MOST_CLASSES
        return super().describe(counts, classes, bootstrap if few else None)


def _counted(events: Sequence[Event], classes: Sequence[str]) -> NDArray[Any]:
    """Transitions of a recording (C, C), with events in the order of ``sedtf data``."""
    import numpy as np

    from sed_cli.data.syntax import count_pairs

    place = {label: index for index, label in enumerate(classes)}
    order = np.array([place[event.label] for event in sorted(events)], dtype=np.int64)
    return count_pairs(order[:-1], order[1:], len(classes))


def _relative_bits(p: NDArray[Any], q: NDArray[Any]) -> NDArray[Any]:
    """Relative entropy of distributions along the last axis; q must be above 0 where p is."""
    import numpy as np

    safe_p, safe_q = np.where(p > 0, p, 1.0), np.where(p > 0, q, 1.0)
    bits: NDArray[Any] = (p * np.log2(safe_p / safe_q)).sum(axis=-1)
    return bits
