"""Real recordings, if available: birdsong with nine notes and a strong syntax."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import AnnotatedConfig, SoundscapesConfig
from sed_cli.data.frames import Activities
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.data.survey import load_manifest
from tests.conftest import Sedtf


def test_birdsong_is_read_as_it_is_described(real_data: Path) -> None:
    data = load_manifest(AnnotatedConfig(root=str(real_data / "birdsong")))
    assert data.classes == tuple(f"note_{n}" for n in range(9))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 70,
        "validation": 15,
        "test": 15,
    }
    clips = [clip for split in data.splits.values() for clip in split]
    assert sum(len(clip.events) for clip in clips) == 5270
    assert sum(clip.duration_s for clip in clips) / 60 == pytest.approx(16.2, abs=0.1)
    for clip in clips:  # one note at a time: a 10 ms frame may touch two, but not more
        activities = Activities(clip.events, data.classes, int(clip.duration_s * 100), 0.01)
        assert activities[:].sum(axis=1).max() <= 2


@pytest.mark.slow
def test_a_bank_of_everyday_sounds_becomes_soundscapes(real_data: Path, tmp_path: Path) -> None:
    config = SoundscapesConfig(
        bank=str(real_data / "esc10"),
        n_train=6,
        n_validation=3,
        n_test=3,
        polyphony=3,
        duration_s=6.0,
    )
    recipe = plan_soundscapes(config)
    assert recipe.bank is not None
    assert recipe.bank.split_by == "folds"
    assert len(recipe.bank.clips) == 400
    assert len({clip.source for clip in recipe.bank.clips}) == 304
    written = generate_soundscapes(tmp_path / "set", recipe)
    source_of = {clip.file: clip.source for clip in recipe.bank.clips}
    heard: dict[str, set[str]] = {split: set() for split in SPLITS}
    for (split, _), recording in written.items():
        heard[split] |= {source_of[placed.source.split("[")[0]] for placed in recording.events}
    assert all(heard.values())
    assert not heard["train"] & heard["validation"]
    assert not heard["train"] & heard["test"]
    assert not heard["validation"] & heard["test"]


@pytest.mark.slow
def test_birdsong_is_learnt(real_data: Path, sedtf: Sedtf, tmp_path: Path) -> None:
    root = f"data.root={real_data / 'birdsong'}"
    assert sedtf("train", "experiment=birdsong", root, "output_dir=run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["frame"]["f1"] >= 0.95
