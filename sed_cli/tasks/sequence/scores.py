"""Scores of sequence models, for ``sedtf compare``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sed_cli.metrics.totals import Totals
from sed_cli.tasks.scores import Layout, Shown

FIGURES = ("perplexity", "forced_accuracy", "accuracy", "gap", "exact_match")


@dataclass(frozen=True)
class SequenceScores:
    """Counts of a sequence model, teacher-forced and free-running."""

    forced: dict[str, float]
    free: dict[str, float]

    def __add__(self, other: SequenceScores) -> SequenceScores:
        pairs = (self.forced, other.forced), (self.free, other.free)
        return SequenceScores(*({key: a[key] + b[key] for key in a} for a, b in pairs))

    def figures(self) -> dict[str, float | None]:
        """Perplexity, accuracy in both modes with the gap between them, and exact matches."""
        n_targets, n_sequences = self.forced["n_targets"], self.forced["n_sequences"]
        if not n_targets:
            return dict.fromkeys(FIGURES)
        forced, free = (of["n_correct"] / n_targets for of in (self.forced, self.free))
        values = (
            math.exp(min(self.forced["loss_sum"] / n_targets, 700.0)),
            forced,
            free,
            forced - free,
            self.free["n_exact"] / n_sequences,
        )
        return dict(zip(FIGURES, values, strict=True))

    @property
    def n_references(self) -> int:
        """Targets."""
        return int(self.forced["n_targets"])


def scores_in(metrics: Mapping[str, Any]) -> dict[str, Totals]:
    """Counts in ``metrics.json``, of one kind."""
    forced, free = (metrics[way]["counts"] for way in ("teacher_forced", "free_running"))
    return {"sequence": SequenceScores(forced, free)}


_SHOWN = (
    Shown("perplexity", "perplexity", lower_is_better=True, is_fraction=False, kind="sequence"),
    Shown("forced_accuracy", "accuracy forced", kind="sequence"),
    Shown("accuracy", "accuracy free", kind="sequence"),
    Shown("gap", "gap", lower_is_better=True, kind="sequence"),
    Shown("exact_match", "whole sequences", kind="sequence"),
)
LAYOUT = Layout(
    shown=_SHOWN,
    reported=_SHOWN,
    by_seed=FIGURES,
    curves={
        "validation_perplexity": "validation perplexity",
        "validation_forced_accuracy": "accuracy, teacher forced",
        "validation_f1": "accuracy, free running",
        "p_teacher": "p_teacher",
    },
    counted="sequence",
    references="targets",
    items="sequences",
)
