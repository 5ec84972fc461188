"""What models share that read a recording both ways: no recurrence that could be fed back.

Shapes: B sequences, T frames, F features a frame, D numbers a frame before the readout, C outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sed_cli.models.crnn import CRNN


class NonCausalCRNN(CRNN):
    """The convolutions of a CRNN, and in the place of its recurrence what a subclass reads with.

    Each frame depends on frames after it, so that nothing can be fed back from one step to the
    next, and a stream has no events before its end. A subclass replaces ``readout``, too.

    Args:
        sizes: the arguments of :class:`CRNN`; ``feedback`` is off, whatever it is.
    """

    is_causal: ClassVar[bool] = False

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**{**sizes, "feedback": False})
        del self.cell

    @abstractmethod
    def read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Read features (B, T, F) of which ``lengths`` (B,) frames are no padding: (B, T, D)."""

    def decode(
        self,
        features: Tensor,
        targets: Tensor | None = None,
        teacher_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        **unused: Any,
    ) -> tuple[Tensor, None]:
        """Read all frames: features (B, T, F) -> logits (B, T, C); there is no state."""
        # The weights decide the precision: under autocast a recurrence would round at every step.
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.readout(self.read(features, lengths))
        return logits, None
