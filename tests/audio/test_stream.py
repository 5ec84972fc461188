"""Features in blocks, of files and of live samples, equal those of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.audio import (
    AudioReader,
    FeatureStream,
    LogMel,
    Resampler,
    feature_blocks,
    files,
    read_audio,
    resample,
)
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.errors import DataError

# By construction the same numbers to the last bit. If a machine's library sums in another order
# for other addresses, a power may differ by a relative 1e-7, which is 1e-6 dB.
TOLERANCE_DB = 1e-5

SETTINGS: list[dict[str, object]] = [
    {},
    {"window_length": 2048, "hop_length": 320},
    {"window_length": 100, "hop_length": 37, "n_fft": 1023, "n_mels": 12},
    {"window_length": 512, "hop_length": 8, "n_fft": 2048, "n_mels": 12},  # blocks within a window
    {"backend": "torchlibrosa", "window_length": 256, "hop_length": 100, "n_fft": 512},
]


@cache
def features(index: int) -> LogMel:
    return LogMelConfig(**SETTINGS[index]).build()  # type: ignore[arg-type]


def sound(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise under a loud tone: bands far below the peak show any difference in rounding."""
    tone = np.sin(2 * np.pi * 440 / 16000 * np.arange(n_samples))
    noise = np.random.default_rng(seed).normal(0, 1e-3, n_samples)
    return np.asarray(0.9 * tone + noise, dtype=np.float32)


def cut(samples: NDArray[np.float32], sizes: Sequence[int]) -> list[NDArray[np.float32]]:
    """Cut into pieces of ``sizes``, repeatedly, until nothing is left."""
    pieces, start = [], 0
    while start < len(samples):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(samples[start : start + size])
        start += size
    return pieces


def streamed(log_mel: LogMel, pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    stream = FeatureStream(log_mel)
    return np.concatenate([*(stream.push(piece) for piece in pieces), stream.finish()])


def whole(log_mel: LogMel, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = log_mel(torch.from_numpy(samples)[None])[0, 0].numpy()
    return frames


@settings(max_examples=60, deadline=None)
@given(
    index=st.integers(0, len(SETTINGS) - 1),
    n_samples=st.one_of(st.integers(1, 3000), st.integers(1, 60_000)),
    sizes=st.lists(st.one_of(st.integers(1, 600), st.integers(1, 70_000)), min_size=1, max_size=4),
)
def test_streamed_features_equal_those_of_the_whole(
    index: int, n_samples: int, sizes: list[int]
) -> None:
    samples = sound(n_samples)
    # Single samples throughout would take minutes.
    sizes = [*sizes, 1 + n_samples // 40]

    ours = streamed(features(index), cut(samples, sizes))

    expected = whole(features(index), samples)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("n_samples", [1, 2, 511, 512, 513, 1023, 1024, 1025, 1536, 3000])
def test_single_samples_make_the_same_features(n_samples: int) -> None:
    samples = sound(n_samples)

    ours = streamed(features(0), list(samples[:, None]))

    np.testing.assert_allclose(ours, whole(features(0), samples), rtol=0, atol=TOLERANCE_DB)


def test_a_frame_comes_with_the_last_sample_under_its_window() -> None:
    stream = FeatureStream(features(0))
    counts = [len(stream.push(sample)) for sample in sound(5000)[:, None]]

    arrivals = np.flatnonzero(counts) + 1  # samples that had been pushed

    assert stream.look_ahead_samples == 512  # half of the window of 1024
    assert set(counts) == {0, 1}
    # Frame t is centred at t hops; the first needs one more sample, as it is mirrored at sample 0.
    assert arrivals.tolist() == [513, *(512 * t + 512 for t in range(1, 9))]


def test_without_samples_there_are_no_frames() -> None:
    stream = FeatureStream(features(0))

    assert stream.push(np.empty(0, np.float32)).shape == (0, 40)
    assert stream.finish().shape == (0, 40)


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = FeatureStream(features(0))
    largest = 0
    for _ in range(200):
        stream.push(sound(10_000))
        largest = max(largest, len(stream._held))

    assert largest < 64 * 512 + 2 * 2048 + 10_000


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000, 44056]),
    n_samples=st.integers(1, 20_000),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=3),
)
def test_resampling_does_not_depend_on_the_pieces(
    rate: int, n_samples: int, sizes: list[int]
) -> None:
    samples = sound(n_samples)
    resampler = Resampler(rate, 16_000)
    sizes = [*sizes, 1 + n_samples // 40]

    ours = [*(resampler.push(piece) for piece in cut(samples, sizes)), resampler.finish()]

    np.testing.assert_array_equal(np.concatenate(ours), resample(samples, rate, 16_000))


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_an_hour_of_resampling_does_not_drift(rate: int) -> None:
    resampler = Resampler(rate, 16_000)
    second, n_out, lags_s = np.zeros(rate, np.float32), 0, []
    for n_seconds in range(1, 3601):
        n_out += len(resampler.push(second))
        lags_s.append(n_seconds - n_out / 16_000)

    assert max(lags_s) <= resampler.latency_s
    assert n_out + len(resampler.finish()) == 3600 * 16_000


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_features_of_a_file_in_blocks_are_those_of_the_file(
    rate: int, n_channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCK", 10_007)
    path = tmp_path / "sound.wav"
    samples = sound(3 * rate + 1)
    soundfile.write(path, np.stack([samples] * n_channels, axis=1), rate, subtype="FLOAT")

    blocks = list(feature_blocks(AudioReader(path), features(0)))

    expected = whole(features(0), read_audio(path, 16_000))
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=0, atol=TOLERANCE_DB)
    assert len(blocks) > 2
    assert min(map(len, blocks)) > 0


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.empty((0, 1)), 16_000)

    with pytest.raises(DataError, match="holds no samples"):
        list(feature_blocks(AudioReader(path), features(0)))
