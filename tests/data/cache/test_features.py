"""The feature cache: computed once, keyed by everything that affects it, never incomplete."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from sed_cli.audio import AudioReader, LogMel, feature_blocks, read_audio
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.cache import compute, digests, features, memory, packs
from sed_cli.data.cache.digests import Hashed, file_digest
from sed_cli.data.cache.features import FeatureCache
from sed_cli.errors import DataError, SedtfError, UserError
from sed_cli.system import pool

FEATURE = LogMelConfig(
    backend="torchaudio",
    sample_rate=8000,
    window_length=256,
    hop_length=128,
    n_fft=256,
    n_mels=20,
)


def load(root: Path, feature: LogMelConfig, path: Path) -> tuple[NDArray[np.float32], str]:
    """Read the cached features in full."""
    ((stored, content),) = FeatureCache(root, feature).load([path])
    features = np.asarray(stored)
    assert len(stored) == len(features)
    np.testing.assert_array_equal(stored[1:3], features[1:3])
    return features, content


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "sound.wav", seed=0)


def expected(path: Path) -> NDArray[np.float32]:
    """Features without a cache."""
    waveform = torch.from_numpy(read_audio(path, FEATURE.sample_rate))
    features: NDArray[np.float32] = FEATURE.build()(waveform[None])[0, 0].numpy()
    return features


def write_audio(path: Path, seed: int) -> Path:
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4000), 8000)
    return path


def entries(root: Path) -> list[Path]:
    return sorted(path for path in (root / "features").rglob("*") if path.is_file())


def forbid_reading(monkeypatch: pytest.MonkeyPatch, *, hashing: bool = False) -> None:
    def fail(*_: Any) -> None:
        pytest.fail("audio was read again")

    monkeypatch.setattr(compute, "feature_blocks", fail)
    if hashing:
        monkeypatch.setattr(digests, "file_digest", fail)


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat recently written files as settled."""
    monkeypatch.setattr(memory, "SETTLED_AFTER_S", -60.0)


@pytest.fixture
def _always_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share even the smallest work between two workers, one file per unit."""
    monkeypatch.setattr(compute, "_TRIED_S", 0.0)
    monkeypatch.setattr(compute, "_WORTH_A_WORKER_S", 1e-12)
    monkeypatch.setattr(compute, "_UNIT_BYTES", (1, 1))
    monkeypatch.setattr(pool, "n_cores", lambda: 2)


def test_features_are_those_of_the_audio(audio: Path, tmp_path: Path) -> None:
    features, content = load(tmp_path, FEATURE, audio)

    np.testing.assert_array_equal(features, expected(audio))
    assert features.shape == (1 + 4000 // 128, 20)
    assert content == file_digest(audio)


@pytest.mark.usefixtures("_settled")
def test_a_second_load_reads_no_audio(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = load(tmp_path, FEATURE, audio)
    forbid_reading(monkeypatch, hashing=True)

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


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_an_interrupted_write_keeps_what_is_whole_and_nothing_else(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(3)]
    blocks = compute._blocks

    def interrupted(file: Hashed, *rest: Any) -> Iterator[NDArray[np.float32]]:
        for block in blocks(file, *rest):
            yield block[:9]
            if file.path == paths[1]:
                raise error("in the middle")
            yield block[9:]

    with monkeypatch.context() as patch:
        patch.setattr(compute, "_blocks", interrupted)
        with pytest.raises(error):
            FeatureCache(tmp_path, FEATURE).load(paths)

    kept = 0 if error is OSError else 1  # a full disk, for one: then nothing is trusted
    assert [path.suffix for path in entries(tmp_path)] == [".pack"] * kept
    stored = FeatureCache(tmp_path, FEATURE).load(paths)
    for path, (log_mel, _) in zip(paths, stored, strict=True):
        np.testing.assert_array_equal(log_mel, expected(path))


@pytest.mark.parametrize("kept", [0, 10, 200, 2000, -1])
def test_an_entry_that_was_cut_short_is_made_again(kept: int, audio: Path, tmp_path: Path) -> None:
    whole, _ = load(tmp_path, FEATURE, audio)
    whole = whole.copy()
    (entry,) = entries(tmp_path)
    assert len(entry.read_bytes()) > 2000
    entry.write_bytes(entry.read_bytes()[:kept])

    again, _ = load(tmp_path, FEATURE, audio)

    np.testing.assert_array_equal(again, whole)
    assert len(entries(tmp_path)) == 1  # the damaged one is deleted


def test_cached_features_cannot_be_changed_by_accident(audio: Path, tmp_path: Path) -> None:
    ((stored, _),) = FeatureCache(tmp_path, FEATURE).load([audio])
    before = np.array(stored)
    stored[0:2][:] = 0
    np.asarray(stored)[:] = 0
    np.testing.assert_array_equal(np.asarray(stored), before)


def test_every_file_that_cannot_be_read_is_named_and_the_others_are_kept(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [tmp_path / f"text{n:02d}.wav" for n in range(12)]
    for n, path in enumerate(broken):
        path.write_text(f"no audio {n}")

    with pytest.raises(DataError) as raised:
        FeatureCache(tmp_path, FEATURE).load([*broken, audio])

    message = str(raised.value)
    assert message.startswith("12 recordings cannot be used: ")
    assert f"{broken[9]}: cannot be read as audio" in message
    assert str(broken[10]) not in message
    assert message.endswith("and 2 more")
    forbid_reading(monkeypatch)
    load(tmp_path, FEATURE, audio)


def test_a_fault_of_the_only_file_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")

    with pytest.raises(DataError, match=r"^\S+text\.wav: cannot be read as audio"):
        load(tmp_path, FEATURE, path)
    assert entries(tmp_path) == []


def test_audio_that_changes_while_it_is_read_gives_no_entry(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its features would be stored under the hash of the earlier content."""

    def read_late(reader: AudioReader, log_mel: LogMel) -> Iterator[NDArray[np.float32]]:
        yield from feature_blocks(reader, log_mel)
        write_audio(reader.path, seed=1)

    with monkeypatch.context() as patch:
        patch.setattr(compute, "feature_blocks", read_late)
        with pytest.raises(DataError, match="changed while being read"):
            load(tmp_path, FEATURE, audio)
    assert entries(tmp_path) == []
    np.testing.assert_array_equal(load(tmp_path, FEATURE, audio)[0], expected(audio))


def test_many_recordings_share_one_file_and_one_handle(tmp_path: Path) -> None:
    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(40)]
    FeatureCache(tmp_path, FEATURE).load(paths)
    before = len(list(Path("/dev/fd").iterdir()))

    stored = FeatureCache(tmp_path, FEATURE).load(paths)

    for log_mel, _ in stored:
        assert log_mel[3:5].shape == (2, 20)
    assert len(list(Path("/dev/fd").iterdir())) <= before + 1
    assert len(entries(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("_always_workers")
def test_workers_give_the_same_bits_and_name_the_same_faults(tmp_path: Path) -> None:
    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(5)]
    broken = tmp_path / "text.wav"
    broken.write_text("no audio")
    cache = FeatureCache(tmp_path, FEATURE)

    with pytest.raises(DataError, match=r"^\S+text\.wav: cannot be read as audio"):
        cache.load([*paths, broken])

    assert len(entries(tmp_path)) == 5  # one pack per unit, so this process did nothing
    for path, (log_mel, _) in zip(paths, cache.load(paths), strict=True):
        np.testing.assert_array_equal(log_mel, expected(path))


@pytest.mark.usefixtures("_always_workers")
def test_workers_that_cannot_work_are_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def end_abruptly(*_: Any) -> Iterator[Any]:
        raise BrokenProcessPool
        yield

    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(3)]
    monkeypatch.setattr(pool, "run_in_processes", end_abruptly)

    stored = FeatureCache(tmp_path, FEATURE).load(paths)

    assert "ended abruptly" in caplog.text
    for path, (log_mel, _) in zip(paths, stored, strict=True):
        np.testing.assert_array_equal(log_mel, expected(path))


def test_short_work_starts_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred files of a few seconds take less time than starting workers."""

    def fail(*_: Any) -> None:
        pytest.fail("workers were started")

    monkeypatch.setattr(pool, "run_in_processes", fail)
    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(300)]
    assert len(FeatureCache(tmp_path, FEATURE).load(paths)) == 300


def test_a_long_file_is_left_to_workers_unless_it_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is abandoned in the middle, as soon as the amount of work is known to be large."""
    dealt: list[int] = []

    def here(function: Any, units: list[compute.Unit], n_workers: int) -> Iterator[Any]:
        dealt.append(sum(len(unit.files) for unit in units))
        yield from map(function, units)

    monkeypatch.setattr(pool, "run_in_processes", here)
    monkeypatch.setattr(pool, "n_cores", lambda: 2)
    monkeypatch.setattr(compute, "_TRIED_S", 0.02)
    long = tmp_path / "long.wav"
    soundfile.write(long, np.random.default_rng(0).uniform(-0.5, 0.5, 8000 * 600), 8000)
    other = tmp_path / "longer.wav"
    soundfile.write(other, np.random.default_rng(1).uniform(-0.5, 0.5, 8000 * 601), 8000)

    ((alone, _),) = FeatureCache(tmp_path / "one", FEATURE).load([long])
    assert dealt == []
    (first, _), (second, _) = FeatureCache(tmp_path / "two", FEATURE).load([long, other])

    assert dealt == [2]
    np.testing.assert_array_equal(alone, expected(long))
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(second, expected(other))


def test_runs_at_the_same_time_compute_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that need the same features, one computes, the other waits for its lock."""
    paths = [write_audio(tmp_path / f"{seed}.wav", seed) for seed in range(4)]
    blocks, computed = compute._blocks, []

    def counted(file: Any, *rest: Any) -> Iterator[Any]:
        computed.append(file.path.name)
        time.sleep(0.05)  # so that the other one arrives meanwhile
        yield from blocks(file, *rest)

    monkeypatch.setattr(compute, "_blocks", counted)
    together = Barrier(2)

    def run(_: int) -> int:
        together.wait()
        return len(FeatureCache(tmp_path, FEATURE).load(paths))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(run, range(2))) == [4, 4]
    assert sorted(computed) == sorted(path.name for path in paths)
    assert [path.suffix for path in entries(tmp_path)] == [".pack"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"the disk is full: free some space.*sedtf cache clear"),
        (errno.EROFS, r"the cache cannot be written to; set data\.cache_dir or SEDTF_CACHE"),
    ],
)
def test_a_disk_that_takes_nothing_is_reported_in_one_line(
    number: int, said: str, audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(packs.os, "fsync", refuse)
    with pytest.raises(UserError, match=said):
        load(tmp_path, FEATURE, audio)
    assert entries(tmp_path) == []


def test_features_that_vanish_are_not_waited_for_for_ever(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "compute", lambda *_, **__: [])
    with pytest.raises(SedtfError, match="vanish as soon as they are computed"):
        load(tmp_path, FEATURE, audio)


def test_an_entry_may_be_read_by_others(audio: Path, tmp_path: Path) -> None:
    load(tmp_path, FEATURE, audio)

    (entry,) = entries(tmp_path)
    assert entry.suffix == ".pack"
    assert entry.stat().st_mode & 0o444 == 0o444
