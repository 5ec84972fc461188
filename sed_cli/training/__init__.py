"""Training: the loop, its state, and the run around it."""

from __future__ import annotations

from sed_cli.training.loop import Trainer
from sed_cli.training.run import prepare_resume, train

__all__ = ["Trainer", "prepare_resume", "train"]
