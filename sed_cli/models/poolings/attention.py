"""Frames weighted by learnt attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.pooling import ClipPooling

if TYPE_CHECKING:
    from torch import nn


@component("clip_pooling", "attention")
class Attention(ClipPooling):
    """The mean of the probabilities, weighted by a softmax over time of learnt scores.

    A class's scores are a linear function of the logits of all classes in the frame, initially only
    of its own. Source: the attention of the DCASE task 4 baselines (Turpault et al. 2019); differs:
    theirs is a function of the hidden states, which streams and saved scores lack, and is
    normalised over classes.
    """

    ORDER: ClassVar[int] = 2
    IS_LEARNT: ClassVar[bool] = True

    def build(self, n_classes: int) -> nn.Module:
        """A module with one weight per pair of classes."""
        from sed_cli.models.clips import AttentionPooling

        return AttentionPooling(n_classes)
