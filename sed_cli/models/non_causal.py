"""The base of non-causal models, without a recurrence for feedback.

Shapes: B sequences, T frames, F features per frame, D numbers per frame before the readout, C
outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sed_cli.models.crnn import CRNN


class NonCausalCRNN(CRNN):
    """The convolutions of a CRNN, with the recurrence replaced by a subclass.

    Each frame depends on later frames, so that there is no feedback from one step to the next, and
    a stream has no events before its end. A subclass replaces ``readout``, too.

    Args:
        sizes: the arguments of :class:`CRNN`; ``feedback`` is ignored.
    """

    is_causal: ClassVar[bool] = False

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**{**sizes, "feedback": False})
        del self.cell

    @abstractmethod
    def read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Read features (B, T, F) with ``lengths`` (B,) frames before the padding: (B, T, D)."""

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
