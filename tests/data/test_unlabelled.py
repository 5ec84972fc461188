"""Recordings without labels beside the training split."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.config.annotations import SOURCES, SPLITS
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import TrainSplitConfig
from sed_cli.data.manifest import Manifest
from sed_cli.data.survey import load_manifest
from sed_cli.errors import DataError


def manifest(root: Path, folder: str, **settings: float) -> Manifest:
    split = TrainSplitConfig("train.tsv", unlabelled=folder)
    data = AnnotatedConfig(root=str(root), train=split, **settings)  # type: ignore[arg-type]
    return load_manifest(data, splits=(*SPLITS, *SOURCES))


def names(found: Manifest, split: str) -> set[str]:
    return {clip.name for clip in found.splits[split]}


def test_recordings_that_no_split_holds_are_listed_and_nothing_is_known_of_them(
    recordings: Path, tmp_path: Path
) -> None:
    for name in ("train_0.wav", "train_1.flac"):
        (tmp_path / "more" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "more" / name).write_bytes((recordings / "audio" / name).read_bytes())
    found = manifest(recordings, str(tmp_path / "more"))
    assert names(found, "unlabelled") == {"train_0.wav", "train_1.flac"}
    assert len(found.splits["train"]) == 6
    for clip in found.splits["unlabelled"]:
        assert not clip.events
        assert [tuple(span) for span in clip.unknown] == [
            (0.0, clip.duration_s, label) for label in found.classes
        ]


def test_what_a_part_of_the_training_split_leaves_is_without_labels(recordings: Path) -> None:
    found = manifest(recordings, "audio", train_share=0.5)
    kept, rest = names(found, "train"), names(found, "unlabelled")
    assert len(kept) == len(rest) == 3
    assert all(name.startswith("train_") for name in kept | rest)  # none from validation and test
    assert not kept & rest


def test_a_folder_without_others_is_refused(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"all 12 recordings in .* are in a split"):
        manifest(recordings, "audio")
    with pytest.raises(DataError, match=r"contains no recordings"):
        manifest(recordings, str(tmp_path))
    with pytest.raises(DataError, match=r"no such folder"):
        manifest(recordings, "nowhere")
