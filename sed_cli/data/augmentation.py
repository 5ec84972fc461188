"""The base of augmentations: settings, and their effect on a training sequence.

Features are cached, so augmentations work on features. Changes of a waveform have equivalents
there: a gain is an offset of the log-mel, a filter an offset of each band, and the power of the
sum of two uncorrelated sounds is, on average, the sum of their powers. So sounds are mixed, and
noise is added, on the power of the mel bands; only the interference between the two is lost,
which varies from frame to frame and carries no information.

All draws depend only on the seed, the epoch and the index of the sequence: not on the batch,
the process, or earlier draws. So a resumed run continues exactly, without saved state.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sed_cli.config.settings import Settings, range_faults
from sed_cli.config.training import FeatureConfig, PowerConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MOST_DB = 200
"""Limit of level changes: more than the range between silence and overflow."""


class Item(NamedTuple):
    """A sequence: features (T, M) and activities (T, C), or with onsets targets (T, 2C)."""

    log_mel: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Training:
    """Properties common to all sequences.

    Args:
        feature: settings of the features.
        fill: mean of each band over the training split, (M,): value of masked bands and frames,
            zero after the model's normalisation.
        seed: of all draws.
    """

    feature: FeatureConfig
    fill: Tensor
    seed: int

    @property
    def power(self) -> PowerConfig:
        """The features, for an augmentation that is ``ON_POWER``."""
        assert isinstance(self.feature, PowerConfig)
        return self.feature


# Streams that had numbers before they had names: their draws stay the same.
_NUMBERED = {"roll": 0, "mixup": 1, "noise": 2, "level.gain": 3, "level.filter": 4, "masks": 5}


class Draws:
    """The generators of one sequence in one epoch.

    Args:
        seed: of all draws.
        epoch: of the training.
        index: of the sequence.
        view: of a sequence augmented in several ways at once; view 0 draws as without views.
    """

    def __init__(self, seed: int, epoch: int, index: int, view: int = 0) -> None:
        # Numbers of streams end the key, so that a view before them changes all.
        self._key = (seed, epoch, index, view) if view else (seed, epoch, index)

    def generator(self, stream: str) -> np.random.Generator:
        """A separate generator for each stream, by its name: its component's, or NAME.PART.

        Draws of one stream do not affect the others, so that switching an augmentation on changes
        nothing else.
        """
        import numpy as np

        number = _NUMBERED.get(stream)
        if number is None:
            number = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())
        return np.random.default_rng(np.random.SeedSequence((*self._key, number)))

    def chance(self, probability: float, stream: str) -> np.random.Generator | None:
        """Draw whether to apply something; if so, return its generator."""
        if not probability:
            return None
        generator = self.generator(stream)
        return generator if generator.random() < probability else None


class Others(NamedTuple):
    """The sequences of the split: the n-th is ``sequences[n]``."""

    sequences: Any
    n_sequences: int
    number: int  # of the augmented one


@dataclass
class Augmentation(Settings, ABC):
    """An augmentation; its fields are keys of the config group ``augment``."""

    KIND: ClassVar[str] = "augmentation"

    # Order among built-in ones, which come before those of plugins.
    ORDER: ClassVar[int] = 0
    ON_POWER: ClassVar[bool] = False  # whether it needs features that are the power of bands
    # Whether it keeps activities: then student and teacher get separate draws for unlabelled
    # recordings.
    KEEPS_TARGETS: ClassVar[bool] = False

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Whether the settings activate it."""

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """All faults, in single values, in combinations, and with regard to the features."""
        return range_faults(self, prefix)

    def prepare(self, training: Training) -> Any:
        """Create, once, the argument ``prepared`` of :meth:`apply`."""
        return training

    @abstractmethod
    def apply(self, item: Item, draws: Draws, others: Others, prepared: Any) -> Item:
        """Return an augmented sequence.

        Args:
            item: the sequence; it must not be changed in place.
            draws: its generators.
            others: the split it is from.
            prepared: result of :meth:`prepare`; by default the :class:`Training`.
        """


def uniform(bounds: Sequence[float], draw: np.random.Generator) -> float:
    """Draw a number between two."""
    lowest, highest = bounds
    return float(draw.uniform(lowest, highest))
