"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.training import OptimizerConfig

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


@component("optimizer", "sgd")
class SGD(OptimizerConfig):
    """Stochastic gradient descent with momentum; it needs a higher trainer.lr than Adam."""

    momentum: float = setting(0.9, "momentum", at_least=0, below=1, role=Role.FREE)
    nesterov: bool = setting(False, "use Nesterov's momentum", role=Role.FREE)
    weight_decay: float = setting(
        0.0, "weight decay, added to the gradient times the weight", at_least=0, role=Role.FREE
    )

    def faults(self, prefix: str = "") -> list[str]:
        """Faults in ranges, and in Nesterov's step without momentum."""
        faults = super().faults(prefix)
        if self.nesterov and not self.momentum > 0:
            faults.append(
                f"{prefix}nesterov=True, but {prefix}momentum={self.momentum}: "
                f"give a momentum above 0, or drop nesterov"
            )
        return faults

    def build(self, parameters: Iterable[Parameter], lr: float) -> Optimizer:
        """Build the optimiser of some parameters."""
        import torch

        from sed_cli.training.uncompiled import uncompiled

        return uncompiled(torch.optim.SGD)(
            parameters,
            lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )
