"""Data sets as found on disk, given only their folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data.annotations import WRITTEN, Event, write_annotations
from sed_cli.data.survey import Manifest, load_manifest
from sed_cli.errors import DataError, UserError
from tests.conftest import TINY, Sedtf

DOG = [Event(0.1, 0.3, "dog")]
CAT = [Event(0.2, 0.4, "cat")]


def write_audio(*paths: Path, rate: int = 8000) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(path.name.encode())).normal(0, 0.1, rate // 2)
        soundfile.write(path, noise, rate)


def write_table(path: Path, events: Mapping[str, list[Event]], format: str = "desed") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_annotations(path, events, format)


def catalogue(root: Path, **values: Any) -> Manifest:
    return load_manifest(AnnotatedConfig(root=str(root), **values))


def names(found: Manifest) -> dict[str, list[str]]:
    return {split: [entry.name for entry in entries] for split, entries in found.splits.items()}


def test_tables_named_for_splits_are_found_with_their_audio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, ending in (("training", "wav"), ("dev", "flac"), ("eval", "wav")):
        write_audio(tmp_path / "sound" / split / f"x.{ending}")
        write_table(tmp_path / "meta" / f"{split}_events.csv", {f"x.{ending}": DOG}, "csv")

    with caplog.at_level(logging.INFO):
        found = catalogue(tmp_path)

    assert names(found) == {"train": ["x.wav"], "validation": ["x.flac"], "test": ["x.wav"]}
    folders = {split: entries[0].path.parent.name for split, entries in found.splits.items()}
    assert folders == {"train": "training", "validation": "dev", "test": "eval"}
    assert "data.train.annotations=meta/training_events.csv" in caplog.text
    assert "data.test.audio=sound/eval" in caplog.text


def test_a_file_a_recording_in_folders_by_split(tmp_path: Path) -> None:
    """As URBAN-SED unpacks: text and JAMS of the same recordings, next to each other."""
    for split in ("train", "validate", "test"):
        for name in ("a", "b"):
            write_audio(tmp_path / "audio" / split / f"{name}.wav")
            folder = tmp_path / "annotations" / split
            write_table(folder / f"{name}.txt", {name: DOG}, "audacity")
            write_table(folder / f"{name}.jams", {name: CAT}, "jams")

    found = catalogue(tmp_path)

    assert {split: len(entries) for split, entries in found.splits.items()} == {
        "train": 2,
        "validation": 2,
        "test": 2,
    }


def test_labels_beside_the_audio_are_divided(tmp_path: Path) -> None:
    for number in range(10):
        write_audio(tmp_path / "site" / f"{number}.wav")
        write_table(
            tmp_path / "site" / f"{number}.txt", {"x": DOG if number % 2 else CAT}, "audacity"
        )
    (tmp_path / "README.txt").write_text("Ten recordings.\n")

    found = catalogue(tmp_path)

    assert sum(len(entries) for entries in found.splits.values()) == 10
    assert all(found.splits.values())
    assert found.classes == ("cat", "dog")


def test_one_table_of_all_recordings_is_divided(tmp_path: Path) -> None:
    table = {f"deep/{number}.wav": DOG if number % 2 else CAT for number in range(10)}
    write_audio(*(tmp_path / "audio" / name for name in table))
    write_table(tmp_path / "labels.tsv", table)

    found = catalogue(tmp_path, split=[0.5, 0.0, 0.5])

    assert {split: len(entries) for split, entries in found.splits.items()} == {
        "train": 5,
        "test": 5,
    }


def test_folds_lists_and_groups_apply_to_what_was_found(tmp_path: Path) -> None:
    table = {f"s{number // 2}_{number}.wav": DOG for number in range(8)}
    write_audio(*(tmp_path / name for name in table))
    write_table(tmp_path / "labels.tsv", table)

    tested = [
        name
        for fold in (1, 2, 3, 4)
        for name in names(catalogue(tmp_path, folds=4, fold=fold, group="^s[0-9]+"))["test"]
    ]

    assert sorted(tested) == sorted(table)
    assert "test" not in names(catalogue(tmp_path, folds=4, fold=1, test=None))


def test_a_table_of_labels_without_times_asks_whether_they_hold_for_whole_clips(
    tmp_path: Path,
) -> None:
    write_audio(*(tmp_path / "audio" / f"{number}.wav" for number in range(6)))
    lines = [
        f"{number}.wav,{number % 5 + 1},{'dog' if number % 2 else 'cat'}" for number in range(6)
    ]
    (tmp_path / "meta.csv").write_text("\n".join(["filename,fold,category", *lines]) + "\n")

    with pytest.raises(DataError, match=r"data\.whole_clips=true"):
        catalogue(tmp_path)
    found = catalogue(tmp_path, whole_clips=True)

    events = [entry.events for entries in found.splits.values() for entry in entries]
    assert [(e.onset_s, e.offset_s) for (e,) in events] == [(0.0, 0.5)] * 6


def test_several_tables_are_listed_not_guessed(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    for name in ("anna.tsv", "bert.tsv"):
        write_table(tmp_path / name, {"a.wav": DOG})

    with pytest.raises(DataError, match=r"anna\.tsv, bert\.tsv.*data\.annotations=FILE"):
        catalogue(tmp_path)


def test_a_folder_without_audio_or_annotations_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no recordings"):
        catalogue(tmp_path)
    write_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="contains 1 recordings and no readable annotations"):
        catalogue(tmp_path)


def test_a_table_that_was_named_is_not_replaced_by_another(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_table(tmp_path / "labels.tsv", {"a.wav": DOG})

    with pytest.raises(DataError, match=r"mine\.tsv: no such annotation file"):
        load_manifest(
            AnnotatedConfig(root=str(tmp_path), train=SplitConfig("mine.tsv", "."), test=None),
            splits=["train"],
        )


def test_folds_of_a_set_with_splits_are_refused(recordings: Path) -> None:
    with pytest.raises(UserError, match=r"data\.folds=3 divides a data set without splits"):
        catalogue(recordings, folds=3, fold=1)


def test_a_found_set_is_trained_on_and_evaluated(tmp_path: Path, sedtf: Sedtf) -> None:
    root = tmp_path / "set"
    for number in range(8):
        write_audio(root / f"{number}.wav", rate=22050)
        write_table(root / f"{number}.txt", {"x": DOG if number % 2 else CAT}, "audacity")

    settings = (*TINY, "data=annotated", f"data.root={root}", "data.sequence_length=10")
    assert sedtf("train", *settings, "output_dir=run") == 0
    assert sedtf("eval", "checkpoint=run", "split=validation", "output_dir=scores") == 0


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("data.split=[0.9,0.1]", "expected the shares of training, validation and test"),
        ("data.split=[0.9,0.1,0.1]", "in all at most 1"),
        ("data.split=[0,0.5,0.5]", "expected the shares"),
        ("data.folds=5", "set both"),
        ("data.folds=1 data.fold=1", "data.folds=1: expected at least 2"),
        ("data.folds=5 data.fold=6", "expected a number from 1 to data.folds=5"),
        ("data.group='('", "not a valid regular expression"),
        ("data.train.files=list.txt", "name its annotations with data.annotations"),
    ],
)
def test_a_division_that_cannot_work_is_refused_before_the_job(
    setting: str, fault: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", "data=annotated", "data.root=.", *setting.split()) == 2
    assert fault in capfd.readouterr().err


def test_onsets_alone_are_distinguished_from_nothing(tmp_path: Path) -> None:
    write_audio(*(tmp_path / "audio" / f"{number}.wav" for number in range(6)))
    rows = "".join(f"{number}.wav,0.1,wren\n" for number in range(6))
    (tmp_path / "calls.csv").write_text("file,time,species\n" + rows)

    for own in ({}, {"annotations": "calls.csv", "audio": "audio"}):
        with pytest.raises(DataError, match=r"data\.event_duration_s"):
            catalogue(tmp_path, **own)
    found = catalogue(tmp_path, event_duration_s=0.2)
    assert sum(len(entries) for entries in found.splits.values()) == 6


def test_a_missing_recording_is_named_where_the_others_lie(tmp_path: Path) -> None:
    write_audio(*(tmp_path / "audio" / f"{name}.wav" for name in "abc"))
    write_table(tmp_path / "train.csv", {f"{name}.wav": DOG for name in "abcd"}, "csv")

    with pytest.raises(DataError, match=r"audio/d\.wav"):
        catalogue(tmp_path)


# ------------------------------------------------------------- what sedtf wrote, and strays


def write_run(folder: Path, events: Mapping[str, list[Event]]) -> None:
    """The files that training leaves in its folder."""
    write_table(folder / "events.tsv", events)
    (folder / "run.json").write_text('{"status": "completed"}')


def test_detections_of_an_earlier_run_are_not_its_next_labels(tmp_path: Path) -> None:
    table = {f"{number}.wav": DOG for number in range(6)}
    write_audio(*(tmp_path / name for name in table))
    write_table(tmp_path / "labels.tsv", table)
    write_run(tmp_path / "outputs" / "train" / "2026" / "1", {"0.wav": CAT})

    found = catalogue(tmp_path)

    assert sum(map(len, found.splits.values())) == 6
    assert found.classes == ("dog",)


def test_a_second_command_in_the_folder_of_the_recordings_finds_the_same(
    tmp_path: Path, sedtf: Sedtf
) -> None:
    for number in range(6):
        write_audio(tmp_path / f"{number}.wav")
        write_table(tmp_path / f"{number}.txt", {"x": DOG}, "audacity")

    for _ in range(2):
        assert sedtf("data", "data=annotated", "data.root=.") == 0
    assert len(list(tmp_path.glob("outputs/data/*/*/run.json"))) == 2


def test_predictions_beside_the_audio_do_not_stand_in_the_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        write_audio(tmp_path / f"{number}.wav")
        write_table(tmp_path / f"{number}.txt", {"x": DOG}, "audacity")
        write_table(tmp_path / f"{number}.events.tsv", {f"{number}.wav": CAT})

    with caplog.at_level(logging.INFO):
        found = catalogue(tmp_path)

    assert found.classes == ("dog",)
    assert "6 predictions of sedtf that are skipped" in caplog.text


@pytest.mark.parametrize("form", WRITTEN)
def test_predictions_alone_are_taken_and_reported(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        write_audio(tmp_path / f"{number}.wav")
        path = tmp_path / f"{number}.events{WRITTEN[form].ending}"
        write_table(path, {f"{number}.wav": DOG}, form)

    caplog.set_level("INFO")

    assert catalogue(tmp_path).classes == ("dog",)
    assert "6 predictions of sedtf that are read as labels" in caplog.text


def test_a_table_a_recording_called_as_it_is_found(tmp_path: Path) -> None:
    """As Raven saves them beside the recordings, with one AudioMoth per site."""
    for site in ("a", "b", "c"):
        for night in ("n1", "n2"):
            write_audio(tmp_path / site / f"{night}.WAV")
            path = tmp_path / site / f"{night}.Table.1.selections.txt"
            write_table(path, {f"{night}.WAV": [Event(0.1, 0.2, site)]}, "raven")

    found = catalogue(tmp_path, classes=["a", "b", "c"])

    labels = {e.path.parent.name: e.events[0].label for of in found.splits.values() for e in of}
    assert labels == {"a": "a", "b": "b", "c": "c"}


def test_a_file_for_each_recording_is_taken_before_a_stray_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        write_audio(tmp_path / "sound" / f"{number}.wav")
        write_table(tmp_path / "labels" / f"{number}.txt", {"x": DOG}, "audacity")
    write_table(tmp_path / "features.csv", {f"{number}.wav": CAT for number in range(6)}, "csv")

    with caplog.at_level(logging.INFO):
        found = catalogue(tmp_path)

    assert found.classes == ("dog",)
    assert "data.annotations=features.csv" in caplog.text


def test_files_for_some_of_the_recordings_and_a_table_are_both_named(tmp_path: Path) -> None:
    for number in range(6):
        write_audio(tmp_path / "sound" / f"{number}.wav")
    for number in range(3):
        write_table(tmp_path / "labels" / f"{number}.txt", {"x": DOG}, "audacity")
    write_table(tmp_path / "all.csv", {f"{number}.wav": CAT for number in range(6)}, "csv")

    with pytest.raises(DataError, match=r"labels \(3 files\), all\.csv.*data\.annotations=labels"):
        catalogue(tmp_path)


# ------------------------------------------------------------------ what is left of a set


def test_splits_are_drawn_of_recordings_that_are_there(tmp_path: Path) -> None:
    table = {f"{number:02}.wav": DOG for number in range(20)}
    write_audio(*(tmp_path / name for name in list(table)[:10]))
    (tmp_path / "00.wav").write_bytes(b"RIFF, but no more")
    write_table(tmp_path / "labels.tsv", table)

    with pytest.raises(DataError, match=r"10 of 20 annotated recordings are missing"):
        catalogue(tmp_path)
    found = catalogue(tmp_path, strict=False, split=[0.34, 0.33, 0.33])

    assert {split: len(of_split) for split, of_split in found.splits.items()} == {
        "train": 3,
        "validation": 3,
        "test": 3,
    }


def test_a_set_that_has_lost_every_event_is_refused(tmp_path: Path) -> None:
    table = {f"{number}.wav": [Event(0.6, 0.7, "dog")] for number in range(6)}
    write_audio(*(tmp_path / name for name in table))
    write_table(tmp_path / "labels.tsv", table)

    with pytest.raises(DataError, match="no event is left in train"):
        catalogue(tmp_path, strict=False, columns={}, time_unit="s")


def test_one_file_in_two_splits_under_two_spellings_is_refused(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "set" / "audio" / "a.wav", tmp_path / "set" / "audio" / "b.wav")
    write_table(tmp_path / "set" / "train.tsv", {"a.wav": DOG})
    write_table(tmp_path / "set" / "test.tsv", {"./A": DOG, "b": DOG})

    code = sedtf("data", "data=annotated", "data.root=set", "data.validation=null")

    assert code == 2
    assert "1 file in two splits" in capfd.readouterr().err


def test_tables_of_parts_are_one_data_set(tmp_path: Path) -> None:
    """As with one table per site; for two tables of the same recordings the user must choose."""
    for site in ("a", "b", "c"):
        write_audio(tmp_path / site / "x.wav", tmp_path / site / "y.wav")
        write_table(tmp_path / f"{site}.csv", {f"{site}/x.wav": DOG, f"{site}/y.wav": DOG}, "csv")

    found = catalogue(tmp_path, leak_check="none")

    assert sum(map(len, found.splits.values())) == 6

    write_table(tmp_path / "again.csv", {"a/x.wav": DOG}, "csv")
    with pytest.raises(DataError, match="several files of annotations"):
        catalogue(tmp_path, leak_check="none")


def test_files_without_labels_beside_others_are_faults(tmp_path: Path) -> None:
    for name in ("w", "x", "y", "z"):
        write_audio(tmp_path / f"{name}.wav")
        write_table(tmp_path / f"{name}.txt", {name: DOG}, "audacity")
    (tmp_path / "x.txt").write_text("0.0\t0.05\t\n")

    with pytest.raises(
        DataError, match=r"x\.txt: its events have no labels.*data\.unlabelled=NAME"
    ):
        catalogue(tmp_path, leak_check="none")
    found = catalogue(tmp_path, leak_check="none", unlabelled="dog")
    assert sum(len(clip.events) for of in found.splits.values() for clip in of) == 4
