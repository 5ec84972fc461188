"""The CRNN without feedback whose recurrence reads a recording both ways.

Shapes: B sequences, T frames, F features a frame, H hidden units each way, C classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sed_cli.models.crnn import CRNN


class BidirectionalCRNN(CRNN):
    """Convolutions over time and frequency, torch's bidirectional GRU, a linear readout.

    Each frame depends on the whole recording, so that nothing can be fed back from one step to the
    next, and a stream has no events before its end.

    Source: Cakir et al. 2017, "Convolutional recurrent neural networks for polyphonic sound event
    detection", whose recurrence is unidirectional; bidirectional in the DCASE task 4 baselines.

    Args:
        rnn_hidden: H, units each way.
        sizes: the other arguments of :class:`CRNN`.
    """

    is_causal: ClassVar[bool] = False

    def __init__(self, *, rnn_hidden: int, **sizes: Any) -> None:
        super().__init__(rnn_hidden=rnn_hidden, **{**sizes, "feedback": False})
        del self.cell
        self.gru = nn.GRU(self.n_features, rnn_hidden, batch_first=True, bidirectional=True)
        self.readout = nn.Linear(2 * rnn_hidden, self.n_outputs)

    def decode(
        self,
        features: Tensor,
        targets: Tensor | None = None,
        teacher_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        **unused: Any,
    ) -> tuple[Tensor, None]:
        """Run the GRU: features (B, T, F) -> logits (B, T, C); there is no state to go on from."""
        # The weights decide the precision: under autocast a recurrence would round at every step.
        with torch.autocast(features.device.type, enabled=False):
            if lengths is None:
                hidden, _ = self.gru(features)  # (B, T, 2H)
            else:
                # Packed, so that the way back begins at the last frame that is no padding.
                packed = pack_padded_sequence(
                    features, lengths.cpu(), batch_first=True, enforce_sorted=False
                )
                hidden, _ = pad_packed_sequence(
                    self.gru(packed)[0], batch_first=True, total_length=features.shape[1]
                )
            logits: Tensor = self.readout(hidden)
        return logits, None
