"""Equal files in two splits are found; equal sizes, middles or splits alone do not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.copies import BY_FILE, find_copies
from sed_cli.data.manifest import Clip
from tests.conftest import Sedtf


def test_only_equal_files_in_different_splits_are_copies(tmp_path: Path) -> None:
    long = bytes(200_000)
    contents = {
        "train_a": b"one",
        "train_b": b"two",  # as long as the first
        "train_c": long + b"begin",
        "train_d": b"one",  # again, in the same split
        "train_e": b"alone twice",
        "train_f": b"alone twice",
        "test_a": b"one",
        "test_b": b"six",
        "test_c": long + b"other",  # the same middle
    }
    splits: dict[str, list[Clip]] = {"train": [], "test": []}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        entry = Clip(name=name, path=tmp_path / name, duration_s=1.0, events=())
        splits[name.split("_")[0]].append(entry)

    (group,) = find_copies(splits, *BY_FILE)

    assert [entry.name for _, entry in group] == ["train_a", "train_d", "test_a"]


def test_the_same_sound_at_another_rate_and_gain_is_shown_on_request(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    root = tmp_path / "set"
    (root / "audio").mkdir(parents=True)
    sounds = {name: random.normal(0, 0.1, 6 * 16000) for name in ("a", "b", "c")}
    for name, sound in sounds.items():
        soundfile.write(root / "audio" / f"{name}.wav", sound, 16000)
    copied = 0.4 * soxr.resample(sounds["a"], 16000, 22050)
    soundfile.write(root / "audio" / "copy.flac", copied, 22050)
    event = [Event(0.5, 1.0, "noise")]
    for split, names in (("train", "ab"), ("validation", "c"), ("test", ["copy"])):
        table = {f"{n}.flac" if n == "copy" else f"{n}.wav": event for n in names}
        write_annotations(root / f"{split}.tsv", table)

    assert sedtf("data", "data=annotated", f"data.root={root}", "near_copies=true") == 0

    shown = capfd.readouterr().out
    assert "1 sound in two splits" in shown
    assert "a.wav (train)" in shown
    assert "copy.flac (test)" in shown


def test_equal_files_in_two_splits_are_refused_as_training_refuses_them(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    for name in ("a.wav", "b.wav"):
        soundfile.write(root / name, noise, 16000)
    for split, name in (("train", "a.wav"), ("test", "b.wav")):
        write_annotations(root / f"{split}.tsv", {name: [Event(0.2, 0.5, "noise")]})
    own = ("data=annotated", f"data.root={root}", "data.validation=null")
    own += ("data.train.audio=.", "data.test.audio=.")

    assert sedtf("data", *own) == 2
    assert "1 file in two splits" in capfd.readouterr().err
    assert sedtf("data", *own, "data.leak_check=none") == 0
