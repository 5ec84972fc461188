"""Recordings without any events that join a split."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.identity import config_hash
from sed_cli.config.splits import SplitConfig
from sed_cli.data.manifest import Manifest
from sed_cli.data.survey import survey
from sed_cli.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set with splits, two background recordings and an annotated one."""
    for number, name in enumerate(["audio/a", "audio/b", "audio/v", "wind/a", "wind/deep/rain"]):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.01 * np.random.default_rng(number).standard_normal(8000)
        soundfile.write(path, noise, 8000)
    header = "filename\tonset\toffset\tevent_label\n"
    rows = "a.wav\t0.1\t0.2\towl\nb.wav\t0.3\t0.4\towl\n"
    (tmp_path / "train.tsv").write_text(header + rows)
    (tmp_path / "validation.tsv").write_text(header + "v.wav\t0.1\t0.2\towl\n")
    return tmp_path


def listed(root: Path, cache: Path, background: str | None, **settings: object) -> Manifest:
    data = AnnotatedConfig(
        root=str(root),
        train=SplitConfig("train.tsv", background=background),
        validation=SplitConfig("validation.tsv"),
        test=None,
        cache_dir=str(cache),
        **settings,  # type: ignore[arg-type]
    )
    return survey(data)


def test_it_joins_its_split_without_events(root: Path, tmp_path: Path) -> None:
    found = listed(root, tmp_path / "cache", "wind")
    names = [clip.name for clip in found.splits["train"]]
    assert names == ["a.wav", "b.wav", "background/a.wav", "background/deep/rain.wav"]
    assert all(not clip.events and clip.duration_s == 1.0 for clip in found.splits["train"][2:])
    assert [clip.name for clip in found.splits["validation"]] == ["v.wav"]
    assert found.classes == ("owl",)
    assert found.faults == ()
    assert "2 recordings of data.train.background are added to the train split" in str(
        found.notes.lines()
    )


def test_what_is_annotated_is_no_background(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "wind" / "a.wav", root / "audio" / "wind.wav")
    found = listed(root, tmp_path / "cache", "audio")
    assert [clip.name for clip in found.splits["train"]] == [
        "a.wav",
        "b.wav",
        "background/wind.wav",
    ]
    (root / "audio" / "wind.wav").unlink()
    with pytest.raises(DataError, match="expected recordings without events, found annotated"):
        listed(root, tmp_path / "cache", "audio")


def test_a_part_of_the_training_split_keeps_all_of_it(root: Path, tmp_path: Path) -> None:
    found = listed(root, tmp_path / "cache", "wind", train_share=0.5)
    assert len(found.splits["train"]) == 1 + 2
    assert found.subset is not None
    assert "1 of 2 recordings of the training split are kept" in found.subset.line


@pytest.mark.parametrize(
    ("background", "message"),
    [("nowhere", "no such folder"), ("empty", "found none")],
)
def test_a_folder_without_recordings_is_refused(
    background: str, message: str, root: Path, tmp_path: Path
) -> None:
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=rf"data.train.background={background}: .*{message}"):
        listed(root, tmp_path / "cache", background)


def test_a_broken_recording_of_it_is_a_fault(root: Path, tmp_path: Path) -> None:
    (root / "wind" / "broken.wav").write_text("no audio")
    found = listed(root, tmp_path / "cache", "wind", strict=False)
    assert len(found.splits["train"]) == 4
    (fault,) = found.faults
    assert "broken.wav" in str(fault)
    assert fault.repair == "the recording is skipped"


def test_runs_from_before_it_keep_their_hash() -> None:
    plain = AnnotatedConfig(root="x")
    assert plain.train is not None
    without = replace(plain, train=replace(plain.train, background=None))
    assert config_hash(plain) == config_hash(without)
    assert config_hash(plain) != config_hash(
        replace(plain, train=replace(plain.train, background="wind"))
    )


def test_it_is_the_same_whatever_split_is_asked_for(root: Path, tmp_path: Path) -> None:
    """Evaluation lists only one split; recordings annotated in others are not background there."""
    shutil.copy(root / "wind" / "a.wav", root / "audio" / "wind.wav")
    data = AnnotatedConfig(
        root=str(root),
        train=SplitConfig("train.tsv"),
        validation=SplitConfig("validation.tsv", background="audio"),
        test=None,
        cache_dir=str(tmp_path / "cache"),
    )
    whole = survey(data).splits["validation"]
    alone = survey(data, splits=["validation"], classes=["owl"]).splits["validation"]
    assert alone == whole
    assert [clip.name for clip in whole] == ["v.wav", "background/wind.wav"]


def test_its_names_are_no_others(root: Path, tmp_path: Path) -> None:
    """Recordings of a split are identified by their names."""
    (root / "audio" / "background").mkdir()
    shutil.copy(root / "audio" / "b.wav", root / "audio" / "background" / "a.wav")
    with (root / "train.tsv").open("a") as table:
        table.write("background/a.wav\t0.1\t0.2\towl\n")
    found = listed(root, tmp_path / "cache", "wind")
    assert [clip.name for clip in found.splits["train"]] == [
        *("a.wav", "b.wav", "background/a.wav", "background_/a.wav", "background_/deep/rain.wav")
    ]
