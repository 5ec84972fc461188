"""Data sets with recordings that end early or have wrong headers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import facts
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data.annotations import Event
from sed_cli.data.sets import DataSet, load_data
from sed_cli.data.survey import survey
from sed_cli.errors import DataError, UserError

RATE = 16_000
Load = Callable[..., DataSet]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A training split of two recordings of 6 s, with an event in each third of the first."""
    (tmp_path / "audio").mkdir()
    samples = np.random.default_rng(0).normal(0, 0.1, 6 * RATE)
    for name in ("a.mp3", "a.flac", "b.wav"):
        soundfile.write(tmp_path / "audio" / name, samples, RATE)
    return tmp_path


def annotate(root: Path, name: str) -> AnnotatedConfig:
    rows = [f"{name}\t{onset}\t{onset + 1}\tdog\n" for onset in (0.5, 2.5, 4.5)]
    header = "filename\tonset\toffset\tevent_label\n"
    (root / "train.tsv").write_text(header + "".join(rows) + "b.wav\t0.5\t1.5\tcat\n")
    return AnnotatedConfig(
        root=str(root),
        cache_dir=str(root / "cache"),
        train=SplitConfig("train.tsv", "audio"),
        validation=None,
        test=None,
    )


def load(data: AnnotatedConfig, *, strict: bool = True) -> DataSet:
    facts._known.clear()  # as in a new process
    data.strict = strict
    return load_data(data, LogMelConfig(), splits=["train"])


def test_a_recording_that_was_cut_is_refused_or_used_with_a_warning_at_every_run(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "audio" / "a.mp3"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    data = annotate(root, "a.mp3")

    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.mp3: breaks off after 1\.\d\d s of 6\.00 s"):
            load(data)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = load(data, strict=False).splits["train"][0]
        assert "the first 1." in caplog.text
        assert found.duration_s == pytest.approx(2, abs=0.2)
        assert found.n_frames == 1 + round(found.duration_s * RATE) // 512
        assert found.events == (Event(0.5, 1.5, "dog"),)
    faults = [str(fault) for fault in survey(data, splits=["train"]).faults]
    assert any("breaks off" in fault for fault in faults)


def test_damage_in_the_middle_is_found_when_features_are_computed_and_reported_at_every_run(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "audio" / "a.flac"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(content)
    data = annotate(root, "a.flac")

    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.flac: breaks off after [23]\.\d\d s of 6\.00 s"):
            load(data)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = load(data, strict=False).splits["train"][0]
        assert "breaks off" in caplog.text
        assert found.duration_s == pytest.approx(2.9, abs=0.3)
        assert [event.onset_s for event in found.events] == [0.5, 2.5]
        assert found.events[1].offset_s <= found.duration_s


def test_a_header_that_is_not_believed_is_reported_at_every_run_and_by_the_survey(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "audio" / "a.flac"
    path.write_bytes(2 * path.read_bytes())
    data = annotate(root, "a.flac")
    note = f"{path}: 2 flac files one after the other: all of them are read"

    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = load(data).splits["train"][0]
        assert caplog.messages == [note]
        assert found.duration_s == 12
        assert found.n_frames == 1 + 12 * RATE // 512
    assert survey(data, splits=["train"]).audio_notes == (note,)


def test_samples_beyond_all_measure_are_refused_with_their_file(root: Path) -> None:
    samples = np.zeros(RATE, np.float32)
    samples[100] = 1e20
    soundfile.write(root / "audio" / "b.wav", samples, RATE, subtype="FLOAT")
    data = annotate(root, "a.flac")
    (root / "train.tsv").write_text(
        (root / "train.tsv").read_text().replace("1.5\tcat", "0.9\tcat")
    )
    for strict in (True, False):
        with pytest.raises(DataError, match=r"b\.wav: holds samples of up to 1e\+20"):
            load(data, strict=strict)


def test_events_behind_a_break_say_nothing_of_their_unit(root: Path) -> None:
    path = root / "audio" / "a.mp3"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    data = annotate(root, "a.mp3")
    data.strict = False

    faults = survey(data, splits=["train"]).faults

    assert any("breaks off" in fault.message for fault in faults)
    assert all(fault.repair is not None for fault in faults)


def test_recordings_too_few_since_one_is_missing_are_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 8000)
    rows = "".join(f"{name}.wav,0,1,x\n" for name in ("a", "b", "lost"))
    (tmp_path / "all.csv").write_text(f"filename,onset,offset,event_label\n{rows}")

    with pytest.raises(UserError, match=r"cannot be divided into 3 splits.*lost\.wav"):
        survey(AnnotatedConfig(root=str(tmp_path), cache_dir=str(tmp_path / "cache")))
