"""Many sequences in few arrays."""

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
        target: (n,) tokens, n >= 1, without that of the end.
        source: (m,) tokens of what it is made from, m >= 1; None where there is nothing such.
        text: as the data write it.
        source_text: as the data write it; empty without a source.
    """

    target: Ints
    source: Ints | None
    text: str
    source_text: str = ""


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths, one after the other.

    Args:
        flat: (sum of lengths,) of all rows: four bytes an entry rather than an object a row.
        offsets: (N + 1,) where each row begins; the last is where the last row ends.
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
        """(N,) of the rows."""
        return np.diff(self.offsets)

    def keys(self) -> list[bytes]:
        """Return what is equal for equal rows only."""
        data, ends = self.flat.tobytes(), (4 * self.offsets).tolist()
        return [data[begin:end] for begin, end in pairwise(ends)]

    def take(self, rows: Ints) -> Ragged:
        """Return some rows; ``rows`` are rising."""
        chosen = np.zeros(len(self), bool)
        chosen[rows] = True
        lengths = self.lengths
        return Ragged(
            self.flat[np.repeat(chosen, lengths)], np.append(0, np.cumsum(lengths[chosen]))
        )

    def cut(self, longest: int) -> Ragged:
        """Return the same entries in rows of ``longest`` at most."""
        starts = [
            np.arange(begin, max(end, begin + 1), longest) for begin, end in pairwise(self.offsets)
        ]
        return Ragged(self.flat, np.append(np.concatenate(starts), self.offsets[-1]))


@dataclass(frozen=True, eq=False)
class Sentences(Sequence[Sentence]):
    """The sequences of a split; a :class:`Sentence` is made when it is asked for.

    Args:
        targets: their tokens.
        texts: (N,) as the data write them.
        sources: tokens of what they are made from, or None.
        source_texts: (N,) or, without sources, none.
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
    """What ``task=sequence`` learns from.

    Args:
        vocabulary: of the targets, from the training split alone.
        source_vocabulary: of the sources, likewise; None without.
        unit: of the targets: ``word`` or ``char``; :func:`.split_text` cuts other text likewise.
        source_unit: of the sources; None without.
        splits: train, validation, test, as far as they exist.
        fingerprint: hash of all of it.
        entropies: for generated sentences alone: of each split the mean surprise of a target, in
            nats, to one who knows the grammar: no model's loss is below it but by chance.
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
        """What ``run.json`` tells of them."""
        return {"data_fingerprint": self.fingerprint}
