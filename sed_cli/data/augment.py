"""Training sequences as they are heard in an epoch: all augmentations, one after the other."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from sed_cli.config.training import AugmentConfig, FeatureConfig
from sed_cli.data.augmentation import Draws, Item, Others, Training
from sed_cli.data.sequences import Sequences


class Augmenter:
    """Augments single sequences, before they are padded: padding stays what it is.

    Args:
        config: what is done, and how much of it.
        feature, fill, seed: as of :class:`.Training`.
        is_shared: whether only what changes activities is done, which teacher and student of
            recordings without labels share.
    """

    def __init__(
        self,
        config: AugmentConfig,
        *,
        feature: FeatureConfig,
        fill: Tensor,
        seed: int,
        is_shared: bool = False,
    ) -> None:
        training = Training(feature, fill, seed)
        self._seed = seed
        self._steps = [
            (part, part.prepare(training))
            for part in config.parts()
            if part.is_active and not (is_shared and part.KEEPS_TARGETS)
        ]

    @property
    def is_active(self) -> bool:
        """Whether anything is done at all."""
        return bool(self._steps)

    @property
    def has_views(self) -> bool:
        """Whether a sequence sounds otherwise in another view."""
        return any(part.KEEPS_TARGETS for part, _ in self._steps)

    def __call__(
        self,
        sequences: Dataset[Any],
        n_sequences: int,
        index: int,
        epoch: int,
        first: int = 0,
        view: int = 0,
    ) -> Item:
        """Return sequence ``index`` as it is heard in an epoch.

        Args:
            sequences: of its source.
            n_sequences: how many these are.
            index: of the sequence among them.
            epoch: in which it is heard.
            first: how many sequences of other sources come before.
            view: others than 0 differ in what leaves activities as they are.
        """
        others = Others(sequences, n_sequences, index)
        return self.heard(Item(*sequences[index]), others, first + index, epoch, view)

    def heard(self, item: Item, others: Others, number: int, epoch: int, view: int = 0) -> Item:
        """Return a sequence as it is heard in an epoch.

        Args:
            item: the sequence.
            others: what may be mixed in.
            number: of the sequence among those of all sources.
            epoch: in which it is heard.
            view: as of :meth:`__call__`.
        """
        for part, prepared in self._steps:
            draws = Draws(self._seed, epoch, number, view if part.KEEPS_TARGETS else 0)
            item = part.apply(item, draws, others, prepared)
        return item


class AugmentedSequences(Dataset[tuple[Tensor, Tensor]]):
    """Training sequences as they are heard in one epoch.

    Args:
        sequences: of the training split.
        augmenter: what is done to them.
        epoch: each has its own draws.
        first: number of the first of them among those of all sources.
        view: as of :meth:`Augmenter.__call__`.
    """

    def __init__(
        self,
        sequences: Sequences,
        augmenter: Augmenter,
        epoch: int,
        *,
        first: int = 0,
        view: int = 0,
    ) -> None:
        self._sequences = sequences
        self._augmenter = augmenter
        self._epoch = epoch
        self._first, self._view = first, view

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        """Return features (T, M) and targets (T, C) or (T, 2C) of a piece, both float32."""
        numbers = (self._epoch, self._first, self._view)
        return self._augmenter(self._sequences, len(self), item, *numbers)
