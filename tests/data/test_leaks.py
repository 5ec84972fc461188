"""The same sound in two splits: found at any rate, gain, format or start; nothing else is."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.leaks import Leak, _copies, check_leaks, find_near_copies
from sed_cli.data.sets import load_data
from sed_cli.errors import DataError
from tests.conftest import TINY, Sedtf

RATE = 16000
FEATURE = LogMelConfig()
Sound = NDArray[np.float64]


def scene(seed: int, length_s: float = 6.0) -> Sound:
    """The same stereotyped call in each scene, with different noise and gaps."""
    random = np.random.default_rng(seed)
    time = np.arange(int(0.25 * RATE)) / RATE
    call = np.sin(2 * np.pi * (900 * time + 2400 * time**2)) * np.hanning(len(time))
    sound = random.normal(0, 0.02, int(length_s * RATE))
    start = 0.1
    while start + 0.4 < length_s:
        first = int(start * RATE)
        sound[first : first + len(call)] += 0.3 * call
        start += 0.3 + random.uniform(0, 0.3)
    return sound


def leaks_of(
    root: Path, train: dict[str, Path], test: dict[str, Path], feature: LogMelConfig = FEATURE
) -> tuple[Leak, ...]:
    for split, files in (("train", train), ("test", test)):
        write_annotations(root / f"{split}.tsv", {name: [Event(0.1, 0.2, "a")] for name in files})
    data = load_data(
        AnnotatedConfig(root=str(root), validation=None), feature, splits=["train", "test"]
    )
    return (*_copies(data.splits), *find_near_copies(data.splits, feature))


def write(root: Path, name: str, sound: Sound, rate: int = RATE, **how: str) -> dict[str, Path]:
    path = root / "audio" / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, sound, rate, **how)
    return {name: path}


@pytest.fixture
def train(tmp_path: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for seed in range(6):
        files |= write(tmp_path, f"train_{seed}.wav", scene(seed))
    return files


@pytest.mark.parametrize(
    ("name", "rate", "gain", "how"),
    [
        ("quiet.flac", 16000, 0.03, {"subtype": "PCM_24"}),
        ("telephone.wav", 8000, 0.5, {}),
        ("high.ogg", 44100, 1.0, {}),
        ("lossy.mp3", 22050, 0.7, {}),
        ("coarse.wav", 16000, 2.0, {"subtype": "PCM_U8"}),
    ],
)
def test_a_shifted_excerpt_is_found_in_another_format_rate_and_gain(
    name: str, rate: int, gain: float, how: dict[str, str], train: dict[str, Path], tmp_path: Path
) -> None:
    start = 23_817  # in samples; not at the start of a frame
    excerpt = soxr.resample(scene(3)[start : start + 3 * RATE], RATE, rate) * gain

    (leak,) = leaks_of(tmp_path, train, write(tmp_path, name, excerpt, rate, **how))

    assert (leak.kind, leak.first.name, leak.second.name) == ("near", "train_3.wav", name)
    assert (leak.first.split, leak.second.split) == ("train", "test")
    # Within 5 ms, the shift of a codec.
    found = leak.first.at_s - leak.second.at_s
    assert found == pytest.approx(start / RATE, abs=0.005)


def test_a_copy_behind_the_first_stream_of_a_file_is_found(
    train: dict[str, Path], tmp_path: Path
) -> None:
    (first,) = write(tmp_path, "first.ogg", scene(20)).values()
    (second,) = write(tmp_path, "second.ogg", scene(3)).values()
    chained = first.with_name("chained.ogg")
    chained.write_bytes(first.read_bytes() + second.read_bytes())

    (leak,) = leaks_of(tmp_path, train, {"chained.ogg": chained})

    assert (leak.first.name, leak.second.name) == ("train_3.wav", "chained.ogg")
    assert leak.second.at_s - leak.first.at_s == pytest.approx(6.0, abs=0.02)


@pytest.mark.parametrize(
    "feature",
    [
        LogMelConfig(hop_length=160, window_length=400, n_fft=512, n_mels=64),
        LogMelConfig(n_mels=128, is_log=False),
        LogMelConfig(sample_rate=44100, window_length=1764, hop_length=882),
    ],
)
def test_other_features_serve_as_well(
    feature: LogMelConfig, train: dict[str, Path], tmp_path: Path
) -> None:
    test = write(tmp_path, "test.wav", 0.3 * scene(2)[7_000 : 7_000 + 4 * RATE])

    (leak,) = leaks_of(tmp_path, train, test, feature)

    assert leak.first.name == "train_2.wav"


def test_alike_is_not_the_same(train: dict[str, Path], tmp_path: Path) -> None:
    """Other recordings of the same call, silence, and a short file: nothing is reported."""
    test = write(tmp_path, "other.wav", scene(99))
    test |= write(tmp_path, "silent.wav", np.zeros(4 * RATE))
    test |= write(tmp_path, "short.wav", np.random.default_rng(5).normal(0, 0.1, 800))
    train |= write(tmp_path, "train_silent.wav", np.zeros(3 * RATE))

    assert leaks_of(tmp_path, train, test) == ()


def test_the_same_sound_within_a_split_is_no_leak(train: dict[str, Path], tmp_path: Path) -> None:
    train |= write(tmp_path, "again.wav", 0.5 * scene(1))

    assert leaks_of(tmp_path, train, write(tmp_path, "other.wav", scene(99))) == ()


def test_equal_files_are_refused_and_near_copies_warned_of(
    train: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = write(tmp_path, "copy.wav", scene(1))
    near = write(tmp_path, "near.wav", 0.5 * scene(2))
    for split, files in (("train", train), ("test", copy | near)):
        events = {name: [Event(0.1, 0.2, "a")] for name in files}
        write_annotations(tmp_path / f"{split}.tsv", events)
    config = AnnotatedConfig(root=str(tmp_path), validation=None)
    splits = load_data(config, FEATURE, splits=["train", "test"]).splits

    with pytest.raises(DataError, match=r"train_1\.wav \(train\) and copy\.wav \(test\) are the"):
        check_leaks(splits, FEATURE, "all")
    with pytest.raises(DataError, match=r"data\.leak_check=none"):
        check_leaks(splits, FEATURE, "copies")
    splits["test"] = [one for one in splits["test"] if one.name == "near.wav"]
    with caplog.at_level(logging.WARNING):
        check_leaks(splits, FEATURE, "copies")
        check_leaks(splits, FEATURE, "none")
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
        check_leaks(splits, FEATURE, "all")
    assert "sounds the same as near.wav (test)" in caplog.text


def test_training_on_what_is_tested_is_refused_unless_allowed(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    write(root, "a.wav", scene(0))
    table = {"a.wav": [Event(0.1, 0.2, "a")]}
    for split in ("train", "test"):
        write_annotations(root / f"{split}.tsv", table)
    settings = (*TINY, "data=annotated", f"data.root={root}", "data.validation=null")

    assert sedtf("train", *settings, "output_dir=run") == 2
    assert "are the same file" in capfd.readouterr().err
    assert sedtf("train", *settings, "data.leak_check=none", "output_dir=allowed") == 0


@pytest.mark.slow
def test_the_splits_of_real_song_share_nothing(real_data: Path) -> None:
    """Renditions of the same song by the same bird: the most similar that recordings can be."""
    data = load_data(AnnotatedConfig(root=str(real_data / "birdsong")), FEATURE)

    assert find_near_copies(data.splits, FEATURE) == ()
