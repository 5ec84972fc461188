"""Evaluation: metrics of a detector on whole recordings, always free running."""

from __future__ import annotations

from sed_cli.evaluation.evaluate import (
    Evaluation,
    Validation,
    evaluate_checkpoint,
    evaluate_split,
    validate,
)
from sed_cli.evaluation.metrics import FrameCounts, sed_eval_scores

__all__ = [
    "Evaluation",
    "FrameCounts",
    "Validation",
    "evaluate_checkpoint",
    "evaluate_split",
    "sed_eval_scores",
    "validate",
]
