"""The feature cache: computed once, named by all that made it, never half-made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from sed_cli.audio import LogMel, read_audio
from sed_cli.data import cache as cache_module
from sed_cli.data.cache import FeatureCache, cache_root, digest, file_digest
from sed_cli.errors import DataError, UserError
from sed_cli.schema import FeatureConfig

FEATURE = FeatureConfig(
    backend="torchaudio",
    sample_rate=8000,
    window_length=256,
    hop_length=128,
    n_fft=256,
    n_mels=20,
)


def load(root: Path, feature: FeatureConfig, path: Path) -> tuple[NDArray[np.float32], str]:
    """Read what the cache gives in full."""
    stored, content = FeatureCache(root, feature).load(path)
    features = np.asarray(stored)
    assert len(stored) == len(features)
    np.testing.assert_array_equal(stored[1:3], features[1:3])
    return features, content


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "sound.wav", seed=0)


def write_audio(path: Path, seed: int) -> Path:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4000), 8000)
    return path


def entries(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".wav")


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        pytest.fail("audio was decoded again")

    monkeypatch.setattr(cache_module, "read_audio", fail)


def test_features_are_those_of_the_audio(audio: Path, tmp_path: Path) -> None:
    features, content = load(tmp_path, FEATURE, audio)

    waveform = read_audio(audio, 8000)
    log_mel = LogMel(
        backend="torchaudio",
        sample_rate=8000,
        window_length=256,
        hop_length=128,
        n_fft=256,
        n_mels=20,
    )
    expected = log_mel(torch.from_numpy(waveform)[None])[0, 0].numpy()
    np.testing.assert_array_equal(features, expected)
    assert features.shape == (1 + 4000 // 128, 20)
    assert content == file_digest(audio)


def test_a_second_load_decodes_nothing(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = load(tmp_path, FEATURE, audio)
    forbid_reading(monkeypatch)

    second, _ = load(tmp_path, FEATURE, audio)

    np.testing.assert_array_equal(first, second)
    assert len(entries(tmp_path)) == 1


def test_the_same_audio_under_another_name_is_the_same_entry(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path, FEATURE, audio)
    other = tmp_path / "elsewhere.wav"
    other.write_bytes(audio.read_bytes())
    forbid_reading(monkeypatch)

    load(tmp_path, FEATURE, other)


@pytest.mark.parametrize(
    "change",
    [
        {"hop_length": 100},
        {"window_length": 200},
        {"n_mels": 10},
        {"is_log": False},
        {"f_min": 100.0},
        {"f_max": 3000.0},
        {"sample_rate": 4000},
        {"n_fft": 512},
        {"backend": "torchlibrosa"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_setting_is_another_entry(
    change: dict[str, Any], audio: Path, tmp_path: Path
) -> None:
    load(tmp_path, FEATURE, audio)

    features, _ = load(tmp_path, replace(FEATURE, **change), audio)

    assert len(entries(tmp_path)) == 2
    assert features.shape[1] == change.get("n_mels", 20)


def test_changed_audio_is_another_entry(audio: Path, tmp_path: Path) -> None:
    before, _ = load(tmp_path, FEATURE, audio)
    before = before.copy()
    write_audio(audio, seed=1)

    after, _ = load(tmp_path, FEATURE, audio)

    assert not np.allclose(before, after)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_nothing(
    error: type[BaseException], audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file: Any, array: Any) -> None:
        file.write(b"\x93NUMPY half of it")
        raise error("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupted)
        with pytest.raises(error):
            load(tmp_path, FEATURE, audio)

    assert entries(tmp_path) == []
    features, _ = load(tmp_path, FEATURE, audio)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_an_entry_that_was_cut_short_is_made_again(kept: int, audio: Path, tmp_path: Path) -> None:
    whole, _ = load(tmp_path, FEATURE, audio)
    whole = whole.copy()
    (entry,) = entries(tmp_path)
    entry.write_bytes(entry.read_bytes()[:kept])

    again, _ = load(tmp_path, FEATURE, audio)

    np.testing.assert_array_equal(again, whole)


def test_cached_features_cannot_be_changed_by_accident(audio: Path, tmp_path: Path) -> None:
    stored, _ = FeatureCache(tmp_path, FEATURE).load(audio)
    before = np.array(stored)
    stored[0:2][:] = 0
    np.asarray(stored)[:] = 0
    np.testing.assert_array_equal(np.asarray(stored), before)


def test_a_fault_of_the_audio_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")

    with pytest.raises(DataError):
        load(tmp_path, FEATURE, path)
    assert entries(tmp_path) == []


def test_the_cache_is_where_it_is_told_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEDTF_CACHE", str(tmp_path / "by_environment"))

    assert cache_root(None) == tmp_path / "by_environment"
    assert cache_root(str(tmp_path / "by_key")) == tmp_path / "by_key"
    assert (tmp_path / "by_key").is_dir()


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match=r"data\.cache_dir or SEDTF_CACHE"):
        cache_root(str(tmp_path / "file" / "below"))


def test_a_digest_depends_on_values_and_not_on_their_order() -> None:
    assert digest({"a": 1, "b": None}) == digest({"b": None, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_no_temporary_file_stays(audio: Path, tmp_path: Path) -> None:
    load(tmp_path, FEATURE, audio)

    assert [path.suffix for path in entries(tmp_path)] == [".npy"]
    assert os.access(entries(tmp_path)[0], os.R_OK)
