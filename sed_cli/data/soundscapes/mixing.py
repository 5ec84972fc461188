"""A scene over a background: levels by signal-to-noise ratio, scaled below clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.soundscapes.scenes import Scene
from sed_cli.data.soundscapes.trimming import Waveform
from sed_cli.data.soundscapes.voices import shaped_noise

PEAK_DBFS = (-12.0, -1.0)
"""Range of a recording's peak in dBFS: recordings differ in gain."""

LOWEST_NOISE_HZ = 40.0
"""Below this frequency the background's spectrum is flat, else slopes would put all power
into rumble."""

COLOUR_DB = 3.0
DECIBEL_PER_OCTAVE_OF_AMPLITUDE = 20 * np.log10(2.0)
LEVEL_DB = 2.0
LEVEL_PERIOD_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A recording in two parts, with full scale 1.

    Args:
        events: all events without background, ``(n_samples,)``.
        background: the background alone, ``(n_samples,)``.
    """

    events: Waveform
    background: Waveform

    @property
    def waveform(self) -> Waveform:
        """The mixture, ``(n_samples,)``; its peak is below 1."""
        return self.events + self.background


def mix_scene(
    scene: Scene, *, noise_slope: tuple[float, float], rng: np.random.Generator
) -> Mixture:
    """Mix a scene's events with a background.

    Each event is scaled so that its mean power is ``snr_db`` above the background's, both over
    the event's interval. Then the mixture is scaled to a random peak below full scale.

    Args:
        scene: the events in time.
        noise_slope: range of the exponent of the background's spectrum, drawn uniformly.
        rng: of background and gain.
    """
    slope = rng.uniform(*noise_slope)
    background = coloured_noise(scene.n_samples, slope, rng=rng, sample_rate=scene.sample_rate)
    events = np.zeros(scene.n_samples)
    for event in scene.events:
        interval = slice(event.onset, event.offset)
        waveform = event.source.waveform
        noise_power = np.mean(background[interval] ** 2)
        target_power = noise_power * 10 ** (event.snr_db / 10)
        events[interval] += waveform * np.sqrt(target_power / np.mean(waveform**2))
    gain = 10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(events + background).max()
    return Mixture(events=gain * events, background=gain * background)


def coloured_noise(
    n_samples: int, slope: float, *, rng: np.random.Generator, sample_rate: int
) -> Waveform:
    """Return a background ``(n_samples,)`` of mean power about 1.

    Its power spectrum is f**-slope with a random colour of a few dB on top, and its level varies
    slowly, like traffic, wind or a crowd.
    """
    knots_log2 = np.arange(np.log2(LOWEST_NOISE_HZ), np.log2(sample_rate / 2) + 1.0)
    colour_db = rng.normal(0.0, COLOUR_DB, len(knots_log2))

    def gain(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
        pitch = np.log2(np.maximum(frequencies, LOWEST_NOISE_HZ))
        colour = np.interp(pitch, knots_log2, colour_db) / DECIBEL_PER_OCTAVE_OF_AMPLITUDE
        amplitude: NDArray[np.float64] = np.exp2(colour - slope / 2 * pitch)
        return amplitude

    noise = shaped_noise(n_samples, rng, sample_rate, gain)
    steady: Waveform = noise / noise.std()
    steady *= _slow_level(n_samples, rng, round(LEVEL_PERIOD_S * sample_rate))
    return steady


def _slow_level(n_samples: int, rng: np.random.Generator, period: int) -> NDArray[np.float64]:
    """Amplitude ``(n_samples,)`` that varies by a few dB, smooth over ``period`` samples."""
    knots_db = LEVEL_DB * rng.standard_normal(n_samples // period + 3)
    # Raised-cosine steps between knots, at 16 points each, linear in between.
    blend = 0.5 - 0.5 * np.cos(np.pi * np.arange(16) / 16)
    points_db = (knots_db[:-1, None] * (1.0 - blend) + knots_db[1:, None] * blend).ravel()
    place = (np.arange(n_samples) / period + rng.uniform(0.0, 1.0)) * 16
    level: NDArray[np.float64] = np.interp(place, np.arange(len(points_db)), 10 ** (points_db / 20))
    return level
