"""Cross-entropy of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.training import LossConfig

if TYPE_CHECKING:
    from torch import Tensor


@component("loss", "cross_entropy", original=True)
class CrossEntropy(LossConfig):
    """Cross-entropy of each token (task=sequence)."""

    TASK: ClassVar[str] = "sequence"

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each token: (N,) of logits (N, C) and ids (N,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, reduction="none")
