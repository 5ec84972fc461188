"""AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.training.optimizers.adam import Adam

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


@component("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay, Loshchilov and Hutter 2019."""

    weight_decay: float = setting(
        0.01,
        "decoupled weight decay: an update shrinks weights by this times lr",
        at_least=0,
        role=Role.FREE,
    )

    def build(self, parameters: Iterable[Parameter], lr: float) -> Optimizer:
        """Build the optimiser of some parameters; all of them decay, as in torch."""
        import torch

        from sed_cli.training.uncompiled import uncompiled

        return uncompiled(torch.optim.AdamW)(
            parameters,
            lr,
            betas=(self.beta_1, self.beta_2),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )
