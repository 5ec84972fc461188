"""Audible parts of a waveform, cut out without clicks.

librosa's trim and split do part of this, but take seconds to import in every worker process and
have no hysteresis; this module needs only a running mean and a threshold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float64]

AUDIBLE_DB = -30.0
"""An event is audible where its short-time level, relative to its maximum, is above this."""

STRONG_DB = -15.0
"""Level that an event of a clip reaches, relative to the clip's maximum: anything weaker, such
as a distant step, is not the subject of the clip."""

ENVELOPE_WINDOW_S = 0.010
FADE_IN_S = 0.003
FADE_OUT_S = 0.020


def audible_span(waveform: Waveform, sample_rate: int) -> tuple[int, int]:
    """Return the first audible sample and the one after the last.

    A sample is audible if the power in a centred window of 10 ms is above :data:`AUDIBLE_DB` of its
    maximum; quieter moments in between, as between clicks, belong to the event.

    Raises:
        ValueError: if the waveform is silent.
    """
    audible = np.flatnonzero(_is_audible(_short_time_power(waveform, sample_rate)))
    return int(audible[0]), int(audible[-1]) + 1


def audible_spans(waveform: Waveform, sample_rate: int, *, pause_s: float) -> list[tuple[int, int]]:
    """Return first sample and the one after the last of each event in a clip.

    Audibility is as in :func:`audible_span`. A silence of more than ``pause_s`` ends an event;
    spans that stay below :data:`STRONG_DB` are not events.

    Raises:
        ValueError: if the waveform is silent.
    """
    power = _short_time_power(waveform, sample_rate)
    audible = np.concatenate([[False], _is_audible(power), [False]])
    starts, stops = np.flatnonzero(np.diff(audible)).reshape(-1, 2).T
    is_pause = starts[1:] - stops[:-1] > pause_s * sample_rate
    starts = starts[np.concatenate([[True], is_pause])]
    stops = stops[np.concatenate([is_pause, [True]])]
    strong = power.max() * 10 ** (STRONG_DB / 10)
    return [
        (int(start), int(stop))
        for start, stop in zip(starts, stops, strict=True)
        if power[start:stop].max() >= strong
    ]


def choose_stretch(
    event: Waveform,
    sample_rate: int,
    duration_s: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return the part of an event to use: first sample and the one after the last.

    That is all of it unless it lasts longer than ``duration_s[1]``. Otherwise it is a
    random excerpt: its length is drawn uniformly from ``duration_s``, and it starts, and if
    possible ends, at an audible moment.

    Args:
        event: ``(n_samples,)``, audible at its first sample.
        sample_rate: in Hz.
        duration_s: shortest and longest, in seconds.
        rng: used only for an event that is too long.
    """
    if len(event) <= duration_s[1] * sample_rate:
        return 0, len(event)
    length = min(len(event), math.ceil(rng.uniform(*duration_s) * sample_rate))
    audible = _is_audible(_short_time_power(event, sample_rate))
    beginnings = audible[: len(event) - length + 1]
    both = np.flatnonzero(beginnings & audible[length - 1 :])
    start = int(rng.choice(both if len(both) else np.flatnonzero(beginnings)))
    return start, start + length


def fade_edges(waveform: Waveform, sample_rate: int) -> Waveform:
    """Return a copy with short raised-cosine fades, to avoid clicks at the cuts.

    The fade-in ends before the energy of an attack arrives, half an envelope window after the cut;
    the fade-out is longer, since the event may still be ringing.
    """
    faded = waveform.copy()
    n_in = min(round(FADE_IN_S * sample_rate), len(waveform) // 2)
    n_out = min(round(FADE_OUT_S * sample_rate), len(waveform) // 2)
    faded[:n_in] *= _ramp(n_in)
    faded[len(faded) - n_out :] *= _ramp(n_out)[::-1]
    return faded


def _short_time_power(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Energy in a centred window of 10 ms, ``(n_samples,)``.

    Raises:
        ValueError: if it is 0 everywhere.
    """
    half = max(1, round(ENVELOPE_WINDOW_S * sample_rate / 2))
    energy = np.concatenate([[0.0], np.cumsum(waveform**2)])
    n_samples = len(waveform)
    index = np.arange(n_samples)
    # Windows extend over the edges as if there were silence: the divisor stays the same.
    power: NDArray[np.float64] = (
        energy[np.minimum(index + half, n_samples)] - energy[np.maximum(index - half, 0)]
    )
    if not power.max() > 0.0:
        raise ValueError("the waveform is silent: expected an event with energy")
    return power


def _is_audible(power: NDArray[np.float64]) -> NDArray[np.bool_]:
    audible: NDArray[np.bool_] = power >= power.max() * 10 ** (AUDIBLE_DB / 10)
    return audible


def _ramp(n_samples: int) -> NDArray[np.float64]:
    """Raised-cosine rise from 0 to 1, ``(n_samples,)``."""
    position = (np.arange(n_samples, dtype=np.float64) + 0.5) / max(n_samples, 1)
    ramp: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.pi * position)
    return ramp
