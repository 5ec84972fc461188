"""Annotated data sets: what is loaded, the source of its numbers, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data import sets
from sed_cli.data.annotations import Event, read_annotations, write_annotations
from sed_cli.data.frames import events_to_activities
from sed_cli.data.sets import DataSet, Recording, load_data
from sed_cli.errors import DataError
from sed_cli.tasks.detection.load import load

FEATURE = LogMelConfig(backend="torchaudio")
Tables = Mapping[str, Mapping[str, list[Event]]]

SMALL: Tables = {
    "train": {"a.wav": [Event(0.1, 0.3, "dog")], "b.wav": [Event(0.2, 0.4, "cat")]},
    "validation": {"c.wav": [Event(0.1, 0.2, "dog")]},
    "test": {"d.wav": []},
}


def write_set(root: Path, tables: Tables = SMALL) -> Path:
    """Half a second of noise per file, with a level that rises from file to file."""
    (root / "audio").mkdir()
    random = np.random.default_rng(0)
    level = 0.01
    for split, table in tables.items():
        write_annotations(root / f"{split}.tsv", table)
        for name in table:
            soundfile.write(root / "audio" / name, random.normal(0, level, 8000), 16000)
            level *= 2
    return root


def load_set(root: Path, splits: Any = ("train", "validation", "test"), **values: Any) -> DataSet:
    return load_data(AnnotatedConfig(root=str(root), **values), FEATURE, splits=splits)


def test_recordings_of_any_rate_format_and_channel_count_are_loaded(recordings: Path) -> None:
    data = load_set(recordings)

    assert data.classes == ("high", "low")
    assert {name: len(found) for name, found in data.splits.items()} == {
        "train": 6,
        "validation": 3,
        "test": 3,
    }
    for split, found in data.splits.items():
        table = read_annotations(recordings / f"{split}.tsv").events
        assert [recording.name for recording in found] == list(table)
        for recording in found:
            assert recording.duration_s == pytest.approx(3.0)
            assert np.asarray(recording.log_mel).shape == (1 + 48000 // 512, 40)
            assert recording.n_frames == 94
            assert list(recording.events) == table[recording.name]
            expected = events_to_activities(table[recording.name], data.classes, 94, 0.032)
            np.testing.assert_array_equal(recording.activities, expected)


def test_features_are_loud_where_an_event_is_annotated(recordings: Path) -> None:
    """Annotations and audio stay aligned on the way to frames, in each format."""
    for recording in load_set(recordings).splits["train"]:
        active = recording.activities[:].any(axis=1)
        loudest = np.asarray(recording.log_mel).max(axis=1)
        # A tone is 20 dB above the noise; windows at its edges contain part of it.
        assert np.median(loudest[active]) > np.median(loudest[~active]) + 20


def test_missing_audio_is_listed(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "audio" / "b.wav").unlink()
    (root / "audio" / "d.wav").unlink()

    with pytest.raises(DataError) as raised:
        load_set(root)

    message = str(raised.value)
    assert "1 of 2 annotated recordings of the train split are missing" in message
    assert "1 of 1 annotated recordings of the test split are missing" in message
    assert str(root / "audio" / "b.wav") in message
    assert str(root / "audio" / "d.wav") in message
    assert "a.wav" not in message


def test_missing_audio_is_left_out_where_the_user_wants_that(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "audio" / "b.wav").unlink()

    data = load_set(root, strict=False)

    assert [recording.name for recording in data.splits["train"]] == ["a.wav"]
    (root / "audio" / "a.wav").unlink()
    with pytest.raises(DataError, match="2 of 2 annotated recordings"):
        load_set(root, strict=False)  # nothing would be left


def test_all_faults_of_annotations_and_audio_come_in_one_message(tmp_path: Path) -> None:
    table = {
        "a.wav": [Event(0.1, 0.2, "dog"), Event(5.0, 6.0, "dog")],
        "b.wav": [Event(0.2, 3.0, "cat")],
        "e.wav": [Event(0.1, 0.2, "dog")],
    }
    root = write_set(tmp_path, {**SMALL, "train": table})
    (root / "audio" / "e.wav").write_text("no audio at all")
    with (root / "test.tsv").open("a") as file:
        file.write("d.wav\tsoon\tlater\tdog\nd.wav\t0.1\t0.2\twhale\n")

    with pytest.raises(DataError) as raised:
        load_set(root)

    message = str(raised.value)
    for part in (
        "line 3: a.wav lasts 0.500 s, but dog is annotated at 5.000 s",
        "line 4: b.wav lasts 0.500 s, but cat is annotated to 3.000 s",
        "line 5: " + str(root / "audio" / "e.wav") + ": cannot be read as audio",
        "line 3: onset 'soon'",
        "line 4: the test annotations contain whale",
        "data.strict=false",
    ):
        assert part in message, part
    assert len(load_set(root, strict=False).splits["train"]) == 2


def test_a_label_that_training_lacks_is_refused_unless_classes_are_named(tmp_path: Path) -> None:
    tables = {**SMALL, "validation": {"c.wav": [Event(0.1, 0.2, "whale"), Event(0.1, 0.2, "dog")]}}
    root = write_set(tmp_path, tables)

    with pytest.raises(DataError, match=r"validation annotations contain whale.*data\.classes"):
        load_set(root)

    data = load_set(root, classes=["dog", "bat"])
    assert data.classes == ("dog", "bat")
    (recording,) = data.splits["validation"]
    assert [event.label for event in recording.events] == ["dog"]
    assert recording.activities[:].sum(axis=0).tolist() == [3, 0]


def test_a_null_split_is_left_out(tmp_path: Path) -> None:
    data = load_set(write_set(tmp_path), validation=None)

    assert list(data.splits) == ["train", "test"]


def test_a_split_loaded_alone_has_the_classes_of_training(tmp_path: Path) -> None:
    root = write_set(tmp_path)

    data = load_set(root, splits=["test"])

    assert list(data.splits) == ["test"]
    assert data.classes == ("cat", "dog")


def test_a_set_without_training_or_classes_is_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path)

    with pytest.raises(DataError, match=r"data\.classes"):
        load_set(root, splits=["test"], train=None)
    assert load_set(root, splits=["test"], train=None, classes=["dog"]).classes == ("dog",)


def test_training_without_any_event_is_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path, {"train": {"a.wav": []}, "validation": {"c.wav": []}, "test": {}})

    with pytest.raises(DataError, match="no event"):
        load_set(root, splits=["train"])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load_set(tmp_path / "nowhere")


def test_splits_may_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "audio" / "d.wav").rename(root / "d.wav")
    (root / "test.tsv").rename(root / "fold.txt")

    data = load_set(root, test=SplitConfig("fold.txt", "."))

    assert [recording.name for recording in data.splits["test"]] == ["d.wav"]


def test_statistics_are_those_of_all_training_frames_and_of_no_other(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    data = load_set(root)

    mean, std = data.statistics()

    frames = np.concatenate([np.float64(r.log_mel) for r in data.splits["train"]])
    # Float64 sums rounded to float32 at the end.
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, frames.std(axis=0), rtol=1e-6)
    assert mean.dtype == std.dtype == np.float32
    louder = np.concatenate([np.float64(r.log_mel) for r in data.splits["test"]])
    assert (louder.mean(axis=0) > mean + 5).all()  # the splits differ indeed


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    at_once=st.integers(1, 60),
    level=st.sampled_from([0.0, -80.0, 1e4]),
)
def test_statistics_do_not_depend_on_how_much_is_read_at_once(
    sizes: list[int], at_once: int, level: float
) -> None:
    random = np.random.default_rng(len(sizes))
    frames = [random.normal(level, 3, (n, 2)).astype(np.float32) for n in sizes]
    recordings = [
        Recording(
            name="a",
            path=Path("a"),
            duration_s=1.0,
            log_mel=log_mel,
            activities=np.zeros((len(log_mel), 1), np.uint8),
            events=(),
        )
        for log_mel in frames
    ]
    data = DataSet(classes=("x",), hop_s=1.0, splits={"train": recordings}, fingerprint="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "_BLOCK_FRAMES", at_once)
        mean, std = data.statistics()
    joined = np.concatenate(frames).astype(np.float64)
    # Float64 sums rounded to float32 at the end.
    np.testing.assert_allclose(mean, joined.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, joined.std(axis=0), rtol=1e-5, atol=1e-9)


def test_a_detector_carries_the_statistics_of_its_training_split(
    trained_run: Path, recordings: Path
) -> None:
    frames = np.concatenate([r.log_mel for r in load_set(recordings).splits["train"]])

    normalisation = load(trained_run).model.normalisation

    np.testing.assert_allclose(normalisation.mean, frames.mean(axis=0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(normalisation.std, frames.std(axis=0, dtype=np.float64), rtol=1e-5)


def test_the_fingerprint_distinguishes_audio_and_annotations(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    first = load_set(root).fingerprint

    assert load_set(root).fingerprint == first

    write_annotations(root / "test.tsv", {"d.wav": [Event(0.1, 0.2, "dog")]})
    second = load_set(root).fingerprint
    soundfile.write(root / "audio" / "d.wav", np.zeros(8000), 16000)
    third = load_set(root).fingerprint

    assert len({first, second, third}) == 3


def test_the_fingerprint_does_not_depend_on_where_the_set_lies(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    root = write_set(tmp_path / "one")
    shutil.copytree(root, tmp_path / "two")

    assert load_set(root).fingerprint == load_set(tmp_path / "two").fingerprint


def test_an_event_after_the_end_of_its_recording_is_refused(tmp_path: Path) -> None:
    table = {"a.wav": [Event(0.1, 0.2, "dog"), Event(100.0, 200.0, "dog")]}
    root = write_set(tmp_path, {**SMALL, "train": table})

    with pytest.raises(DataError, match=r"a\.wav lasts 0\.500 s, but dog is annotated at 100"):
        load_set(root)


def test_an_event_that_outlasts_its_recording_is_refused_or_cut_at_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"a.wav": [Event(0.2, 9.0, "dog")], "b.wav": [Event(0.2, 0.51, "dog")]}
    root = write_set(tmp_path, {**SMALL, "train": table, "validation": {"c.wav": []}})

    with pytest.raises(DataError, match=r"a\.wav lasts 0\.500 s, but dog is annotated to 9\.000"):
        load_set(root)
    data = load_set(root, strict=False)

    assert [recording.events for recording in data.splits["train"]] == [
        (Event(0.2, 0.5, "dog"),)
    ] * 2
    assert "a.wav lasts 0.500 s" in caplog.text
    assert "b.wav" not in caplog.text  # 10 ms are rounding


def test_an_onset_past_the_end_by_rounding_is_passed_over(tmp_path: Path) -> None:
    root = write_set(tmp_path, {**SMALL, "test": {"d.wav": [Event(0.5, 0.6, "dog")]}})

    (recording,) = load_set(root).splits["test"]

    assert recording.events == ()
    assert not recording.activities[:].any()


def test_classes_that_no_training_event_has_are_refused(recordings: Path) -> None:
    config = AnnotatedConfig(root=str(recordings), classes=["medium"])
    with pytest.raises(DataError, match="contain none of these, but high, low"):
        load_data(config, LogMelConfig(backend="torchaudio"))
