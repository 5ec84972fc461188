"""Weakly labelled recordings: tables without times, class folders, and their targets."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.annotations import SOURCES, SPLITS, WEAK
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import TrainSplitConfig
from sed_cli.data.manifest import Clip
from sed_cli.data.sequences import Sequences, collate
from sed_cli.data.sets import load_data
from sed_cli.data.survey import load_manifest
from sed_cli.data.weak import weak_statistics
from sed_cli.errors import DataError

HEADER = "filename\tonset\toffset\tevent_label\n"


def write_audio(folder: Path, *names: str, seconds: float = 0.5) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(name))
        soundfile.write(path, 0.1 * random.normal(size=int(16000 * seconds)), 16000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_audio(tmp_path / "audio", "s.wav", "t.wav")
    (tmp_path / "train.tsv").write_text(HEADER + "s.wav\t0\t0.2\tcat\ns.wav\t0.1\t0.3\tdog\n")
    (tmp_path / "test.tsv").write_text(HEADER + "t.wav\t0\t0.2\tcat\n")
    return tmp_path


def config(root: Path, **train: str | None) -> AnnotatedConfig:
    return AnnotatedConfig(
        root=str(root), train=TrainSplitConfig("train.tsv", **train), validation=None
    )


def weak_of(root: Path, **train: str | None) -> list[Clip]:
    return load_manifest(config(root, **train), splits=(*SPLITS, *SOURCES)).splits[WEAK]


def tags(clips: list[Clip]) -> dict[str, tuple[str, ...] | None]:
    return {clip.name: clip.tags for clip in clips}


def test_a_table_as_desed_has_it_finds_its_audio(root: Path) -> None:
    write_audio(root / "audio" / "train" / "weak", "a.wav", "b.wav")
    table = root / "metadata" / "train" / "weak.tsv"
    table.parent.mkdir(parents=True)
    table.write_text("filename\tevent_labels\na.wav\tdog,cat\nb.wav\t\n")

    clips = weak_of(root, weak="metadata/train/weak.tsv")

    assert tags(clips) == {"a.wav": ("cat", "dog"), "b.wav": ()}
    assert clips[0].path == root / "audio" / "train" / "weak" / "a.wav"
    assert clips[0].events == ()
    assert [span.label for span in clips[0].unknown] == ["cat", "dog"]
    assert clips[1].unknown == ()


@pytest.mark.parametrize(
    "content",
    [
        'fname,labels,split\na.wav,"dog,cat",train\n',
        "filename;tags\na;dog|cat\n",
        "filename\tevent_label\na.wav\tdog\na.wav\tcat\n",
        HEADER + "a.wav\t0.1\t0.2\tdog\na.wav\t0.2\t0.3\tcat\na.wav\t0.3\t0.4\tcat\n",
    ],
)
def test_several_classes_of_a_recording_are_read_however_they_are_written(
    root: Path, content: str
) -> None:
    write_audio(root / "more", "a.wav")
    (root / "more.csv").write_text(content)
    assert list(tags(weak_of(root, weak="more.csv")).values()) == [("cat", "dog")]


def test_labels_are_merged_and_left_out_as_those_with_times(root: Path) -> None:
    """Otherwise a class with another name here would count as silent."""
    write_audio(root / "weak", "a.wav", "b.wav", "c.wav")
    (root / "weak.tsv").write_text(
        "filename\tevent_labels\tannotated_classes\n"
        "a.wav\tchien,cat\tchien;cat\nb.wav\tchien,dog,noise\t\nc.wav\tnoise\t\n"
    )
    write_audio(root / "bank", "chien/1.wav", "noise/1.wav")
    expected = {
        "weak.tsv": {"a.wav": ("cat", "dog"), "b.wav": ("dog",), "c.wav": ()},
        "bank": {"chien/1.wav": ("dog",), "noise/1.wav": ()},
    }
    for weak, held in expected.items():
        data = config(root, weak=weak)
        data.merge, data.exclude = {"chien": "dog", "vache": "cow"}, ["noise"]
        found = load_manifest(data, splits=(*SPLITS, *SOURCES))
        assert tags(found.splits[WEAK]) == held
        unused = [line for line in found.notes.lines() if "that do not occur" in line]
        assert [line.rpartition(": ")[2] for line in unused] == ["vache"]


def test_a_folder_of_class_folders_labels_its_recordings(root: Path) -> None:
    write_audio(root / "bank", "cat/1.wav", "dog/deep/1.wav")
    clips = weak_of(root, weak="bank")
    assert tags(clips) == {"cat/1.wav": ("cat",), "dog/deep/1.wav": ("dog",)}


def test_what_is_wrong_with_weak_labels_is_named(root: Path) -> None:
    write_audio(root / "bank", "cow/1.wav", "2.wav")
    with pytest.raises(DataError, match=r"2\.wav is in no folder .*weak annotations contain cow"):
        weak_of(root, weak="bank")
    with pytest.raises(DataError, match=r"none\.tsv.*not there|none\.tsv"):
        weak_of(root, weak="none.tsv")
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: contains no recordings; data\.train\.weak takes"):
        weak_of(root, weak="empty")
    faults = config(root, weak_audio="audio").faults()
    assert "data.train.weak_audio=audio, but data.train.weak is not set" in "".join(faults)


def test_other_splits_and_verbs_do_not_read_them(root: Path) -> None:
    assert set(load_manifest(config(root, weak="none.tsv")).splits) == {"train", "test"}


def test_batches_know_what_weak_clips_hold_and_what_they_do_not(root: Path) -> None:
    write_audio(root / "weak", "a.wav", "b.wav")
    (root / "weak.tsv").write_text("filename\tevent_labels\na.wav\tdog\nb.wav\t\n")
    feature = LogMelConfig(backend="torchaudio")
    data = load_data(config(root, weak="weak.tsv"), feature, splits=("train", WEAK, "test"))
    strong, weak = (Sequences(data.splits[name], onsets=True) for name in ("train", WEAK))

    batch = collate([strong[0], weak[0], weak[1]])

    assert data.classes == ("cat", "dog")
    assert batch.tags is not None
    assert batch.known is not None
    assert batch.tags[1].tolist() == [0, 1, 0, 1]
    assert batch.tags[[0, 2]].isnan().all()  # a clip without any class is silent throughout
    assert batch.known[[0, 2]].all()
    assert batch.known[1].all(dim=0).tolist() == [True, False, True, False]
    assert not batch.known[1, :, 1].any()
    assert torch.isfinite(batch.targets).all()
    assert batch.targets[0].any()
    assert not batch.targets[1:].any()


def test_statistics_and_facts_take_weak_recordings_in(root: Path) -> None:
    write_audio(root / "weak", "a.wav", seconds=1.5)
    (root / "weak.tsv").write_text("filename\tevent_labels\na.wav\tdog\n")
    feature = LogMelConfig(backend="torchaudio")
    found = config(root, weak="weak.tsv")
    data = load_data(found, feature, splits=(*SPLITS, *SOURCES))
    alone = load_data(found, feature)

    frames = np.concatenate([r.log_mel[:] for name in ("train", WEAK) for r in data.splits[name]])
    mean, _ = data.statistics(data.sources)
    np.testing.assert_allclose(mean, frames.mean(axis=0, dtype=np.float64), rtol=1e-5)
    assert data.facts["weak_recordings"] == 1
    assert data.facts["weak_minutes"] == pytest.approx(1.5 / 60)
    assert "weak_recordings" not in alone.facts
    assert data.fingerprint != alone.fingerprint
    assert [len(of) for of in data.apart.values()] == [2, 1]
    statistics = weak_statistics(load_manifest(found, splits=(*SPLITS, *SOURCES)))
    assert statistics is not None
    assert statistics.as_json()["per_class"] == {"cat": 0, "dog": 1}


def test_which_classes_are_annotated_in_a_weak_table_is_kept(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_audio(root / "weak", "a.wav", "b.wav")
    (root / "weak.tsv").write_text(
        "filename\tevent_labels\tannotated_classes\na.wav\tdog\tdog\nb.wav\tdog\tcat,dog\n"
    )
    feature = LogMelConfig(backend="torchaudio")
    with caplog.at_level(logging.WARNING):
        data = load_data(config(root, weak="weak.tsv"), feature, splits=("train", WEAK))

    weak = Sequences(data.splits[WEAK])
    batch = collate([weak[0], weak[1]])

    assert batch.tags is not None
    assert batch.known is not None
    torch.testing.assert_close(
        batch.tags, torch.tensor([[torch.nan, 1.0], [0.0, 1.0]]), equal_nan=True
    )
    assert not batch.known[0].any()
    assert batch.known[1].any(dim=0).tolist() == [True, False]


@pytest.mark.parametrize(
    ("weak", "content"),
    [("more.csv", 'fname,labels\na.wav,"puppy,cat"\nb.wav,puppy\n'), ("more", "")],
)
def test_labels_of_recordings_are_merged_and_left_out_too(
    root: Path, weak: str, content: str
) -> None:
    if content:
        write_audio(root / "more", "a.wav", "b.wav")
        (root / weak).write_text(content)
    else:
        write_audio(root / "more", "cat/a.wav", "puppy/b.wav")
    asked = replace(config(root, weak=weak), merge={"puppy": "dog"}, exclude=["cat"])

    found = load_manifest(asked, splits=(*SPLITS, *SOURCES))

    assert found.classes == ("dog",)
    assert [clip.tags for clip in found.splits[WEAK]] == (
        [("dog",)] * 2 if content else [(), ("dog",)]
    )
    assert "nothing is annotated with" not in "\n".join(found.notes.lines())
