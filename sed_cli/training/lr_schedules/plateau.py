"""A learning rate that is reduced on a plateau."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.trainer import LR_SCALE
from sed_cli.config.training import LrScheduleConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@component("lr_schedule", "plateau")
class Plateau(LrScheduleConfig):
    """Reduced after some epochs without a better trainer.monitor."""

    BY_SCORE: ClassVar[bool] = True

    factor: float = setting(
        0.5, "factor of the learning rate at each reduction", above=0, below=1, role=Role.FREE
    )
    patience: int = setting(
        4,
        "epochs without improvement before a reduction; below trainer.patience",
        at_least=0,
        role=Role.FREE,
    )
    floor: float = setting(
        0.0, "minimum learning rate, times trainer.lr_scale", at_least=0, role=Role.FREE
    )

    def build(self, optimizer: Optimizer, n_updates: int) -> LRScheduler:
        """Build the schedule."""
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        floors = [self.floor * group.get(LR_SCALE, 1.0) for group in optimizer.param_groups]
        return ReduceLROnPlateau(
            optimizer,
            mode="max",
            factor=self.factor,
            patience=self.patience,
            threshold=0.0,
            threshold_mode="abs",  # a relative threshold fails for a negated loss
            min_lr=floors if len(floors) > 1 else floors[0],
        )
