"""Frames weighted by their own probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.pooling import ClipPooling

if TYPE_CHECKING:
    from torch import nn


@component("clip_pooling", "linear_softmax")
class LinearSoftmax(ClipPooling):
    """The mean of the probabilities, each weighted by itself; without learnt weights.

    Source: Wang, Li and Metze 2019, "A comparison of five multiple instance learning pooling
    functions for sound event detection with weak labeling", eq. 3: in a clip with the
    class, frames above half of its probability are increased, and those below are reduced.
    """

    ORDER: ClassVar[int] = 1

    def build(self, n_classes: int) -> nn.Module:
        """A module without weights."""
        from sed_cli.models.clips import LinearSoftmaxPooling

        return LinearSoftmaxPooling()
