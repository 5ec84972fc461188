"""Many sequences stored in few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sed_cli.tasks.sequence.data.vocabulary import Vocabulary

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sentence:
    """One sequence.

    Args:
        target: (n,) tokens, n >= 1, without the end.
        source: (m,) tokens that the target is made from, m >= 1; None without a source.
        text: as in the data.
        source_text: as in the data; empty without a source.
    """

    target: Ints
    source: Ints | None
    text: str
    source_text: str = ""


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths, stored consecutively.

    Args:
        flat: (sum of lengths,) of all rows: four bytes per entry rather than an object per row.
        offsets: (N + 1,) start of each row; the last entry is the end of the last row.
    """

    flat: NDArray[np.int32]
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Ints:
        """Return row ``index``, (n,)."""
        begin, end = self.offsets[index], self.offsets[index + 1]
        return self.flat[begin:end].astype(np.int64)

    @property
    def lengths(self) -> Ints:
        """(N,) lengths of the rows."""
        return np.diff(self.offsets)

    def keys(self) -> list[bytes]:
        """Return keys that are equal only for equal rows."""
        data, ends = self.flat.tobytes(), (4 * self.offsets).tolist()
        return [data[begin:end] for begin, end in pairwise(ends)]

    def take(self, rows: Ints) -> Ragged:
        """Return some rows; ``rows`` must be ascending."""
        chosen = np.zeros(len(self), bool)
        chosen[rows] = True
        lengths = self.lengths
        return Ragged(
            self.flat[np.repeat(chosen, lengths)], np.append(0, np.cumsum(lengths[chosen]))
        )

    def cut(self, longest: int) -> Ragged:
        """Return the same entries in rows of at most ``longest``."""
        starts = [
            np.arange(begin, max(end, begin + 1), longest) for begin, end in pairwise(self.offsets)
        ]
        return Ragged(self.flat, np.append(np.concatenate(starts), self.offsets[-1]))


@dataclass(frozen=True, eq=False)
class Sentences(Sequence[Sentence]):
    """The sequences of a split; each :class:`Sentence` is created on access.

    Args:
        targets: their tokens.
        texts: (N,) as in the data.
        sources: tokens that the targets are made from, or None.
        source_texts: (N,); empty without sources.
    """

    targets: Ragged
    texts: Sequence[str]
    sources: Ragged | None = None
    source_texts: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> Sentence: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sentence]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        return Sentence(
            target=self.targets[number],
            source=None if self.sources is None else self.sources[number],
            text=self.texts[number],
            source_text=self.source_texts[number] if self.source_texts else "",
        )

    @property
    def lengths(self) -> Ints:
        """(N,) tokens of each target, without the end."""
        return self.targets.lengths


@dataclass(frozen=True, eq=False)
class TokenData:
    """Data of ``task=sequence``.

    Args:
        vocabulary: of the targets, from the training split only.
        source_vocabulary: of the sources, likewise; None without.
        unit: of the targets: ``word`` or ``char``; :func:`.split_text` splits other text likewise.
        source_unit: of the sources; None without.
        splits: those of train, validation and test that exist.
        fingerprint: hash of all of it.
        entropies: only for generated sentences: for each split the mean surprisal of a target, in
            nats, under the grammar itself: only by chance is a model's loss below it.
    """

    vocabulary: Vocabulary
    source_vocabulary: Vocabulary | None
    unit: str
    source_unit: str | None
    splits: dict[str, Sentences]
    fingerprint: str
    entropies: dict[str, float] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The entries for ``run.json``."""
        return {"data_fingerprint": self.fingerprint}
