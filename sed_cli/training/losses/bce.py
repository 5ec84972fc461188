"""Binary cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.training import LossConfig

if TYPE_CHECKING:
    from torch import Tensor


@component("loss", "bce", original=True)
class BinaryCrossEntropy(LossConfig):
    """Binary cross-entropy of each class and frame."""

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output: (B, T, C) each."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, targets, reduction="none")
