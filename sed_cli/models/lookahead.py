"""The CRNN with feedback, of which each step also knows the rest of the recording.

Shapes: B sequences, T frames, F features per frame, H hidden units, C outputs.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sed_cli.models.crnn import CRNN
from sed_cli.models.recurrence import RecurrentState
from sed_cli.models.recurrence.unfed import read_backwards


class LookaheadCRNN(CRNN):
    """A CRNN whose GRU also reads the states of a second GRU, run from the end to the frame.

    Feedback only runs forwards in time, so that a bidirectional GRU cannot have it. Here the
    backward GRU runs first, on the features alone; its states are then known inputs of the
    recurrence with feedback.

    Args:
        rnn_hidden: H, of each of the two GRUs.
        sizes: the other arguments of :class:`~sed_cli.models.crnn.CRNN`.
    """

    is_causal: ClassVar[bool] = False

    def __init__(self, *, rnn_hidden: int, **sizes: Any) -> None:
        super().__init__(rnn_hidden=rnn_hidden, **sizes)
        self.later = nn.GRU(self.n_features, rnn_hidden, batch_first=True)
        self.n_read += rnn_hidden
        self.cell = nn.GRUCell(self.n_read + self.n_fed_outputs, rnn_hidden)

    def decode(
        self,
        features: Tensor,
        *fed: Tensor | None,
        lengths: Tensor | None = None,
        initial_state: RecurrentState | None = None,
        **settings: Any,
    ) -> tuple[Tensor, None]:
        """Run both GRUs: features (B, T, F) -> logits (B, T, C); there is no state.

        Targets, their mask and the settings of feedback are those of :meth:`CRNN.decode`.
        """
        # The weights decide the precision: under autocast a recurrence would round at every step.
        with torch.autocast(features.device.type, enabled=False):
            later = read_backwards(features, self.later, lengths)  # (B, T, H)
        inputs = torch.cat([features.to(later), later], dim=2)  # (B, T, F + H)
        return super().decode(inputs, *fed, lengths=lengths, **settings)[0], None
