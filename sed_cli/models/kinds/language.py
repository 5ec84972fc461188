"""The language model of ``task=sequence``: embedding of the previous token, GRU, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.config.training import SequenceModelConfig

if TYPE_CHECKING:
    from sed_cli.models.language import LanguageModel


@component("model", "language", original=True)
class LanguageConfig(SequenceModelConfig):
    """A recurrent model of the next token; with sources (data=pairs) it has an encoder."""

    SIZES: ClassVar[tuple[str, ...]] = ("model.rnn_hidden", "model.embedding_size")

    embedding_size: int = setting(64, "size of token embeddings", at_least=1)
    rnn_hidden: int = setting(128, "H, units of the GRU", at_least=1)
    dropout: float = setting(
        0.0, "dropout probability of embeddings and of the softmax's input", at_least=0, below=1
    )

    def least_weights(self) -> int:
        """Number of weights of the GRU, without those of tokens."""
        return 3 * self.rnn_hidden * (self.embedding_size + self.rnn_hidden + 2)

    def build(self, *, n_tokens: int, n_source_tokens: int | None) -> LanguageModel:
        """Build the model with random weights."""
        from sed_cli.models.language import LanguageModel

        return LanguageModel(
            n_tokens=n_tokens,
            n_source_tokens=n_source_tokens,
            embedding_size=self.embedding_size,
            rnn_hidden=self.rnn_hidden,
            dropout=self.dropout,
        )
