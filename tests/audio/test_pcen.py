"""PCEN, with librosa as the oracle."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch

from sed_cli.audio import FeatureStream
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.audio.front_ends.pcen import PCENConfig
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

SMALL: dict[str, Any] = {"window_length": 256, "hop_length": 128, "n_fft": 512, "n_mels": 20}


def waveform(n_samples: int = 40_000) -> np.ndarray[Any, Any]:
    """Noise whose level rises by 40 dB halfway, after a period of silence."""
    samples = np.random.default_rng(0).normal(0, 0.001, n_samples)
    samples[: n_samples // 8] = 0
    samples[n_samples // 2 :] *= 100
    return samples.astype(np.float32)


@pytest.mark.parametrize(
    "settings", [{}, {"gain": 0.8, "bias": 10.0, "power": 0.25, "time_constant": 0.06}]
)
def test_it_is_librosas(settings: dict[str, float]) -> None:
    samples = torch.from_numpy(waveform())[None]
    config = PCENConfig(**SMALL, **settings)
    power = LogMelConfig(**SMALL, is_log=False).build()(samples)[0, 0].double().numpy().T
    given = {key: getattr(config, key) for key in ("gain", "bias", "power", "eps", "time_constant")}
    plain = {"sr": 16000, "hop_length": 128, **given}
    n_frames = config.time_constant * 16000 / 128
    share = (np.sqrt(1 + 4 * n_frames**2) - 1) / (2 * n_frames**2)
    # librosa's filter starts at 1 by default: a power that no frame has
    expected = librosa.pcen(power, **plain, zi=(1 - share) * power[:, :1]).T
    got = config.build()(samples)[0, 0].numpy()
    # float32, through a recursion of hundreds of steps and two powers
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_stream_gives_the_same_to_the_last_bit() -> None:
    samples = waveform()
    features = PCENConfig(**SMALL).build()
    whole = features(torch.from_numpy(samples)[None])[0, 0].numpy()
    cuts = [0, 1, 300, 9_000, 9_100, 23_456, len(samples)]
    stream = FeatureStream(features)
    pieces = [stream.push(piece) for piece in np.split(samples, cuts)]
    np.testing.assert_array_equal(np.concatenate([*pieces, stream.finish()]), whole)


def test_the_level_is_taken_out_and_silence_is_zero() -> None:
    samples = waveform()
    features = PCENConfig(**SMALL).build()(torch.from_numpy(samples)[None])[0, 0]
    log_mel = LogMelConfig(**SMALL).build()(torch.from_numpy(samples)[None])[0, 0]
    quiet, loud = slice(120, 150), slice(280, 310)
    assert float(log_mel[loud].mean() - log_mel[quiet].mean()) > 35
    assert abs(float(features[loud].mean() / features[quiet].mean()) - 1) < 0.2
    assert not features[:30].any()
    assert float(features[157:160].mean()) > 3 * float(
        features[quiet].mean()
    )  # an onset stands out


def test_settings_out_of_range_are_reported(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = (
        "feature=pcen",
        "feature.time_constant=0",
        "augment=mixup",
        "feature.hop_length=9999",
    )
    assert sedtf("train", *settings, "output_dir=run") == 2
    told = capfd.readouterr().err
    assert "feature.time_constant=0.0: expected a number above 0" in told
    assert "augment.mixup needs the power of bands" in told


@pytest.mark.slow
def test_it_is_trained_on_and_listened_with(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "feature=pcen", *TINY, *TINY_SOUNDSCAPES, "output_dir=run") == 0
    assert sedtf("eval", "checkpoint=run", "output_dir=again") == 0
    capfd.readouterr()
    assert sedtf("export", "checkpoint=run", "output_dir=graphs") == 2
    assert "feature.kind=logmel only" in capfd.readouterr().err
