"""A learning rate with warm-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.training import LrScheduleConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@component("lr_schedule", "warmup")
class Warmup(LrScheduleConfig):
    """A linear rise to trainer.lr, then constant."""

    warmup_updates: int = setting(
        100, "updates until trainer.lr is reached", unit="updates", at_least=0, role=Role.FREE
    )

    def build(self, optimizer: Optimizer, n_updates: int) -> LRScheduler:
        """Build the schedule."""
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, lambda update: self.factor(update, n_updates))

    def factor(self, update: int, n_updates: int) -> float:
        """Share of trainer.lr for update number ``update``, from 0, of all."""
        return min(1.0, (update + 1) / (self.warmup_updates + 1))
