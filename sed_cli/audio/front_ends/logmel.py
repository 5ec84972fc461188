"""Log-mel spectrograms."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sed_cli.audio.limits import FLOOR
from sed_cli.config.registry import component
from sed_cli.config.settings import range_faults, setting
from sed_cli.config.training import FeatureConfig, PowerConfig

if TYPE_CHECKING:
    from torch import Tensor

    from sed_cli.audio.features import LogMel

_FLOOR_DB = 10 * math.log10(FLOOR)
_SILENT_DB = _FLOOR_DB + 1e-3  # as rounded
_LONGEST_TRANSFORM = 2**20  # samples
_MOST_WEIGHTS = 2**24  # of the mel filters: bands times frequencies, 64 MiB


@dataclass(kw_only=True)
class MelConfig(FeatureConfig, ABC):
    """Features computed from the bands of a mel spectrogram."""

    backend: str = setting(
        "torchaudio",
        "library that computes it; the numbers are the same, torchaudio is faster",
        choices=("torchaudio", "torchlibrosa"),
    )
    window_length: int = setting(1024, "length of the Hann window", unit="samples", at_least=1)
    n_fft: int = setting(
        2048, "length of the transform", unit="samples", at_least=1, at_most=_LONGEST_TRANSFORM
    )
    n_mels: int = setting(40, "number of mel bands", at_least=1, at_most=_LONGEST_TRANSFORM)
    f_min: float = setting(0.0, "lower edge of the lowest band", unit="Hz")
    f_max: float | None = setting(
        None, "upper edge of the highest band; null: half the sample rate", unit="Hz"
    )

    @property
    def n_features(self) -> int:
        """M, the mel bands."""
        return self.n_mels

    def faults(self, prefix: str = "feature.") -> list[str]:
        """Faults in ranges, and in the relation of window, hop and band edges."""
        faults = range_faults(self, prefix)
        if not faults and self.n_mels * (self.n_fft // 2 + 1) > _MOST_WEIGHTS:
            faults.append(
                f"{prefix}n_mels={self.n_mels} bands of {prefix}n_fft={self.n_fft}: "
                f"the limit is {_MOST_WEIGHTS} weights; lower one of the two"
            )
        if faults:  # the checks below compute with them
            return faults
        faults.require(
            self.window_length <= self.n_fft,
            f"{prefix}window_length={self.window_length} exceeds {prefix}n_fft={self.n_fft}: "
            f"the window must fit into the transform; raise n_fft or shorten the window",
        )
        faults.require(
            self.n_fft % 2 == 0,
            f"{prefix}n_fft={self.n_fft}: expected an even number; with an odd one the mel bands "
            f"of torchaudio and torchlibrosa differ",
        )
        faults.require(
            self.hop_length <= self.window_length,
            f"{prefix}hop_length={self.hop_length} exceeds {prefix}window_length="
            f"{self.window_length}: samples between the windows would be lost; shorten the hop",
        )
        top = self.sample_rate / 2 if self.f_max is None else self.f_max
        faults.require(
            0 <= self.f_min < top <= self.sample_rate / 2,
            f"{prefix}f_min={self.f_min} and f_max={top}: expected 0 <= f_min < f_max <= "
            f"sample_rate / 2 = {self.sample_rate / 2:g} Hz",
        )
        return faults


@component("front_end", "logmel", original=True)
class LogMelConfig(MelConfig, PowerConfig):
    """Log-mel spectrogram in dB."""

    is_log: bool = setting(True, "10 log10 of the power, with a floor of 1e-10; false: the power")

    def build(self) -> LogMel:
        """Build the transform."""
        from sed_cli.audio.features import LogMel

        return LogMel(**{key: value for key, value in asdict(self).items() if key != "kind"})

    def build_power(self) -> LogMel:
        """Build the transform without its logarithm."""
        return replace(self, is_log=False).build()

    def to_power(self, features: Tensor) -> Tensor:
        """Power of the bands; zero below the resolution of the features."""
        if not self.is_log:
            return features.clone()
        return (10 ** (features / 10)).where(features > _SILENT_DB, 0.0)

    def from_power(self, power: Tensor) -> Tensor:
        """Features of the power of the bands."""
        return 10 * power.clamp_min(FLOOR).log10() if self.is_log else power

    def amplified(self, features: Tensor, decibels: Tensor) -> Tensor:
        """Features (T, M) of a sound after changing the level of its bands by (M,) dB."""
        if not self.is_log:
            return features * 10 ** (decibels / 10)
        louder = (features + decibels).clamp_min(_FLOOR_DB)
        return louder.where(features > _SILENT_DB, features)
