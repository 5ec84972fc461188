"""The asymmetric loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.config.training import LossConfig

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-12  # probability; below it a power has no gradient


@component("loss", "asymmetric")
class AsymmetricLoss(LossConfig):
    """Ridnik et al. 2021: a focal loss that ignores easy negatives.

    Source: Ridnik et al., "Asymmetric loss for multi-label classification", ICCV 2021, equations 4
    to 7, with their settings for MS-COCO. Its probabilities are not calibrated: those of inactive
    outputs are only trained down to ``clip``.
    """

    gamma_positive: float = setting(
        0.0, "focusing exponent for active outputs; 0: full weight", at_least=0, role=Role.FREE
    )
    gamma_negative: float = setting(
        4.0, "focusing exponent for inactive outputs", at_least=0, role=Role.FREE
    )
    clip: float = setting(
        0.05,
        "probability up to which an inactive output has no loss",
        at_least=0,
        below=1,
        role=Role.FREE,
    )

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (B, T, C) each; linear in targets between 0 and 1."""
        import torch
        from torch.nn.functional import logsigmoid

        log_p, log_rest = logsigmoid(logits), logsigmoid(-logits)
        active = -log_p * (self.gamma_positive * log_rest).exp()
        # log(1 - p_m), where p_m = max(p - clip, 0); without a clip it is log_rest exactly
        log_clipped = torch.logaddexp(log_rest, logits.new_tensor(self.clip).log()).clamp(max=0)
        p_m = (-log_clipped.expm1()).clamp(min=_LEAST)
        return targets * active - (1 - targets) * log_clipped * p_m.pow(self.gamma_negative)
