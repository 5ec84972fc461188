"""Augmented training sequences of an epoch: all augmentations in sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from sed_cli.config.training import AugmentConfig, FeatureConfig
from sed_cli.data.augmentation import Draws, Item, Others, Training
from sed_cli.data.sequences import Sequences


class Augmenter:
    """Augments single sequences before they are padded, so that padding is unaffected.

    Args:
        config: settings of the augmentations.
        feature, fill, seed: as in :class:`.Training`.
        is_shared: whether to apply only augmentations that change activities, which teacher and
            student of recordings without labels share.
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
        """Whether any augmentation is active."""
        return bool(self._steps)

    @property
    def has_views(self) -> bool:
        """Whether views of a sequence differ."""
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
        """Return sequence ``index`` augmented for an epoch.

        Args:
            sequences: of its source.
            n_sequences: how many these are.
            index: of the sequence among them.
            epoch: of the training.
            first: how many sequences of other sources come before.
            view: views other than 0 differ in augmentations that keep activities.
        """
        others = Others(sequences, n_sequences, index)
        return self.heard(Item(*sequences[index]), others, first + index, epoch, view)

    def heard(self, item: Item, others: Others, number: int, epoch: int, view: int = 0) -> Item:
        """Return a sequence augmented for an epoch.

        Args:
            item: the sequence.
            others: sequences that may be mixed in.
            number: of the sequence among those of all sources.
            epoch: of the training.
            view: as in :meth:`__call__`.
        """
        for part, prepared in self._steps:
            draws = Draws(self._seed, epoch, number, view if part.KEEPS_TARGETS else 0)
            item = part.apply(item, draws, others, prepared)
        return item


class AugmentedSequences(Dataset[tuple[Tensor, Tensor]]):
    """Augmented training sequences of one epoch.

    Args:
        sequences: of the training split.
        augmenter: augments them.
        epoch: each has its own draws.
        first: number of the first of them among those of all sources.
        view: as in :meth:`Augmenter.__call__`.
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
