"""Symbols and their token numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sed_cli.errors import DataError

END = 0
"""Token after the last token of a sequence."""

UNKNOWN = 1
"""Token of all symbols that are not in the vocabulary."""

SPECIAL = ("<end>", "<unk>")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols that a model knows; the token of a symbol is its index.

    Args:
        symbols: ``<end>`` and ``<unk>``, then those of the data, each once. If the data contain a
            symbol with the same spelling, it has its own token: text never means the first two.

    Raises:
        DataError: if it is not such a list.
    """

    symbols: tuple[str, ...]
    _tokens: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.symbols[: len(SPECIAL)] != SPECIAL:
            raise DataError(
                f"the vocabulary begins with {list(self.symbols[:2])}: expected {list(SPECIAL)}"
            )
        own = self.symbols[len(SPECIAL) :]
        tokens = {symbol: token for token, symbol in enumerate(own, start=len(SPECIAL))}
        if len(tokens) < len(own):
            twice = next(s for token, s in enumerate(own, start=2) if tokens[s] != token)
            raise DataError(f"the vocabulary contains {twice!r} twice: expected each symbol once")
        object.__setattr__(self, "_tokens", tokens)

    @classmethod
    def of(cls, symbols: Iterable[str]) -> Vocabulary:
        """Return the vocabulary of the data's symbols."""
        return cls((*SPECIAL, *symbols))

    @classmethod
    def from_json(cls, values: object) -> Vocabulary:
        """Return the vocabulary from the output of :meth:`as_json`.

        Raises:
            DataError: if ``values`` have another form.
        """
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise DataError("the vocabulary is not a list of symbols: was its file changed?")
        return cls(tuple(values))

    def as_json(self) -> list[str]:
        """Return all symbols in the order of their tokens."""
        return list(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._tokens

    def encode(self, symbols: Sequence[str]) -> NDArray[np.int64]:
        """Return the tokens of symbols, (n,); unknown symbols become <unk>."""
        tokens = (self._tokens.get(symbol, UNKNOWN) for symbol in symbols)
        return np.fromiter(tokens, np.int64, count=len(symbols))

    def decode(self, tokens: Iterable[int]) -> list[str]:
        """Return the symbols of tokens."""
        return [self.symbols[token] for token in tokens]
