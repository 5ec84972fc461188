"""What an augmentation is: its settings, and what it does to a training sequence.

Features are cached, so everything happens on them. What changes a waveform in a way that its
features know of is done there as well: a gain is an offset of the log-mel, a filter an offset of
each band, and the power of a sum of two sounds that have nothing to do with each other is, on
average, the sum of their powers. So sounds are mixed, and noise is added, on the power of the mel
bands; what the average leaves out is the interference between the two, which is different in each
frame and means nothing.

All draws depend on the seed, the epoch and the number of the sequence, and on nothing else: not on
the batch that it is in, nor on who computes it, nor on what was drawn before. So a run that is
resumed goes on exactly, without any state to keep.
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
"""Of a change of level: more than lies between silence and what no number can hold."""


class Item(NamedTuple):
    """A sequence: features (T, M) and activities (T, C), or with onsets targets (T, 2C)."""

    log_mel: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Training:
    """What is the same for all sequences.

    Args:
        feature: settings of the features.
        fill: mean of each band over the training split, (M,): what a masked band or frame holds,
            and zero after the model's normalisation.
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


# Streams that had numbers before they had names: what they draw stays as it was.
_NUMBERED = {"roll": 0, "mixup": 1, "noise": 2, "level.gain": 3, "level.filter": 4, "masks": 5}


class Draws:
    """The generators of one sequence in one epoch.

    Args:
        seed: of all draws.
        epoch: of the training.
        index: of the sequence.
        view: of a sequence that is heard in several ways at once; those of 0 are as ever.
    """

    def __init__(self, seed: int, epoch: int, index: int, view: int = 0) -> None:
        # Numbers of streams end the key: a view before them gives others.
        self._key = (seed, epoch, index, view) if view else (seed, epoch, index)

    def generator(self, stream: str) -> np.random.Generator:
        """A generator of its own for each stream, by its name: its component's, or NAME.PART.

        What one stream draws leaves the others as they are, so that switching an augmentation on
        changes nothing but what it does.
        """
        import numpy as np

        number = _NUMBERED.get(stream)
        if number is None:
            number = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())
        return np.random.default_rng(np.random.SeedSequence((*self._key, number)))

    def chance(self, probability: float, stream: str) -> np.random.Generator | None:
        """Draw whether something is done; if so, return the generator of all that it draws."""
        if not probability:
            return None
        generator = self.generator(stream)
        return generator if generator.random() < probability else None


class Others(NamedTuple):
    """The sequences of the split: the n-th is ``sequences[n]``."""

    sequences: Any
    n_sequences: int
    number: int  # of the one that is augmented


@dataclass
class Augmentation(Settings, ABC):
    """One kind of variation; its fields are keys of the config group ``augment``."""

    KIND: ClassVar[str] = "augmentation"

    # Place among those of the project, which come before those of plugins.
    ORDER: ClassVar[int] = 0
    ON_POWER: ClassVar[bool] = False  # whether it takes features that are the power of bands
    # Whether it leaves activities as they are: then the student and the teacher of recordings
    # without labels each have draws of their own.
    KEEPS_TARGETS: ClassVar[bool] = False

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Whether the settings ask for anything at all."""

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """All that is wrong with the values, alone, with each other, and with the features."""
        return range_faults(self, prefix)

    def prepare(self, training: Training) -> Any:
        """Make, once, what :meth:`apply` takes as ``prepared``."""
        return training

    @abstractmethod
    def apply(self, item: Item, draws: Draws, others: Others, prepared: Any) -> Item:
        """Return a sequence as it is heard in an epoch.

        Args:
            item: the sequence; it must not be changed in place.
            draws: its generators.
            others: the split it is from.
            prepared: what :meth:`prepare` has made: without one the :class:`Training`.
        """


def uniform(bounds: Sequence[float], draw: np.random.Generator) -> float:
    """Draw a number between two."""
    lowest, highest = bounds
    return float(draw.uniform(lowest, highest))
