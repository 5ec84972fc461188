"""Flipped bits in the cache are detected, and damaged or odd content stops nothing."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import FeatureStream
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.tools import CacheConfig
from sed_cli.data.cache.features import FeatureCache
from sed_cli.data.cache.packs import Pack
from sed_cli.data.cache.report import manage_cache
from sed_cli.data.cache.upkeep import items
from sed_cli.errors import DataError

FEATURE = LogMelConfig(sample_rate=8000, window_length=256, hop_length=128, n_fft=256, n_mels=20)


@pytest.fixture
def audio(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{seed}.wav" for seed in range(3)]
    for seed, path in enumerate(paths):
        soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4000), 8000)
    return paths


def load(root: Path, paths: list[Path]) -> list[np.ndarray]:
    return [np.asarray(stored) for stored, _ in FeatureCache(root, FEATURE).load(paths)]


def packs(root: Path) -> set[Path]:
    return set(root.rglob("*.pack"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def test_flipped_bits_are_computed_again_with_a_warning_and_once(
    audio: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "cache"
    before = load(root, audio)
    (path,) = packs(root)
    flip(path, 10)

    with caplog.at_level(logging.WARNING):
        again = load(root, audio)

    np.testing.assert_array_equal(again, before)
    assert [r.message for r in caplog.records] == [
        f"{path}: the features of 1 of 3 recordings are damaged, so they are "
        f"computed again: is the disk failing?"
    ]
    caplog.clear()
    np.testing.assert_array_equal(load(root, audio), before)
    assert caplog.messages == []
    assert len(packs(root)) == 2


def test_no_byte_of_a_pack_can_change_unnoticed(audio: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "cache"
    before = load(root, audio)
    (path,) = packs(root)
    content = path.read_bytes()
    for at in range(0, len(content), 331):
        for other in packs(root):
            other.unlink()
        path.write_bytes(content)
        flip(path, at)
        np.testing.assert_array_equal(load(root, audio), before)


@pytest.mark.parametrize(
    "index",
    [
        {},
        [],
        {"n_mels": 20, "hop_s": 0.016, "source": "x", "recordings": []},
        {"n_mels": 20, "hop_s": 0.016, "source": "x", "recordings": {"a": [0, 1]}},
        {"n_mels": "x", "hop_s": 0.016, "source": "x", "recordings": {}},
        {"n_mels": 20, "hop_s": 1, "source": "x", "recordings": {"a": [5, 2, 0, [1.0, None]]}},
        {"n_mels": 1e999, "hop_s": 1, "source": "x", "recordings": {}},
        {"n_mels": 10**30, "hop_s": 1, "source": "x", "recordings": {}},
        {"n_mels": 0, "hop_s": 1e999, "source": "x", "recordings": {}},
        {"n_mels": -1, "hop_s": 1, "source": "x", "recordings": {"a": [0, 2, 0, [1.0, None]]}},
    ],
)
def test_an_index_of_another_kind_is_passed_over(
    index: object, audio: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    before = load(root, audio)
    (path,) = packs(root)
    text = json.dumps(index).encode()
    tail = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(8, "little") + b"sedtf\0p2"
    path.write_bytes(bytes(80) + text + tail)

    with pytest.raises(ValueError, match=r"its index is of another kind|bytes of features"):
        Pack(path)
    assert [item.source for item in items(root)] == ["damaged"]
    np.testing.assert_array_equal(load(root, audio), before)


def test_what_is_odd_in_the_cache_is_listed_and_cleared_with_the_rest(
    audio: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "cache"
    load(root, audio)
    folder = next(iter(packs(root))).parent
    (folder / "garbage.pack").write_bytes(b"\xff" * 100)
    (folder / "empty.pack").touch()
    (folder / "folder.pack").mkdir()
    (folder / "earlier.pack").write_bytes(bytes(80) + b"sedtf\0p1")
    (folder / "nowhere.pack").symlink_to(tmp_path / "nowhere")
    (folder / "circle.pack").symlink_to(folder / "circle.pack")
    new = tmp_path / "new.wav"
    soundfile.write(new, np.random.default_rng(9).uniform(-0.5, 0.5, 4000), 8000)
    assert len(load(root, [*audio, new])) == 4  # a training is not stopped
    (folder / "garbage.pack").write_bytes(b"\xff" * 100)  # what is no pack was deleted
    (folder / "earlier.pack").write_bytes(bytes(80) + b"sedtf\0p1")
    for name, text in (("list", "[]"), ("text", '{"settings": {"duration_s": "x"}}')):
        (root / "soundscapes" / name).mkdir(parents=True)
        (root / "soundscapes" / name / "recipe.json").write_text(text)
    (root / "soundscapes" / "odd" / "recipe.json").mkdir(parents=True)

    manage_cache(CacheConfig(cache_dir=str(root)))
    listed = capsys.readouterr().out
    manage_cache(CacheConfig(cache_dir=str(root), clear="all"))

    assert "damaged" in listed
    assert "an earlier version" in listed
    assert "removed" in capsys.readouterr().out
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert list(items(root)) == []


def test_a_recording_used_in_part_is_refused_by_a_run_that_wants_it_whole(
    audio: list[Path], tmp_path: Path
) -> None:
    """Features of the readable part are already there, from when that was allowed."""
    root, path = tmp_path / "cache", tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 40_000), 8000)
    path.write_bytes(path.read_bytes()[:40_000])
    cache = FeatureCache(root, FEATURE)

    with pytest.raises(DataError, match=r"cut\.flac: breaks off after"):
        cache.load([path])
    for _ in range(2):
        ((log_mel, _),) = cache.load([path], salvages=True)
        assert 1 < log_mel.heard.duration_s < 5
        assert log_mel.heard.loss is not None
        assert len(log_mel) == 1 + int(log_mel.heard.duration_s * 8000) // 128
        with pytest.raises(DataError, match=r"cut\.flac: breaks off after .*strict=false"):
            cache.load([path])


def test_features_that_are_not_finite_are_refused(
    audio: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        FeatureStream, "push", lambda self, samples: np.full((1, 20), np.nan, np.float32)
    )
    with pytest.raises(DataError, match=r"0\.wav: its features are not finite"):
        load(tmp_path / "cache", audio[:1])
