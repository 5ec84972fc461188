"""The language model for a detector's decoder: the only thing one task needs from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.errors import SedtfError, UserError
from sed_cli.tasks.registry import task_named
from sed_cli.training.checkpoint import read_config

if TYPE_CHECKING:
    from sed_cli.decoding.language import LabelModel


def label_model(checkpoint: str, kind: str) -> LabelModel:
    """Load the label model that ``evaluation.language`` names.

    Args:
        checkpoint: a checkpoint or a run folder.
        kind: ``recurrent`` or ``ngram``.

    Raises:
        UserError: if the checkpoint contains no label model.
    """
    try:
        return task_named(read_config(checkpoint).task).label_model(checkpoint, kind)
    except SedtfError as error:
        reason = str(error).removeprefix("checkpoint=").removeprefix(f"{checkpoint}: ")
        raise UserError(f"evaluation.language={checkpoint}: {reason}") from error
