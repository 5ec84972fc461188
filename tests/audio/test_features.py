"""Properties of the log-mel features, with librosa as the oracle."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from sed_cli.audio import LogMel, features
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.errors import DataError
from sed_cli.system.torchaudio_import import import_torchaudio

BACKENDS = ["torchlibrosa", "torchaudio"]
SMALL: dict[str, Any] = {"window_length": 256, "hop_length": 100, "n_fft": 512, "n_mels": 40}

# All leave at least one bin of the transform in every mel band: empty bands cause warnings.
GRID: list[dict[str, Any]] = [
    {},
    {"sample_rate": 8000, "window_length": 256, "hop_length": 128, "n_fft": 256, "n_mels": 20},
    {"sample_rate": 16000, "window_length": 400, "hop_length": 160, "n_fft": 512, "n_mels": 40},
    {
        "sample_rate": 22050,
        "window_length": 512,
        "hop_length": 441,
        "n_fft": 1024,
        "n_mels": 32,
        "f_min": 50.0,
        "f_max": 10000.0,
    },
    {"sample_rate": 44100, "window_length": 1024, "hop_length": 882, "n_fft": 1024, "n_mels": 20},
]

# Float32 transforms of noise with power in all bands: 1e-3 dB is a relative error of 2e-4, ten
# times the largest observed, and far below the difference between two settings.
TOLERANCE_DB = 1e-3


def make(backend: str, **settings: Any) -> LogMel:
    """Return features, created only once: torchlibrosa's matrices take a second."""
    return _make(backend, tuple(settings.items()))


@cache
def _make(backend: str, settings: tuple[tuple[str, Any], ...]) -> LogMel:
    return LogMelConfig(backend=backend, **dict(settings)).build()


def noise(n_samples: int, seed: int = 0) -> torch.Tensor:
    """White noise, (1, n_samples)."""
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(seed))


def librosa_power(waveform: torch.Tensor, settings: dict[str, Any]) -> np.ndarray:
    """Return librosa's mel power spectrogram (T, M)."""
    s = {"sample_rate": 16000, "window_length": 1024, "hop_length": 512, "n_fft": 2048}
    s |= {"n_mels": 40, "f_min": 0.0, "f_max": None} | settings
    return librosa.feature.melspectrogram(
        y=waveform[0].numpy(),
        sr=s["sample_rate"],
        n_fft=s["n_fft"],
        win_length=s["window_length"],
        hop_length=s["hop_length"],
        n_mels=s["n_mels"],
        fmin=s["f_min"],
        fmax=s["f_max"],
        pad_mode="reflect",
    ).T


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_tutorials_settings_give_the_tutorials_shape(backend: str) -> None:
    log_mel = make(backend)

    assert log_mel(noise(54_400)).shape == (1, 1, 107, 40)
    assert log_mel.n_frames(54_400) == 107


@pytest.mark.parametrize("settings", GRID)
@pytest.mark.parametrize("backend", BACKENDS)
def test_log_mel_equals_librosas(backend: str, settings: dict[str, Any]) -> None:
    waveform = noise(9_001)

    ours = make(backend, **settings)(waveform)[0, 0].numpy()

    expected = librosa.power_to_db(librosa_power(waveform, settings), amin=1e-10, top_db=None)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE_DB)


@pytest.mark.parametrize("settings", GRID)
def test_the_back_ends_agree(settings: dict[str, Any]) -> None:
    waveform = noise(9_001, seed=1)

    first, second = (make(backend, **settings)(waveform) for backend in BACKENDS)

    torch.testing.assert_close(first, second, atol=TOLERANCE_DB, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_the_logarithm_it_is_the_power(backend: str) -> None:
    waveform = noise(9_001)

    power = make(backend, **SMALL, is_log=False)(waveform)[0, 0].numpy()

    expected = librosa_power(waveform, SMALL)
    # A float32 sum of 512 products: about 1e-6 of the largest band.
    np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-6 * expected.max())
    decibels = make(backend, **SMALL)(waveform)[0, 0].numpy()
    np.testing.assert_allclose(decibels, 10 * np.log10(power), atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_lies_at_the_floor(backend: str) -> None:
    assert make(backend)(torch.zeros(1, 4000)).unique().tolist() == pytest.approx([-100])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("block", [1, 7])
def test_blocks_change_nothing(backend: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log_mel = make(backend, **SMALL)
    waveform = noise(3_210)
    whole = log_mel(waveform)

    monkeypatch.setattr(features, "BLOCK_FRAMES", block)

    # The same products in matrices of another size: rounding alone differs.
    torch.testing.assert_close(log_mel(waveform), whole, atol=TOLERANCE_DB, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_samples", [1, 2, 511, 1023, 1024, 1025])
def test_short_waveforms_have_features(backend: str, n_samples: int) -> None:
    log_mel = make(backend)(noise(n_samples))

    assert log_mel.shape == (1, 1, 1 + n_samples // 512, 40)
    assert torch.isfinite(log_mel).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_waveform_of_another_shape_is_refused(backend: str) -> None:
    with pytest.raises(DataError, match="without samples"):
        make(backend)(torch.zeros(1, 0))
    with pytest.raises(ValueError, match=r"\(B, n_samples\)"):
        make(backend)(torch.zeros(100))


def test_an_unknown_back_end_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'fft'.*torchlibrosa, torchaudio"):
        LogMelConfig(backend="fft").build()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_equals_stacked_singles(backend: str) -> None:
    log_mel = make(backend)
    waveforms = [noise(5_000, seed) for seed in range(3)]

    batch = log_mel(torch.cat(waveforms))

    singles = torch.cat([log_mel(waveform) for waveform in waveforms])
    torch.testing.assert_close(batch, singles, atol=TOLERANCE_DB, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_of_it_goes_into_a_checkpoint_or_an_optimiser(backend: str) -> None:
    log_mel = make(backend)

    assert log_mel.state_dict() == {}
    assert list(log_mel.parameters()) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tone_is_loudest_in_the_band_around_it_at_the_frames_in_which_it_sounds(
    backend: str,
) -> None:
    log_mel = make(backend)
    time = torch.arange(32_000) / 16_000
    waveform = torch.sin(2 * torch.pi * 1000 * time) * ((time >= 0.8) & (time < 1.2))

    spectrum = log_mel(waveform[None])[0, 0]  # (T, M)

    band = int(np.abs(log_mel.centres_hz - 1000).argmin())
    assert int(spectrum.sum(dim=0).argmax()) == band
    active = torch.nonzero(spectrum[:, band] > spectrum[:, band].max() - 6)[:, 0] * 512 / 16_000
    # Frame t is centred at t hops: half power within one hop (32 ms) of the edges, on both sides.
    assert float(active[0]) == pytest.approx(0.8, abs=0.032)
    assert float(active[-1]) == pytest.approx(1.2, abs=0.032)


def test_torchaudio_is_imported_beside_this_torch() -> None:
    transforms = import_torchaudio("transforms")

    assert transforms.MelSpectrogram(n_mels=20)(torch.zeros(1, 4000)).shape[1] == 20


@pytest.mark.parametrize(
    "error", [OSError("disk on fire"), OSError("libsox.so: cannot open"), ImportError("no such")]
)
def test_any_other_error_of_the_import_is_passed_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)

    with pytest.raises(type(error)) as raised:
        import_torchaudio("transforms")
    assert raised.value is error
