"""The CRNN with feedback that also reads the recording from its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.models.kinds.crnn import CRNNConfig

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN


@component("model", "crnn_lookahead")
class LookaheadCRNNConfig(CRNNConfig):
    """The CRNN; before, a GRU runs from the end, whose states it reads (rnn_hidden units each)."""

    def least_weights(self, n_features: int, n_classes: int) -> int:
        """Add the weights of the GRU from the end, and those that read its states."""
        hidden = self.rnn_hidden
        n_read = self.n_read(n_features)
        backwards = 3 * hidden * (n_read + hidden + 2)
        return super().least_weights(n_features, n_classes) + backwards + 3 * hidden * hidden

    def build(self, *, n_mels: int, n_classes: int) -> CRNN:
        """Build the model with random weights."""
        from sed_cli.models.lookahead import LookaheadCRNN

        return LookaheadCRNN(n_mels=n_mels, **self.sizes(n_classes))
