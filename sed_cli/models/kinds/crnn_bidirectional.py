"""The bidirectional CRNN, without feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.models.kinds.crnn import CRNNConfig

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN


@component("model", "crnn_bidirectional")
class BidirectionalCRNNConfig(CRNNConfig):
    """Convolutions over time and frequency, a bidirectional GRU (rnn_hidden units each way)."""

    GRUS: ClassVar[int] = 2

    feedback: ClassVar[bool] = False  # type: ignore[misc]  # no setting here: nothing can be fed

    def build(self, *, n_mels: int, n_classes: int) -> CRNN:
        """Build the model with random weights."""
        from sed_cli.models.bidirectional import BidirectionalCRNN

        return BidirectionalCRNN(n_mels=n_mels, **self.sizes(n_classes))
