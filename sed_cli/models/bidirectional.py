"""The CRNN without feedback, with a bidirectional recurrence.

Shapes: B sequences, T frames, F features per frame, H hidden units per direction, C classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sed_cli.models.non_causal import NonCausalCRNN
from sed_cli.models.recurrence.unfed import read_backwards, read_forwards


class BidirectionalCRNN(NonCausalCRNN):
    """Convolutions over time and frequency, a bidirectional GRU, a linear readout.

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
        forwards = read_forwards(features, self.gru)
        return torch.cat([forwards, read_backwards(features, self.gru, lengths)], dim=2)
