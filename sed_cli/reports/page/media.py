"""Compact sound and images for browsers."""

from __future__ import annotations

import io
from functools import cache

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from sed_cli.audio import resample

MAX_TILE = 4096
"""Maximum number of frames in an image: phones reject wider ones."""

# Of MPEG layer III; its decoder is in every browser, and its header has the encoder's delay in
# samples, so that sound and image are synchronous. Opus would be smaller, but only recent versions
# of Safari play it, and FLAC is six times as large.
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def encode_audio(waveform: NDArray[np.float32], sample_rate: int) -> tuple[str, bytes]:
    """Encode a waveform (n_samples,), full scale at -1 and 1, at its rate or the next one up.

    Returns:
        Its media type and its bytes. A quiet recording is amplified, so that it can be heard.
    """
    rate = next((rate for rate in _MP3_RATES if rate >= sample_rate), _MP3_RATES[-1])
    samples = resample(waveform, sample_rate, rate)
    peak = float(np.abs(samples).max(initial=0.0))
    samples = samples * (0.9 / peak) if peak > 1e-6 else samples
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
    return "audio/mpeg", file.getvalue()


def loudness_range(log_mel: NDArray[np.floating]) -> tuple[float, float]:
    """Values with the darkest and the brightest colour: a click must not use up the range."""
    finite = log_mel[np.isfinite(log_mel)]
    low, high = np.percentile(finite, (2.0, 99.7)) if finite.size else (0.0, 1.0)
    return float(low), max(float(high), float(low) + 1e-9)


def encode_spectrogram(log_mel: NDArray[np.floating], low: float, high: float) -> bytes:
    """Draw features (T, M) as PNG of T x M pixels, 8 bits each; low frequencies at the bottom.

    Args:
        log_mel: non-finite values are drawn as the lowest.
        low: the value of the darkest colour.
        high: the value of the brightest one.
    """
    values = np.nan_to_num(np.asarray(log_mel, np.float64), nan=low, posinf=high, neginf=low)
    levels = np.clip(np.round(255 * (values - low) / (high - low)), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]))
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


@cache
def _palette() -> bytes:
    colours = matplotlib.colormaps["magma"](np.arange(256), bytes=True)
    return np.ascontiguousarray(colours[:, :3]).tobytes()
