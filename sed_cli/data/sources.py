"""Training data of a detector: sequences of several sources, numbered consecutively."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sed_cli.config.annotations import UNLABELLED
from sed_cli.data.augment import AugmentedSequences, Augmenter
from sed_cli.data.sequences import SequenceBatch, Sequences, collate
from sed_cli.data.views import Lesson, Mixing, Views


class SourcedSequences:
    """Training sequences of all sources, one source after the other.

    Args:
        by_source: its sequences, by the name of the source; none of them empty.
        augmenter: applied to each, with others of the same source; ``None``: none.
        views: versions of partly known recordings for teacher and student; ``None``: unchanged.
        mixing: augments recordings with pseudo-labels; ``None``: like the others.
    """

    def __init__(
        self,
        by_source: Mapping[str, Sequences],
        augmenter: Augmenter | None = None,
        views: Views | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        self._mixing = mixing
        self.by_source, self.augmenter, self._views = by_source, augmenter, views
        self._names, self._parts = list(by_source), list(by_source.values())
        self._firsts = list(accumulate(map(len, self._parts), initial=0))[:-1]

    @property
    def lengths(self) -> list[int]:
        """Frames of each sequence."""
        return [length for part in self._parts for length in part.lengths]

    def heard(self, index: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Return augmented features (T, M) and targets of a sequence in an epoch."""
        place = self._place(index)
        part, first = self._parts[place], self._firsts[place]
        if self._mixing is not None and self._names[place] == UNLABELLED:
            return self._mixing.heard(part, index - first, first, epoch)
        if self.augmenter is None:
            return part[index - first]
        return AugmentedSequences(part, self.augmenter, epoch, first=first)[index - first]

    def batch(self, indices: Sequence[int], epoch: int) -> SequenceBatch:
        """Join augmented sequences of an epoch, with the view of a teacher if there is one."""
        views = self._views
        if views is None or not views.differ:
            return collate([self.heard(index, epoch) for index in indices])
        lessons = [self._lesson(index, epoch, views) for index in indices]
        batch = collate([(each.student, each.targets) for each in lessons])
        laid = pad_sequence([each.laid for each in lessons], batch_first=True)
        return batch._replace(
            other_view=pad_sequence([each.teacher for each in lessons], batch_first=True),
            laid=laid if views.mixes else None,
        )

    def _lesson(self, index: int, epoch: int, views: Views) -> Lesson:
        place = self._place(index)
        part, first = self._parts[place], self._firsts[place]
        has_labels = self._names[place] != UNLABELLED
        return views.lesson(part, index - first, first, epoch, has_labels=has_labels)

    def _place(self, index: int) -> int:
        """Index of the source of a sequence."""
        return bisect_right(self._firsts, index) - 1
