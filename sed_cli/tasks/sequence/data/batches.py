"""Join sentences into padded batches, each followed by the end symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sed_cli.tasks.sequence.data.sentences import Sentence
from sed_cli.tasks.sequence.data.vocabulary import END


class TokenBatch(NamedTuple):
    """A batch of sentences, padded at the end to the longest."""

    targets: Tensor  # int64 (B, T): t_1 .. t_n and the end symbol
    lengths: Tensor  # int64 (B,): n + 1, without padding
    source: Tensor | None  # int64 (B, S); None without sources
    source_lengths: Tensor | None  # int64 (B,)

    @property
    def valid(self) -> Tensor:
        """True on targets that are not padding, bool (B, T)."""
        return torch.arange(self.targets.shape[1]) < self.lengths[:, None]


def join(sentences: Sequence[Sentence]) -> TokenBatch:
    """Join sentences into a batch; there must be at least one."""
    targets = [_with_end(sentence.target) for sentence in sentences]
    sources = [s.source for s in sentences if s.source is not None]
    has_source = len(sources) == len(sentences)
    return TokenBatch(
        pad_sequence(targets, batch_first=True, padding_value=END),
        torch.tensor([len(target) for target in targets]),
        _padded(sources) if has_source else None,
        torch.tensor([len(source) for source in sources]) if has_source else None,
    )


def _with_end(tokens: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.append(tokens, END).astype(np.int64))


def _padded(rows: Sequence[NDArray[np.int64]]) -> Tensor:
    return pad_sequence([torch.from_numpy(row.astype(np.int64)) for row in rows], batch_first=True)


def in_order_of_length(
    sentences: Sequence[Sentence], *, longest: int
) -> Iterator[tuple[list[int], TokenBatch]]:
    """Yield all sentences in batches of similar length, with their indices, to minimise padding.

    Args:
        sentences: of a split.
        longest: maximum targets per batch, with padding; a longer sentence has its own batch.
    """
    sizes = np.array([len(sentence.target) + 1 for sentence in sentences])
    group: list[int] = []
    for place in np.argsort(-sizes, kind="stable").tolist():
        if group and (len(group) + 1) * sizes[group[0]] > longest:
            yield group, join([sentences[i] for i in group])
            group = []
        group.append(place)
    if group:
        yield group, join([sentences[i] for i in group])
