"""The model's decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.feedback import HARD, FeedbackRule

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "hard")
class Hard(FeedbackRule):
    """The thresholded class activities of the previous frame.

    1 where the probability is above 0.5, that is, where the logit is above 0, else 0; for tokens
    the most likely, or the first of several. A decision amplifies rounding: if a logit is 0 up to
    rounding, back ends with different summation order may decide differently, and the sequences
    diverge from there, both equally correct.

    Source: Drossos et al. 2019, section 2.
    """

    ORDER: ClassVar[int] = 1
    code: ClassVar[int] = HARD
    decides: ClassVar[bool] = True

    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """0 or 1."""
        return (logits > 0).to(logits.dtype)

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """The highest logit."""
        return logits.argmax(1)

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """A comparison."""
        import numpy as np

        active = g.node("Greater", logits, g.weight("threshold", np.float32(0)))
        name: str = g.node("Cast", active, to=g.FLOAT)
        return name
