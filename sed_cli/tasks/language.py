"""The language model that a detector's decoder asks: the one thing that a task wants of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.errors import SedtfError, UserError
from sed_cli.tasks.registry import task_named
from sed_cli.training.checkpoint import read_config

if TYPE_CHECKING:
    from sed_cli.decoding.language import LabelModel


def label_model(checkpoint: str, kind: str) -> LabelModel:
    """Load the model of labels that ``evaluation.language`` names.

    Args:
        checkpoint: a checkpoint or a run.
        kind: ``recurrent`` or ``ngram``.

    Raises:
        UserError: if there is none.
    """
    try:
        return task_named(read_config(checkpoint).task).label_model(checkpoint, kind)
    except SedtfError as error:
        reason = str(error).removeprefix("checkpoint=").removeprefix(f"{checkpoint}: ")
        raise UserError(f"evaluation.language={checkpoint}: {reason}") from error
