"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import DEFAULT, Role, setting
from sed_cli.config.training import OptimizerConfig

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


@component("optimizer", "adam", original=True)
class Adam(OptimizerConfig):
    """Adam, Kingma and Ba 2015."""

    beta_1: float = setting(
        0.9,
        "decay of the mean of gradients, beta1",
        at_least=0,
        below=1,
        role=Role.FREE,
        before=DEFAULT,
    )
    beta_2: float = setting(
        0.999,
        "decay of the mean of their squares, beta2",
        at_least=0,
        below=1,
        role=Role.FREE,
        before=DEFAULT,
    )
    eps: float = setting(
        1e-8,
        "epsilon, added to the root of the latter",
        above=0,
        at_most=1,
        role=Role.FREE,
        before=DEFAULT,
    )

    def build(self, parameters: Iterable[Parameter], lr: float) -> Optimizer:
        """Build the optimiser of some parameters."""
        import torch

        from sed_cli.training.uncompiled import uncompiled

        return uncompiled(torch.optim.Adam)(
            parameters, lr, betas=(self.beta_1, self.beta_2), eps=self.eps
        )
