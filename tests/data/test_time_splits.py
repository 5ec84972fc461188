"""Fewer recordings than splits are cut in time."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.config.annotations import SPLITS, UNLABELLED
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import TrainSplitConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.survey import load_manifest
from sed_cli.errors import UserError

RATE = 1000


def data_set(folder: Path, events: list[Event], length_s: float = 60.0) -> AnnotatedConfig:
    """Each sample encodes its position in the recording."""
    samples = np.arange(round(length_s * RATE)) / 2**17
    soundfile.write(folder / "rec.wav", samples, RATE, subtype="FLOAT")
    write_annotations(folder / "rec.txt", {"rec.wav": events}, "audacity")
    return AnnotatedConfig(root=str(folder))


def test_parts_keep_their_events_and_their_samples(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    events = [Event(float(t), t + 0.5, "call") for t in range(0, 60, 2)]
    splits = load_manifest(data_set(tmp_path, events)).splits

    assert [clip.name for of in splits.values() for clip in of] == [
        *("rec.train.wav", "rec.validation.wav", "rec.test.wav")
    ]
    seen: list[float] = []
    for (clip,) in splits.values():
        samples, _ = soundfile.read(clip.path)
        start_s = samples[0] * 2**17 / RATE
        assert clip.duration_s == pytest.approx(len(samples) / RATE)
        seen += [event.onset_s + start_s for event in clip.events]
    assert [round(onset_s, 2) for onset_s in seen] == [e.onset_s for e in events if e[0] != 42]
    assert "1 events between them are dropped" in caplog.text


def test_no_event_is_cut_in_two(tmp_path: Path) -> None:
    events = [Event(0.0, 1.0, "call"), Event(30.0, 48.0, "call"), Event(55.0, 56.0, "call")]
    splits = load_manifest(data_set(tmp_path, events)).splits

    lengths_s = [e.offset_s - e.onset_s for (clip,) in splits.values() for e in clip.events]
    assert sorted(lengths_s) == [1.0, 1.0, 18.0]


def test_a_split_that_would_have_no_event_gets_one(tmp_path: Path) -> None:
    events = [Event(float(t), t + 0.5, "call") for t in range(0, 40, 4)]
    splits = load_manifest(data_set(tmp_path, events)).splits

    assert {name: len(clip.events) for name, (clip,) in splits.items()} == {
        "train": 7,
        "validation": 1,
        "test": 2,
    }


def test_what_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rec\.wav of 5\.00 s is too short to be cut in time"):
        load_manifest(data_set(tmp_path, [Event(0.0, 1.0, "call")], 5.0))


def test_one_split_is_not_cut(tmp_path: Path) -> None:
    config = data_set(tmp_path, [Event(0.0, 1.0, "call")])
    config.validation = config.test = None
    ((clip,),) = load_manifest(config).splits.values()
    assert clip.path == tmp_path / "rec.wav"


def test_parts_keep_which_classes_the_recording_is_annotated_for(tmp_path: Path) -> None:
    data_set(tmp_path, [])
    rows = "".join(f"rec.wav\t{t}\t{t + 0.5}\tcall\tcall\n" for t in range(0, 60, 2))
    header = "filename\tonset\toffset\tevent_label\tannotated_classes\n"
    # Said in one row, of an event that two of the parts do not hold.
    rows += "rec.wav\t1\t1.4\thum\tcall,hum\nrec.wav\t1\t1.2\tsong\t\n"
    (tmp_path / "rec.tsv").write_text(header + rows)

    data = AnnotatedConfig(root=str(tmp_path), annotations="rec.tsv", audio=".")
    splits = load_manifest(data).splits

    unknown = [{span.label for span in clip.unknown} for (clip,) in splits.values()]
    assert unknown == [{"song"}] * 3


def test_a_recording_that_is_cut_is_neither_background_nor_unlabelled(tmp_path: Path) -> None:
    """Otherwise the model would be trained on its test part."""
    data = data_set(tmp_path, [Event(float(t), t + 0.5, "call") for t in range(0, 60, 2)])
    for name in ("wind", "more"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / f"{name}.wav", np.full(RATE, len(name)) / 99, RATE)
    data.annotations, data.audio = "rec.txt", "."
    data.train = TrainSplitConfig(background=".")
    found = load_manifest(data, splits=(*SPLITS, UNLABELLED)).splits
    assert [clip.path.name for clip in found["train"]] == [
        *("rec.train.wav", "more.wav", "wind.wav")
    ]
    data.train = TrainSplitConfig(background="wind", unlabelled=".")
    found = load_manifest(data, splits=(*SPLITS, UNLABELLED)).splits
    assert [clip.path.name for clip in found["train"]] == ["rec.train.wav", "wind.wav"]
    assert [clip.path.name for clip in found[UNLABELLED]] == ["more.wav"]
