"""A recurrent language model: predicts the next token from the previous one and the history.

Shapes: B sequences, T steps of the target, S of the source, C tokens, D embedding values, H
hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, embedding

from sed_cli.models.labels import SOURCE, LabelAxis
from sed_cli.models.recurrence import (
    Backend,
    Feedback,
    RecurrentState,
    check_tokens,
    feedback_gru_with_state,
)


class LanguageModel(nn.Module):
    """Embedding of the previous token, a GRU, a linear readout; optionally a source's encoder.

    The loop is the detector's (:mod:`sed_cli.models.recurrence`): the input at step t is the token
    of step t-1, target or the model's own, and empty at the first step. With ``n_source_tokens`` a
    second GRU reads a source sequence, and its last state is the first of the decoder.

    Dropout must be the same for all steps, since the choice at a step depends on it: each forward
    pass drops values of the embedding table and columns of the readout, so that one mask serves all
    steps and sequences of a batch. Embeddings of the source, known in advance, are dropped
    individually.

    Source: Bengio et al. 2015; Gal and Ghahramani 2016 for the dropout; differs: theirs has one
    mask per sequence.

    Args:
        n_tokens: C, of the target.
        embedding_size: D.
        rnn_hidden: H.
        dropout: probability of dropping a value, in [0, 1).
        n_source_tokens: of the source; None: no source.

    Attributes:
        backend: of the recurrence; not part of the model's state.

    Raises:
        ValueError: if ``dropout`` is not in [0, 1).
    """

    def __init__(
        self,
        *,
        n_tokens: int,
        embedding_size: int,
        rnn_hidden: int,
        dropout: float,
        n_source_tokens: int | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout={dropout}: expected a probability in [0, 1)")
        self.n_tokens = n_tokens
        self.n_source_tokens = n_source_tokens
        self.dropout = dropout
        self.backend: Backend = "auto"
        self.embedding = nn.Embedding(n_tokens, embedding_size)
        self.cell = nn.GRUCell(embedding_size, rnn_hidden)
        self.readout = nn.Linear(rnn_hidden, n_tokens)
        if n_source_tokens is not None:
            self.source_embedding = nn.Embedding(n_source_tokens, embedding_size)
            self.encoder = nn.GRU(embedding_size, rnn_hidden, batch_first=True)

    @property
    def label_axes(self) -> Mapping[str, LabelAxis]:
        """Positions of the symbols in the weights."""
        return {
            "embedding.weight": LabelAxis(),
            "readout.weight": LabelAxis(),
            "readout.bias": LabelAxis(),
            "source_embedding.weight": LabelAxis(of=SOURCE),
        }

    def forward(
        self,
        targets: Tensor,
        teacher_mask: Tensor | None,
        *,
        lengths: Tensor | None = None,
        source: Tensor | None = None,
        source_lengths: Tensor | None = None,
        feedback: Feedback = "hard",
        noise: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every step and token.

        Args:
            targets: ids, int64 (B, T); where ``teacher_mask`` is None only T is taken from them.
            teacher_mask: bool (B, T), entry t decides the feedback after step t; None: free
                running.
            lengths: steps of each sequence that are not padding, (B,); None: all. The padding may
                contain anything.
            source: ids, int64 (B, S), if the model has an encoder.
            source_lengths: likewise of the source, (B,).
            feedback: rule for the model's own output: ``hard``, ``sampled``, ``soft``.
            noise: uniforms in [0, 1), (B, T, 1), for ``sampled``.

        Returns:
            Logits (B, T, C); undefined in the padding.

        Raises:
            ValueError: if shapes do not fit, or an id has no row in its table.
        """
        if targets.ndim != 2:
            raise ValueError(f"targets of shape {tuple(targets.shape)}: expected (B, T)")
        n_sequences, n_steps = targets.shape
        table, readout = self.embedding.weight, self.readout
        if self.training and self.dropout:
            table = dropout(table, self.dropout)
            readout = self._readout_of_some()
        hidden = self._encode(source, source_lengths, n_sequences)
        logits, _ = feedback_gru_with_state(
            table.new_empty(n_sequences, n_steps, 0),
            None if teacher_mask is None else _without_padding(targets, lengths),
            teacher_mask,
            self.cell,
            readout,
            self.backend,
            table=table,
            feedback=feedback,
            noise=noise,
            initial_state=RecurrentState(hidden, table.new_zeros(n_sequences, table.shape[1])),
        )
        return logits

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> Tensor:
        """Read the source: (B, S) -> the decoder's first hidden state (B, H).

        Empty sources give zeros, as does a model without an encoder.
        """
        return self._encode(source if self.n_source_tokens else None, source_lengths, len(source))

    def step(self, tokens: Tensor | None, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step, without dropout: for beams and prefixes, equal to :meth:`forward`.

        Args:
            tokens: of the previous step, (B,); None before the first.
            hidden: state after it, (B, H); at first that of :meth:`encode`.

        Returns:
            Logits (B, C) and the hidden state after the step (B, H).
        """
        table = self.embedding.weight
        with torch.autocast(hidden.device.type, enabled=False):
            if tokens is None:
                fed = table.new_zeros(len(hidden), table.shape[1])  # (B, D)
            else:
                fed = embedding(check_tokens("tokens", tokens, (len(hidden),), len(table)), table)
            hidden = self.cell(fed, hidden.to(table))
            return self.readout(hidden), hidden

    def _encode(self, source: Tensor | None, lengths: Tensor | None, n_sequences: int) -> Tensor:
        zeros = self.cell.weight_hh.new_zeros(n_sequences, self.cell.hidden_size)
        if self.n_source_tokens is None:
            if source is not None:
                raise ValueError("a source, but the model has no encoder: give it n_source_tokens")
            return zeros
        if source is None:
            raise ValueError("the model has an encoder: expected a source, ids of (B, S)")
        source = _without_padding(source, lengths)
        source = check_tokens("source", source, (n_sequences, None), self.n_source_tokens)
        if lengths is None:
            lengths = torch.full((n_sequences,), source.shape[1])
        lengths = lengths.cpu()
        if not lengths.any():
            return zeros
        embedded = dropout(self.source_embedding(source), self.dropout, self.training)  # (B, S, D)
        # torch rejects empty sequences: these read one token, and their state is not used.
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded, lengths.clamp(min=1), batch_first=True, enforce_sorted=False
        )
        last: Tensor = self.encoder(packed)[1][0]  # (1, B, H) -> (B, H)
        has_source = (lengths > 0).to(last.device)[:, None]
        return torch.where(has_source, last, 0.0)

    def _readout_of_some(self) -> nn.Linear:
        """Return the readout with the hidden units that this pass keeps."""
        kept = dropout(self.readout.weight.new_ones(self.readout.in_features), self.dropout)
        readout = nn.Linear(self.readout.in_features, self.n_tokens, device="meta")
        for name, value in (("weight", self.readout.weight * kept), ("bias", self.readout.bias)):
            delattr(readout, name)  # a parameter cannot be replaced by a plain tensor
            setattr(readout, name, value)
        return readout


def _without_padding(tokens: Tensor, lengths: Tensor | None) -> Tensor:
    """Fill the padding of sequences (B, T) with a token that every vocabulary has."""
    if lengths is None:
        return tokens
    steps = torch.arange(tokens.shape[1], device=tokens.device)
    return torch.where(steps < lengths.to(tokens.device)[:, None], tokens, 0)
