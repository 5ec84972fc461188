"""A constant learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.training import LrScheduleConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer


@component("lr_schedule", "none", original=True)
class Constant(LrScheduleConfig):
    """A constant learning rate."""

    def build(self, optimizer: Optimizer, n_updates: int) -> None:
        """Return no schedule."""
        return
