"""The CRNN without feedback, with a bidirectional recurrence.

Shapes: B sequences, T frames, F features per frame, H hidden units per direction, C classes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sed_cli.models.non_causal import NonCausalCRNN


class BidirectionalCRNN(NonCausalCRNN):
    """Convolutions over time and frequency, torch's bidirectional GRU, a linear readout.

    Source: Cakir et al. 2017, "Convolutional recurrent neural networks for polyphonic sound event
    detection", whose recurrence is unidirectional; bidirectional in the DCASE task 4 baselines.

    Args:
        rnn_hidden: H, units per direction.
        sizes: the other arguments of :class:`~sed_cli.models.crnn.CRNN`.
    """

    def __init__(self, *, rnn_hidden: int, **sizes: Any) -> None:
        super().__init__(rnn_hidden=rnn_hidden, **sizes)
        self.gru = nn.GRU(self.n_features, rnn_hidden, batch_first=True, bidirectional=True)
        self.readout = nn.Linear(2 * rnn_hidden, self.n_outputs)

    def read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the GRU: (B, T, F) -> (B, T, 2H)."""
        if lengths is None:
            hidden: Tensor = self.gru(features)[0]
            return hidden
        # Packed, so that the backward direction starts at the last frame before the padding.
        packed = pack_padded_sequence(
            features, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=features.shape[1]
        )
        return hidden
