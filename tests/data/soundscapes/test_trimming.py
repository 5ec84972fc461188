"""The audible parts of a waveform: spans, pauses, and excerpts of long events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.data.soundscapes.trimming import audible_span, audible_spans, choose_stretch

RATE = 8000


def bursts(*places_s: tuple[float, float, float], length_s: float) -> NDArray[np.float64]:
    """Noise with an amplitude over a span: (onset, offset, amplitude)."""
    waveform = np.zeros(round(length_s * RATE))
    rng = np.random.default_rng(3)
    for onset_s, offset_s, amplitude in places_s:
        span = slice(round(onset_s * RATE), round(offset_s * RATE))
        waveform[span] = amplitude * rng.standard_normal(len(waveform[span]))
    return waveform


def test_silence_around_an_event_is_not_part_of_its_span() -> None:
    tone = np.sin(np.arange(4000) * 0.3)
    padded = np.concatenate([np.zeros(1600), tone, 1e-3 * tone, np.zeros(800)])
    start, stop = audible_span(padded, 16000)
    # Half the 10 ms window reaches over each edge.
    assert 1600 - 80 <= start <= 1600
    assert 5600 <= stop <= 5600 + 81


def test_a_silent_waveform_has_no_span() -> None:
    with pytest.raises(ValueError, match="silent"):
        audible_span(np.zeros(100), 16000)
    with pytest.raises(ValueError, match="silent"):
        audible_spans(np.zeros(100), 16000, pause_s=0.5)


@given(
    gaps_s=st.lists(st.floats(0.05, 1.5), min_size=1, max_size=5),
    pause_s=st.sampled_from([0.2, 0.5, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_a_clip_is_cut_at_its_long_pauses_and_nowhere_else(
    gaps_s: list[float], pause_s: float
) -> None:
    # Pauses within the 10 ms of the window of the limit may go either way.
    gaps_s = [gap for gap in gaps_s if abs(gap - pause_s) > 0.02]
    onsets = 0.3 + np.concatenate([[0.0], np.cumsum([0.1 + gap for gap in gaps_s])])
    waveform = bursts(*((on, on + 0.1, 0.5) for on in onsets), length_s=onsets[-1] + 0.4)
    expected: list[list[float]] = []
    for onset in onsets:
        if not expected or onset - expected[-1][1] > pause_s:
            expected.append([onset, onset + 0.1])
        expected[-1][1] = onset + 0.1
    spans = np.array(audible_spans(waveform, RATE, pause_s=pause_s)) / RATE
    assert spans.shape == (len(expected), 2)
    np.testing.assert_allclose(spans, expected, atol=0.006)  # half a window, and a sample


def test_what_is_faint_all_the_time_is_no_event_of_its_own() -> None:
    # 20 dB below the loudest: audible, but never within 15 dB.
    waveform = bursts((0.1, 0.3, 1.0), (1.5, 1.7, 0.1), (3.0, 3.2, 0.7), length_s=3.5)
    spans = audible_spans(waveform, RATE, pause_s=0.5)
    assert [round(start / RATE, 1) for start, _ in spans] == [0.1, 3.0]


@given(
    seed=st.integers(0, 1000),
    length_s=st.floats(0.05, 3.0),
    shortest_s=st.floats(0.05, 1.0),
    width_s=st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_stretches_keep_to_their_bounds_and_begin_audibly(
    seed: int, length_s: float, shortest_s: float, width_s: float
) -> None:
    bounds = shortest_s, shortest_s + width_s
    rng = np.random.default_rng(seed)
    event = bursts((0.0, length_s, 1.0), length_s=length_s)
    event[len(event) // 3 : len(event) // 2] = 0.0  # silence within
    start, stop = choose_stretch(event, RATE, bounds, rng)
    if len(event) <= bounds[1] * RATE:
        assert (start, stop) == (0, len(event))
        return
    assert 0 <= start < stop <= len(event)
    assert bounds[0] * RATE - 1 < stop - start < bounds[1] * RATE + 1
    assert np.any(event[max(0, start - 40) : start + 40])  # a window of 10 ms holds sound


def test_stretches_are_drawn_from_all_over_a_long_event() -> None:
    event = bursts((0.0, 10.0, 1.0), length_s=10.0)
    starts = [
        choose_stretch(event, RATE, (1.0, 2.0), np.random.default_rng(seed))[0]
        for seed in range(60)
    ]
    quarters = np.histogram(starts, bins=4, range=(0, 9 * RATE))[0]
    assert quarters.min() >= 5  # 15 expected: fewer than 5 happen once in a thousand times
