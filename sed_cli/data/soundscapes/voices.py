"""Synthesised isolated events: one function per class, with parameters drawn for each event.

Each voice takes a random generator and a sample rate in Hz and returns a waveform ``(n_samples,)``
of any level, whose audible part :func:`synthesise` cuts out. Some are similar on purpose, as in
nature: the two chirps differ only in direction, siren and warble in the rate and depth of the same
modulation, clicks and rattle in regularity, rattle and hiss in grain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.soundscapes.trimming import Waveform, audible_span, fade_edges

Voice = Callable[[np.random.Generator, int], Waveform]

# Leaves room below half the sample rate, where resamplers and FLAC players roll off.
HIGHEST_FREQUENCY = 0.45

# Partials of a church bell relative to its nominal's octave below: hum, prime, tierce, quint,
# nominal, and those above. Source: Fletcher and Rossing, The Physics of Musical Instruments.
BELL_PARTIALS = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.66, 3.0, 4.0)


def synthesise(label: str, rng: np.random.Generator, sample_rate: int) -> Waveform:
    """Return one event of class ``label``, cut to its audible part, with a peak of 1.

    Args:
        label: a key of :data:`VOICES`.
        rng: the event's own generator; the same state gives the same event.
        sample_rate: in Hz.

    Returns:
        Waveform ``(n_samples,)`` in [-1, 1]; it starts and ends audibly (:func:`.audible_span`).
    """
    waveform = VOICES[label](rng, sample_rate)
    start, stop = audible_span(waveform, sample_rate)
    event = fade_edges(waveform[start:stop], sample_rate)
    scaled: Waveform = event / np.abs(event).max()
    return scaled


def shaped_noise(
    n_samples: int,
    rng: np.random.Generator,
    sample_rate: int,
    gain: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Waveform:
    """Return Gaussian noise with amplitude spectrum ``gain(frequencies in Hz)``."""
    n_fft = _fast_length(n_samples)
    frequencies = np.arange(n_fft // 2 + 1, dtype=np.float64) * (sample_rate / n_fft)
    # Zero Hz has no logarithm and is inaudible: it gets the gain of the next bin and is removed.
    frequencies[0] = frequencies[1]
    # A random spectrum has the same distribution as the spectrum of random noise.
    spectrum = rng.standard_normal(2 * len(frequencies)).view(np.complex128)
    spectrum *= gain(frequencies)
    spectrum[0] = 0.0
    noise: Waveform = np.fft.irfft(spectrum, n_fft)[:n_samples]
    return noise


def _fast_length(n_samples: int) -> int:
    """Return the next even length without large prime factors: 8 to 16 times a power of two."""
    step = 1 << max(1, n_samples.bit_length() - 4)
    return -(-n_samples // step) * step


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _time(duration_s: float, sample_rate: int) -> NDArray[np.float64]:
    return np.arange(round(duration_s * sample_rate)) / sample_rate


def _swell(n_samples: int, attack: float, release: float) -> NDArray[np.float64]:
    """Envelope that rises over the fraction ``attack`` and falls over ``release`` of its length."""
    position = (np.arange(n_samples) + 0.5) / n_samples
    rise = np.clip(position / attack, 0.0, 1.0)
    fall = np.clip((1.0 - position) / release, 0.0, 1.0)
    envelope: NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(rise, fall)) ** 2
    return envelope


def _drift(n_samples: int, rng: np.random.Generator, depth: float) -> NDArray[np.float64]:
    """Smooth random factor around 1, since no natural source holds a pitch exactly."""
    position = np.linspace(0.0, 1.0, 65)
    amounts = rng.normal(0.0, depth / 2, size=3)
    phases = rng.uniform(0.0, 2 * np.pi, size=3)
    waves = np.sin(2 * np.pi * np.multiply.outer(position, np.arange(3) + 0.5) + phases)
    wander = np.exp((amounts * waves).sum(axis=1))
    factor: NDArray[np.float64] = np.interp(np.arange(n_samples) / n_samples, position, wander)
    return factor


def _harmonics(
    frequency: NDArray[np.float64],
    amplitudes: NDArray[np.float64] | Sequence[NDArray[np.float64]],
    sample_rate: int,
) -> Waveform:
    """Sum harmonics of a moving fundamental.

    Args:
        frequency: fundamental in Hz, ``(n_samples,)``.
        amplitudes: one number or one curve ``(n_samples,)`` per harmonic.
        sample_rate: in Hz; harmonics above 0.45 of it are left out.
    """
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    # sin((k+1)x) = 2 cos(x) sin(kx) - sin((k-1)x): many times faster than one sine per harmonic.
    twice_cosine = 2 * np.cos(phase)
    before, current = np.zeros_like(phase), np.sin(phase)
    # the highest order that fits, (n_samples,)
    highest = HIGHEST_FREQUENCY * sample_rate / frequency
    always, ever = highest.min(), highest.max()
    tone = np.zeros_like(phase)
    for order, amplitude in enumerate(amplitudes, start=1):
        if order >= ever:
            break
        tone += amplitude * (current if order < always else current * (order < highest))
        before, current = current, twice_cosine * current - before
    return tone


def _ringing(
    frequencies: NDArray[np.float64],
    decays_s: NDArray[np.float64],
    phasors: NDArray[np.complex128],
    n_samples: int,
    sample_rate: int,
) -> Waveform:
    """Sum exponentially decaying sines: modes ``(K,)`` in Hz and s, amplitude and phase as phasors.

    exp(z (a + b)) = exp(z a) exp(z b) with a in blocks and b within one saves most exponentials.
    """
    block = 128
    rate = (2j * np.pi * frequencies - 1 / decays_s) / sample_rate  # per sample, (K,)
    starts = np.arange(-(-n_samples // block)) * block
    outer = phasors * np.exp(np.multiply.outer(starts, rate))  # (n_blocks, K)
    inner = np.exp(np.multiply.outer(rate, np.arange(block)))  # (K, block)
    ringing = sum(
        np.multiply.outer(outer[:, mode], inner[mode]).imag for mode in range(len(frequencies))
    )
    return np.asarray(ringing, dtype=np.float64).ravel()[:n_samples]


def _rolloff(rng: np.random.Generator, n_harmonics: int) -> NDArray[np.float64]:
    """Amplitudes that fall irregularly with the harmonic's order, from bright to dull."""
    order = np.arange(1, n_harmonics + 1, dtype=np.float64)
    amplitudes: NDArray[np.float64] = order ** -rng.uniform(0.8, 2.4)
    amplitudes *= np.exp(rng.normal(0.0, 0.3, n_harmonics))
    return amplitudes


def _sweep(rng: np.random.Generator, sample_rate: int) -> tuple[NDArray[np.float64], Waveform]:
    """Rising frequency path in Hz and an envelope, both ``(n_samples,)``: a chirp's raw parts."""
    n_samples = round(rng.uniform(0.25, 0.9) * sample_rate)
    position = np.arange(n_samples) / n_samples
    lowest = _log_uniform(rng, 300.0, 1400.0)
    octaves = rng.uniform(0.6, 1.8)
    path = lowest * 2 ** (octaves * position ** _log_uniform(rng, 0.6, 1.7))
    envelope = _swell(n_samples, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.4))
    return path * _drift(n_samples, rng, 0.02), envelope


def rising_chirp(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A whistle that glides up by 0.6 to 1.8 octaves."""
    path, envelope = _sweep(rng, sample_rate)
    return envelope * _harmonics(path, _rolloff(rng, 4), sample_rate)


def falling_chirp(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A whistle that glides down: the rising chirp's path backwards."""
    path, envelope = _sweep(rng, sample_rate)
    return envelope * _harmonics(path[::-1], _rolloff(rng, 4), sample_rate)


def siren(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A long bright tone that wails slowly (0.7 to 3 times a second) over a wide interval."""
    t = _time(rng.uniform(1.2, 2.8), sample_rate)
    wail = np.sin(2 * np.pi * rng.uniform(0.7, 3.0) * t + rng.uniform(0.0, 2 * np.pi))
    # From a sine's glide to nearly the two tones of a European siren.
    hardness = _log_uniform(rng, 0.5, 4.0)
    wail = np.tanh(hardness * wail) / np.tanh(hardness)
    path = _log_uniform(rng, 450.0, 1200.0) * 2 ** (rng.uniform(0.25, 0.6) * wail)
    envelope = _swell(len(t), rng.uniform(0.05, 0.3), rng.uniform(0.05, 0.3))
    return envelope * _harmonics(path, _rolloff(rng, 7), sample_rate)


def warble(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A bird-like tone with fast vibrato (7 to 18 times a second)."""
    t = _time(rng.uniform(0.4, 1.4), sample_rate)
    rate = rng.uniform(7.0, 18.0) * _drift(len(t), rng, 0.15)
    shake_phase = 2 * np.pi * np.cumsum(rate) / sample_rate
    path = _log_uniform(rng, 800.0, 2600.0) * 2 ** (rng.uniform(0.06, 0.3) * np.sin(shake_phase))
    path *= _drift(len(t), rng, 0.06)
    tremolo = 1.0 - rng.uniform(0.0, 0.5) * (0.5 + 0.5 * np.sin(shake_phase + 1.0))
    envelope = tremolo * _swell(len(t), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5))
    return envelope * _harmonics(path, _rolloff(rng, 3), sample_rate)


def call(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """An animal's call: many harmonics under two formants, an arched pitch with vibrato."""
    t = _time(rng.uniform(0.3, 1.1), sample_rate)
    arch = np.sin(np.pi * (t / t[-1]) ** _log_uniform(rng, 0.6, 1.6))
    path = _log_uniform(rng, 180.0, 520.0) * 2 ** (rng.uniform(0.15, 0.7) * arch)
    vibrato = np.sin(2 * np.pi * rng.uniform(4.0, 9.0) * t + rng.uniform(0.0, 2 * np.pi))
    path *= 2 ** (rng.uniform(0.02, 0.07) * vibrato)
    formants = (_log_uniform(rng, 500.0, 1000.0), _log_uniform(rng, 1200.0, 3000.0))
    levels = (1.0, rng.uniform(0.3, 0.9))
    # Formants are fixed while the pitch moves through them; one curve per harmonic, computed every
    # 5 ms, since the pitch moves slowly.
    coarse = np.arange(0, len(t), max(1, sample_rate // 200))
    amplitudes = []
    for order in range(1, 17):
        gains = [
            level * _band(order * path[coarse], formant, 0.35)
            for level, formant in zip(levels, formants, strict=True)
        ]
        amplitudes.append(np.interp(np.arange(len(t)), coarse, 0.03 + gains[0] + gains[1]))
    voiced = _harmonics(path, amplitudes, sample_rate)
    breath = shaped_noise(len(t), rng, sample_rate, lambda f: _band(f, formants[1], 0.6))
    breath *= rng.uniform(0.02, 0.15) * voiced.std() / breath.std()
    return _swell(len(t), rng.uniform(0.05, 0.3), rng.uniform(0.15, 0.5)) * (voiced + breath)


def bell(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """Struck metal: inharmonic partials that ring out, the high ones first."""
    ratios = np.array(BELL_PARTIALS) * np.exp(rng.normal(0.0, 0.02, len(BELL_PARTIALS)))
    frequencies = _log_uniform(rng, 350.0, 1300.0) * ratios
    frequencies = frequencies[frequencies < HIGHEST_FREQUENCY * sample_rate]
    decays_s = rng.uniform(0.25, 0.75) * (frequencies / frequencies[0]) ** -rng.uniform(0.2, 0.7)
    amplitudes = rng.uniform(0.3, 1.0, len(frequencies))
    amplitudes[0] *= 0.5  # the hum is weak at the strike
    phasors = amplitudes * np.exp(1j * rng.uniform(0.0, 2 * np.pi, len(frequencies)))
    t = _time(4.0 * decays_s.max(), sample_rate)
    stroke = rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.001, 0.006))
    ringing = _ringing(frequencies, decays_s, phasors, len(t), sample_rate)
    return ringing + rng.uniform(0.1, 0.8) * stroke


def hiss(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A burst of noise through a band of one half to two octaves, like steam or a spray can."""
    n_samples = round(rng.uniform(0.3, 1.6) * sample_rate)
    centre = min(_log_uniform(rng, 1200.0, 5500.0), 0.4 * sample_rate)
    width = rng.uniform(0.25, 1.0)
    noise = shaped_noise(n_samples, rng, sample_rate, lambda f: _band(f, centre, width))
    return noise * _swell(n_samples, _log_uniform(rng, 0.03, 0.5), rng.uniform(0.1, 0.6))


def clicks(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """A regular train of 4 to 14 clicks, 6 to 15 a second, all of one timbre."""
    rate = rng.uniform(6.0, 15.0)
    n_clicks = int(rng.integers(4, 15))
    onsets = (np.arange(n_clicks) + rng.normal(0.0, 0.02, n_clicks)) / rate + 0.02
    resonance = min(_log_uniform(rng, 1200.0, 5000.0), 0.4 * sample_rate)
    click = _damped(rng, sample_rate, resonance, decay_s=_log_uniform(rng, 0.0015, 0.008))
    levels = np.exp(rng.normal(0.0, 0.12, n_clicks))
    return _train(onsets, levels, click, sample_rate)


def rattle(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """Irregular grains of noise, 14 to 35 a second, like seeds in a shaken gourd."""
    duration_s = rng.uniform(0.35, 1.3)
    gaps = rng.gamma(2.0, 0.5 / rng.uniform(14.0, 35.0), size=round(60 * duration_s))
    onsets = 0.02 + np.concatenate([[0.0], np.cumsum(gaps)])
    onsets = onsets[onsets < duration_s]
    levels = np.exp(rng.normal(0.0, 0.4, len(onsets)))
    decay_s = _log_uniform(rng, 0.004, 0.015)
    grain = np.exp(-_time(8 * decay_s, sample_rate) / decay_s)
    envelope = _train(onsets, levels, grain, sample_rate)
    centre = min(_log_uniform(rng, 1200.0, 4500.0), 0.4 * sample_rate)
    width = rng.uniform(0.3, 0.9)
    return envelope * shaped_noise(
        len(envelope), rng, sample_rate, lambda f: _band(f, centre, width)
    )


def knock(rng: np.random.Generator, sample_rate: int) -> Waveform:
    """One to five low thuds, like a fist on a door or steps on a floor."""
    n_knocks = int(rng.integers(1, 6))
    spacing_s = rng.uniform(0.12, 0.32)
    onsets = 0.02 + spacing_s * (np.arange(n_knocks) + rng.normal(0.0, 0.05, n_knocks))
    onsets = np.maximum(onsets, 0.0)
    decay_s = _log_uniform(rng, 0.02, 0.06)
    thud = _damped(rng, sample_rate, _log_uniform(rng, 80.0, 260.0), decay_s)
    board = _damped(rng, sample_rate, _log_uniform(rng, 350.0, 1200.0), decay_s / 3)
    thud[: len(board)] += rng.uniform(0.1, 0.6) * board
    return _train(onsets, np.exp(rng.normal(0.0, 0.25, n_knocks)), thud, sample_rate)


def _band(
    frequencies: NDArray[np.float64], centre: float, width_octaves: float
) -> NDArray[np.float64]:
    """Amplitude response of a bell-shaped band, on a logarithmic frequency axis."""
    response: NDArray[np.float64] = np.exp(
        -0.5 * (np.log2(frequencies / centre) / width_octaves) ** 2
    )
    return response


def _damped(
    rng: np.random.Generator, sample_rate: int, frequency: float, decay_s: float
) -> Waveform:
    """A struck resonance with a second, weaker mode and a little contact noise."""
    t = _time(8 * decay_s, sample_rate)
    second = min(frequency * rng.uniform(1.4, 2.3), HIGHEST_FREQUENCY * sample_rate)
    modes = np.sin(2 * np.pi * frequency * t) + 0.4 * np.sin(2 * np.pi * second * t)
    contact = rng.uniform(0.05, 0.4) * rng.standard_normal(len(t)) * np.exp(-t / 0.002)
    struck: Waveform = modes * np.exp(-t / decay_s) + contact
    return struck


def _train(
    onsets_s: NDArray[np.float64], levels: NDArray[np.float64], kernel: Waveform, sample_rate: int
) -> Waveform:
    """Add copies of ``kernel`` at ``onsets_s`` (at least 0), scaled by ``levels``."""
    starts = np.round(onsets_s * sample_rate).astype(int)
    train = np.zeros(int(starts.max()) + len(kernel))
    for start, level in zip(starts, levels, strict=True):
        train[start : start + len(kernel)] += level * kernel
    return train


VOICES: dict[str, Voice] = {
    "bell": bell,
    "call": call,
    "clicks": clicks,
    "falling_chirp": falling_chirp,
    "hiss": hiss,
    "knock": knock,
    "rattle": rattle,
    "rising_chirp": rising_chirp,
    "siren": siren,
    "warble": warble,
}
"""The classes with their synthesis functions."""
