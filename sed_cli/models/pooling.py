"""The base of poolings over time, from frame probabilities to the probability of a clip.

A pooling is a class in a file of :mod:`sed_cli.models.poolings`, which ``model.clip_pooling``
chooses by its name. Its module only takes logits of frames, so that it supports any model,
recordings of any length, and saved scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-6  # margin of a clip's probability: its log-odds and gradients stay finite


class ClipPooling(ABC):
    """A pooling; learnt weights belong to the module that it builds."""

    KIND: ClassVar[str] = "clip_pooling"

    ORDER: ClassVar[int] = 0
    IS_LEARNT: ClassVar[bool] = False  # whether the module has weights

    name: str = ""  # of a component

    @abstractmethod
    def build(self, n_classes: int) -> Any:
        """Build the module.

        It takes logits of activities (B, T, C) and valid frames, bool (B, T) or None for all, and
        returns logits of clips (B, C). Padding must not change them.
        """


def averaged(probabilities: Tensor, weights: Tensor, valid: Tensor | None) -> Tensor:
    """Logits of clips (B, C) from weighted means over valid frames.

    Args:
        probabilities: of the frames, (B, T, C).
        weights: of them, not negative, (B, T, C).
        valid: frames that are not padding, bool (B, T); None: all.
    """
    if valid is not None:
        weights = weights * valid[..., None]
    total = weights.sum(dim=1).clamp(min=1e-12)
    return ((probabilities * weights).sum(dim=1) / total).logit(_SMALLEST)
