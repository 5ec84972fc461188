"""Evaluation: metrics of a detector on whole recordings, always free running."""

from __future__ import annotations

from sed_cli.evaluation.evaluate import (
    Evaluation,
    Validation,
    evaluate_checkpoint,
    evaluate_split,
    validate,
)
from sed_cli.evaluation.metrics import describe, sed_eval_counts

__all__ = [
    "Evaluation",
    "Validation",
    "describe",
    "evaluate_checkpoint",
    "evaluate_split",
    "sed_eval_counts",
    "validate",
]
