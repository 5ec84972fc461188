"""Coloured noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import MOST_DB, Augmentation, Draws, Item, Others, Training, uniform

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from sed_cli.config.training import FeatureConfig, PowerConfig

_STEEPEST = 10
_NOISE_S = 30.0
"""Length of the noise from which excerpts are drawn; it takes a tenth of a second at 16 kHz."""


class _White(NamedTuple):
    """Mel power (T, M) of white noise, from which other colours are derived."""

    feature: PowerConfig
    power: Tensor
    octaves: Tensor  # of the bands' centres, (M,)


@component("augmentation", "noise", original=True)
class Noise(Augmentation):
    """Add coloured noise at a random ratio to the mean power of the whole sequence."""

    ORDER: ClassVar[int] = 2
    ON_POWER: ClassVar[bool] = True
    KEEPS_TARGETS: ClassVar[bool] = True

    noise: float = setting(0.0, "probability of adding noise", at_least=0, at_most=1)
    noise_snr_db: list[float] = setting(
        [6.0, 30.0],
        "range of the signal-to-noise ratio",
        unit="dB",
        at_least=-MOST_DB,
        at_most=MOST_DB,
    )
    noise_slope: list[float] = setting(
        [0.0, 2.0],
        "range of the slope of its spectrum: 0 white, 1 pink, 2 brown",
        at_least=-_STEEPEST,
        at_most=_STEEPEST,
    )

    @property
    def is_active(self) -> bool:
        """Whether its probability is above 0."""
        return self.noise > 0

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """Faults in ranges and pairs."""
        faults = Faults(super().faults_with(feature, prefix))
        faults.ranges(prefix, self, "noise_snr_db", "noise_slope")
        return faults

    def prepare(self, training: Training) -> _White:
        """Generate white noise in the domain of the features."""
        import numpy as np
        import torch

        feature = training.power
        log_mel = feature.build_power()
        waveform = np.random.default_rng(training.seed).standard_normal(
            int(_NOISE_S * feature.sample_rate)
        )
        power = log_mel(torch.from_numpy(waveform.astype(np.float32))[None])[0, 0]
        octaves = torch.from_numpy(np.log2(log_mel.centres_hz)).float()
        return _White(feature, power, octaves)

    def apply(self, item: Item, draws: Draws, others: Others, prepared: _White) -> Item:
        """Add an excerpt of it."""
        if (draw := draws.chance(self.noise, "noise")) is None:
            return item
        snr_db = uniform(self.noise_snr_db, draw)
        noise = _stretch(prepared, len(item.log_mel), uniform(self.noise_slope, draw), draw)
        power = prepared.feature.to_power(item.log_mel)
        level = power.sum() / noise.sum() * 10 ** (-snr_db / 10)
        return item._replace(log_mel=prepared.feature.from_power(power + noise * level))


def _stretch(white: _White, n_frames: int, slope: float, draw: np.random.Generator) -> Tensor:
    """Mel power (n_frames, M) of noise with a spectrum f ** -slope."""
    import torch

    first = int(draw.integers(len(white.power)))
    frames = (first + torch.arange(n_frames)) % len(white.power)
    return white.power[frames] * 2 ** (-slope * white.octaves)
