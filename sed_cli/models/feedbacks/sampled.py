"""A draw with the model's own probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.feedback import BELOW_ONE, SAMPLED, FeedbackRule

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "sampled")
class Sampled(FeedbackRule):
    """Class activities of the frame before, drawn with the model's probabilities.

    1 where the uniform is below the probability; of tokens the first up to which the probabilities,
    the softmax of the logits, add up to more than the uniform. The uniforms are drawn by the
    caller, so that a run repeats exactly.

    Source: Bengio et al. 2015, section 2.
    """

    ORDER: ClassVar[int] = 2
    code: ClassVar[int] = SAMPLED
    draws: ClassVar[bool] = True
    decides: ClassVar[bool] = True

    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """0 or 1."""
        assert noise is not None
        return (noise < logits.sigmoid()).to(logits.dtype)

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """By the running sum of the probabilities."""
        import torch

        assert noise is not None
        weights = (logits - logits.amax(1, keepdim=True)).exp()
        sums = weights.double().cumsum(1)  # (B, C); float32 loses the unlikely of 100,000 tokens
        wanted = sums[:, -1:] * noise.double().clamp(max=BELOW_ONE)
        chosen = torch.searchsorted(sums, wanted, right=True).squeeze(1)
        return chosen.clamp(max=logits.shape[1] - 1)  # NaN has no place among the sums
