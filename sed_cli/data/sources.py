"""Training data of a detector: sequences of several sources, numbered consecutively."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from torch import Tensor

from sed_cli.data.augment import AugmentedSequences, Augmenter
from sed_cli.data.sequences import Sequences


class SourcedSequences:
    """Training sequences of all sources, one source after the other.

    Args:
        by_source: its sequences, by the name of the source; none of them empty.
        augmenter: applied to each, with others of the same source; ``None``: none.
    """

    def __init__(
        self, by_source: Mapping[str, Sequences], augmenter: Augmenter | None = None
    ) -> None:
        self.by_source, self.augmenter = by_source, augmenter
        self._parts = list(by_source.values())
        self._firsts = list(accumulate(map(len, self._parts), initial=0))[:-1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sequence."""
        return [length for part in self._parts for length in part.lengths]

    @property
    def has_views(self) -> bool:
        """Whether views of a sequence differ."""
        return self.augmenter is not None and self.augmenter.has_views

    def heard(self, index: int, epoch: int, view: int = 0) -> tuple[Tensor, Tensor]:
        """Return augmented features (T, M) and targets of a sequence in an epoch."""
        place = bisect_right(self._firsts, index) - 1
        part, first = self._parts[place], self._firsts[place]
        if self.augmenter is None:
            return part[index - first]
        heard = AugmentedSequences(part, self.augmenter, epoch, first=first, view=view)
        return heard[index - first]
