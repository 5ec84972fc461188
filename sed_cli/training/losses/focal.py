"""The focal loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.training import LossConfig

if TYPE_CHECKING:
    from torch import Tensor


@component("loss", "focal")
class FocalLoss(LossConfig):
    """Lin et al. 2017: binary cross-entropy with a lower weight for correct outputs.

    Source: Lin, Goyal, Girshick, He, Dollar, "Focal loss for dense object detection", ICCV 2017,
    equations 4 and 5; differs: their alpha is 0.25, for anchors of which nearly all are empty.
    """

    gamma: float = setting(
        2.0, "focusing exponent; 0: binary cross-entropy", at_least=0, role=Role.FREE
    )
    alpha: float | None = setting(
        None,
        "weight of active outputs, 1 - alpha of the others; null: both 1",
        above=0,
        below=1,
        role=Role.FREE,
    )

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (B, T, C) each; linear in targets between 0 and 1."""
        from torch.nn.functional import logsigmoid

        log_p, log_rest = logsigmoid(logits), logsigmoid(-logits)
        # Powers by exp of the logarithm, since those of an underflowed p have no gradient.
        active = -log_p * (self.gamma * log_rest).exp()
        silent = -log_rest * (self.gamma * log_p).exp()
        if self.alpha is not None:
            active, silent = self.alpha * active, (1 - self.alpha) * silent
        return targets * active + (1 - targets) * silent
