"""Augmentation: training sequences that are heard a little otherwise in each epoch.

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

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sed_cli.audio import LogMel
from sed_cli.audio.features import FLOOR
from sed_cli.audio.torchaudio_import import import_torchaudio
from sed_cli.config.training import AugmentConfig, FeatureConfig
from sed_cli.data.sequences import Sequences

_NOISE_S = 30.0
"""Length of the noise of which stretches are drawn; at 16 kHz it takes a tenth of a second."""

_FLOOR_DB = 10 * math.log10(FLOOR)
_ROUNDING_DB = 1e-3

# Each has draws of its own, so that switching one on leaves those of the others as they are.
_ROLL, _MIXUP, _NOISE, _GAIN, _FILTER, _MASKS = range(6)


class Item(NamedTuple):
    """A sequence: features (T, M) and activities (T, C)."""

    log_mel: Tensor
    targets: Tensor


class Augmenter:
    """Augments single sequences, before they are padded: padding stays what it is.

    Args:
        config: what is done, and how much of it.
        feature: settings of the features.
        fill: mean of each band over the training split, (M,): what a masked band or frame holds,
            and zero after the model's normalisation.
        seed: of all draws.
    """

    def __init__(
        self, config: AugmentConfig, *, feature: FeatureConfig, fill: Tensor, seed: int
    ) -> None:
        self.config = config
        self._is_log = feature.is_log
        self._fill = fill
        self._seed = seed
        self._noise = _white_noise(feature, seed) if config.noise else None

    @property
    def is_active(self) -> bool:
        """Whether anything is done at all."""
        c = self.config
        chances = (c.roll, c.mixup, c.noise, c.time_masks, c.frequency_masks)
        return any(chances) or any(c.gain_db) or c.filter_db > 0

    def __call__(self, sequences: Dataset[Any], n_sequences: int, index: int, epoch: int) -> Item:
        """Return sequence ``index`` as it is heard in an epoch."""
        item = Item(*sequences[index])
        key = (self._seed, epoch, index)
        if (draw := self._chance(self.config.roll, _ROLL, key)) is not None:
            item = _roll(item, draw)
        if (draw := self._chance(self.config.mixup, _MIXUP, key)) is not None and n_sequences > 1:
            other = (index + int(draw.integers(1, n_sequences))) % n_sequences
            share = float(draw.beta(self.config.mixup_alpha, self.config.mixup_alpha))
            item = self._mix(item, Item(*sequences[other]), share)
        if (draw := self._chance(self.config.noise, _NOISE, key)) is not None:
            item = item._replace(log_mel=self._add_noise(item.log_mel, draw))
        item = item._replace(log_mel=self._amplify(item.log_mel, key))
        return item._replace(log_mel=self._mask(item.log_mel, key))

    def _chance(
        self, probability: float, kind: int, key: tuple[int, int, int]
    ) -> np.random.Generator | None:
        """Draw whether something is done; if so, return the generator of all that it draws."""
        if not probability:
            return None
        draw = _generator(kind, key)
        return draw if draw.random() < probability else None

    def _mix(self, item: Item, other: Item, share: float) -> Item:
        """Lay another sequence under this one; what is active in any of them is active in both.

        Source: the hard labels and the mixing before the logarithm are those of the DCASE task 4
        baselines (``desed_task/data_augm.py``), the weights those of Gong et al. 2021 (PSLA): near
        a half, as a sound that can hardly be heard should not be asked for.
        """
        n_frames = min(len(item.log_mel), len(other.log_mel))
        power = self._to_power(item.log_mel) * share
        power[:n_frames] += self._to_power(other.log_mel[:n_frames]) * (1 - share)
        targets = item.targets.clone()
        targets[:n_frames] = torch.maximum(targets[:n_frames], other.targets[:n_frames])
        return Item(self._from_power(power), targets)

    def _add_noise(self, log_mel: Tensor, draw: np.random.Generator) -> Tensor:
        """Add coloured noise at a drawn ratio to the mean power of the whole sequence."""
        assert self._noise is not None
        snr_db = _uniform(self.config.noise_snr_db, draw)
        noise = self._noise.stretch(len(log_mel), _uniform(self.config.noise_slope, draw), draw)
        power = self._to_power(log_mel)
        level = power.sum() / noise.sum() * 10 ** (-snr_db / 10)
        return self._from_power(power + noise * level)

    def _amplify(self, log_mel: Tensor, key: tuple[int, int, int]) -> Tensor:
        """Change the level, and that of the bands; what is silent for the features stays so."""
        decibels = torch.zeros(log_mel.shape[1])
        if any(self.config.gain_db):
            decibels += _uniform(self.config.gain_db, _generator(_GAIN, key))
        if self.config.filter_db:
            decibels += _filter(self.config.filter_db, len(decibels), _generator(_FILTER, key))
        if not decibels.any():
            return log_mel
        if not self._is_log:
            return log_mel * 10 ** (decibels / 10)
        return torch.where(
            log_mel > _FLOOR_DB + _ROUNDING_DB, (log_mel + decibels).clamp_min(_FLOOR_DB), log_mel
        )

    def _mask(self, log_mel: Tensor, key: tuple[int, int, int]) -> Tensor:
        """Hide stretches of time and of frequency; activities stay: the context tells of them.

        Source: Park et al. 2019 (SpecAugment), without warping; by torchaudio.
        """
        c = self.config
        if not (c.time_masks or c.frequency_masks):
            return log_mel
        mask_along_axis = import_torchaudio("functional").mask_along_axis
        seed = int(_generator(_MASKS, key).integers(2**63))
        n_frames, n_mels = log_mel.shape
        frames, bands = torch.ones(1, 1, n_frames), torch.ones(1, n_mels, 1)
        # torchaudio draws from torch's generator, which belongs to the weights and to dropout.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for _ in range(c.frequency_masks):
                bands = mask_along_axis(bands, c.frequency_mask_bands + 1, 0.0, 1)
            for _ in range(c.time_masks):
                frames = mask_along_axis(frames, c.time_mask_frames + 1, 0.0, 2, c.time_mask_share)
        kept = (frames * bands)[0].T > 0  # (T, M)
        return torch.where(kept, log_mel, self._fill)

    def _to_power(self, log_mel: Tensor) -> Tensor:
        """Power of the bands; where that is below what the features tell apart, none."""
        if not self._is_log:
            return log_mel.clone()
        return torch.where(log_mel > _FLOOR_DB + _ROUNDING_DB, 10 ** (log_mel / 10), 0.0)

    def _from_power(self, power: Tensor) -> Tensor:
        return 10 * torch.log10(power.clamp_min(FLOOR)) if self._is_log else power


class AugmentedSequences(Dataset[tuple[Tensor, Tensor]]):
    """Training sequences as they are heard in one epoch.

    Args:
        sequences: of the training split.
        augmenter: what is done to them.
        epoch: each has its own draws.
    """

    def __init__(self, sequences: Sequences, augmenter: Augmenter, epoch: int) -> None:
        self._sequences = sequences
        self._augmenter = augmenter
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        """Return features (T, M) and activities (T, C) of a piece, both float32."""
        return self._augmenter(self._sequences, len(self), item, self._epoch)


class _Noise:
    """The mel power of white noise, from which noise of other colours is made."""

    def __init__(self, power: Tensor, centres_hz: NDArray[np.float64]) -> None:
        self._power = power  # (T, M)
        self._octaves = torch.from_numpy(np.log2(centres_hz)).float()

    def stretch(self, n_frames: int, slope: float, draw: np.random.Generator) -> Tensor:
        """Mel power (n_frames, M) of noise with a spectrum f ** -slope."""
        first = int(draw.integers(len(self._power)))
        frames = (first + torch.arange(n_frames)) % len(self._power)
        return self._power[frames] * 2 ** (-slope * self._octaves)


def _white_noise(feature: FeatureConfig, seed: int) -> _Noise:
    log_mel = LogMel(**asdict(replace(feature, is_log=False)))
    waveform = np.random.default_rng(seed).standard_normal(int(_NOISE_S * feature.sample_rate))
    power = log_mel(torch.from_numpy(waveform.astype(np.float32))[None])[0, 0]
    return _Noise(power, log_mel.centres_hz)


def _generator(kind: int, key: tuple[int, int, int]) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((*key, kind)))


def _uniform(bounds: Sequence[float], draw: np.random.Generator) -> float:
    lowest, highest = bounds
    return float(draw.uniform(lowest, highest))


def _roll(item: Item, draw: np.random.Generator) -> Item:
    """Begin somewhere else; what is before that comes at the end."""
    shift = int(draw.integers(len(item.log_mel)))
    return Item(item.log_mel.roll(shift, 0), item.targets.roll(shift, 0))


def _filter(most_db: float, n_mels: int, draw: np.random.Generator) -> Tensor:
    """Gain of each band (M,): straight lines between three to six points at drawn places.

    Source: Nam et al. 2022 (FilterAugment, linear type).
    """
    n_points = int(draw.integers(3, 7))
    places = np.sort(np.concatenate([[0, n_mels - 1], draw.uniform(0, n_mels - 1, n_points - 2)]))
    gains = draw.uniform(-most_db, most_db, n_points)
    return torch.from_numpy(np.interp(np.arange(n_mels), places, gains)).float()
