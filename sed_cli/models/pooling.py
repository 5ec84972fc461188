"""What a pooling over time is: how the probability of a class in a clip follows from its frames.

A pooling is a class in a file of :mod:`sed_cli.models.poolings`, which ``model.clip_pooling``
chooses by its name. What it builds takes the logits of the frames and nothing else, so that clips
can be told of any model, of recordings of any length, and of scores that were kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-6  # probability of a clip: its log-odds, and gradients, stay finite


class ClipPooling(ABC):
    """A pooling; what it learns belongs to the module that it builds."""

    KIND: ClassVar[str] = "clip_pooling"

    ORDER: ClassVar[int] = 0
    IS_LEARNT: ClassVar[bool] = False  # whether the module has weights

    name: str = ""  # which a component has

    @abstractmethod
    def build(self, n_classes: int) -> Any:
        """Build the module.

        It takes logits of activities (B, T, C) and which frames are there, bool (B, T) or None for
        all, and returns logits of clips (B, C). Padding must not change them.
        """


def averaged(probabilities: Tensor, weights: Tensor, valid: Tensor | None) -> Tensor:
    """Logits of clips (B, C) from weighted means over the frames that are there.

    Args:
        probabilities: of the frames, (B, T, C).
        weights: of them, not negative, (B, T, C).
        valid: frames that are no padding, bool (B, T); None: all.
    """
    if valid is not None:
        weights = weights * valid[..., None]
    total = weights.sum(dim=1).clamp(min=1e-12)
    return ((probabilities * weights).sum(dim=1) / total).logit(_SMALLEST)
