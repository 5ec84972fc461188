"""A draw with the model's own probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.feedback import BELOW_ONE, SAMPLED, FeedbackRule

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "sampled")
class Sampled(FeedbackRule):
    """Class activities of the previous frame, drawn with the model's probabilities.

    1 where the uniform is below the probability; for tokens the first at which the cumulative
    softmax of the logits exceeds the uniform. The caller draws the uniforms, so that a run is
    reproducible.

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
        """By the cumulative sum of the probabilities."""
        import torch

        assert noise is not None
        weights = (logits - logits.amax(1, keepdim=True)).exp()
        # (B, C); float32 loses unlikely ones among 100,000 tokens
        sums = weights.double().cumsum(1)
        wanted = sums[:, -1:] * noise.double().clamp(max=BELOW_ONE)
        chosen = torch.searchsorted(sums, wanted, right=True).squeeze(1)
        return chosen.clamp(max=logits.shape[1] - 1)  # NaN has no position among the sums
