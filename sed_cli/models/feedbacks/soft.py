"""Probabilities without a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.feedback import SOFT, FeedbackRule

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "soft")
class Soft(FeedbackRule):
    """The class probabilities of the previous frame.

    For tokens, the mean of all embeddings, weighted by the tokens' probabilities.
    """

    ORDER: ClassVar[int] = 3
    code: ClassVar[int] = SOFT

    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Probabilities."""
        return logits.sigmoid()

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Probabilities (B, C) instead of ids: only in this rule."""
        return logits.softmax(1)

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """A sigmoid."""
        name: str = g.node("Sigmoid", logits)
        return name
