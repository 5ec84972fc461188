"""Scores of detectors, as ``sedtf compare`` joins and shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.metrics.detection import KINDS, N_REF, figures, macro_figures
from sed_cli.tasks.scores import Layout, Scores, Shown

Row = NDArray[np.int64]
"""Counts (4,): true positives, what is there, what was found, substitutions."""


@dataclass(frozen=True)
class DetectionScores:
    """Counts of all classes together, and of each."""

    overall: Row
    per_class: dict[str, Row]

    def __add__(self, other: DetectionScores) -> DetectionScores:
        labels = [*self.per_class, *(x for x in other.per_class if x not in self.per_class)]
        nothing = np.zeros(4, dtype=np.int64)
        return DetectionScores(
            self.overall + other.overall,
            {
                label: self.per_class.get(label, nothing) + other.per_class.get(label, nothing)
                for label in labels
            },
        )

    def figures(self) -> dict[str, float | None]:
        """Micro and macro F1, error rate and their parts."""
        counts = np.stack([self.overall, *self.per_class.values()])
        values = {
            **{name: float(value) for name, value in figures(counts[0]).items()},
            **{f"macro_{name}": float(value) for name, value in macro_figures(counts).items()},
        }
        return {name: value if np.isfinite(value) else None for name, value in values.items()}

    @property
    def n_references(self) -> int:
        """Annotated events, or active frames or segments."""
        return int(self.overall[N_REF])


def scores_in(metrics: Mapping[str, Any]) -> dict[str, Scores]:
    """Counts that ``metrics.json`` holds, by kind."""
    return {
        kind: DetectionScores(
            _row(metrics[kind]["counts"]),
            {label: _row(of[kind]["counts"]) for label, of in metrics["per_class"].items()},
        )
        for kind in KINDS
    }


def _row(counts: Mapping[str, int]) -> Row:
    return np.array([counts[key] for key in ("tp", "n_ref", "n_sys", "subs")], dtype=np.int64)


_TITLES = {
    "frame": "frame",
    "segment": "segment",
    "segment_100ms": "segment 100 ms",
    "event": "event",
    "event_onset": "event onset",
}


def layout(metric: str) -> Layout:
    """Figures of the kind ``metric`` first."""
    others = [kind for kind in ("frame", "segment", "event") if kind != metric]
    f1, er = (
        {kind: Shown(kind, name, f"{_TITLES[kind]} {name.upper()}", name == "er") for kind in KINDS}
        for name in ("f1", "er")
    )
    return Layout(
        shown=(f1[metric], er[metric], *(f1[kind] for kind in others)),
        reported=tuple(figure for kind in (metric, *others) for figure in (f1[kind], er[kind])),
        by_seed=("f1", "er", "macro_f1"),
        curves={
            "validation_loss": "validation loss",
            "validation_f1": "validation F1, frame-wise",
            "p_teacher": "p_teacher",
        },
        counted="event",
        references="annotated events",
        items="recordings",
    )
