"""A prediction of many recordings resumes, and never repeats completed work."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import WRITTEN, read_annotations
from sed_cli.data.endings import PREDICTIONS
from sed_cli.errors import SedtfError, UserError
from sed_cli.tasks.detection import predict as verb
from sed_cli.tasks.detection.predict import predict
from sed_cli.tasks.detection.predicting.ledger import Ledger
from sed_cli.tasks.detection.predicting.work import FilePredictor
from tests.tasks.detection.test_predict import RATE, sound

NAMES = ("a.wav", "b.wav", "deeper/a.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "recordings"
    (root / "deeper").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        soundfile.write(root / name, sound(RATE, seed), RATE)
    return root


@pytest.fixture
def gone_through(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recordings that the detector was run on."""
    names: list[str] = []
    find = FilePredictor.find

    def noted(self: FilePredictor, task: Any, *others: Any) -> Any:
        names.append(task.name)
        return find(self, task, *others)

    monkeypatch.setattr(FilePredictor, "find", noted)
    return names


Go = Callable[..., None]


@pytest.fixture
def go(lively: Path, folder: Path) -> Go:
    def call(**settings: Any) -> None:
        given = {"checkpoint": str(lively), "input": str(folder), **settings}
        predict(PredictConfig(**given))

    return call


def test_what_is_done_is_skipped_by_content_and_settings(
    go: Go, folder: Path, lively: Path, gone_through: list[str], tmp_path: Path
) -> None:
    def went_through(**settings: Any) -> list[str]:
        gone_through.clear()
        go(**settings)
        return gone_through

    assert went_through() == [*NAMES]
    assert went_through() == []
    assert went_through(joined=True, summary=True, format="csv") == []  # known events, other tables
    assert went_through(redo=True) == [*NAMES]

    os.utime(folder / "a.wav")  # touched, but the same
    shutil.copy(folder / "a.wav", folder / "b.wav")  # another one
    (folder / "deeper" / "a.events.tsv").unlink()  # whose events are known
    assert went_through() == ["b.wav"]
    assert (folder / "deeper" / "a.events.tsv").is_file()

    assert went_through(probabilities=True) == [*NAMES]
    assert went_through(threshold=0.9) == [*NAMES]
    assert went_through(threshold=0.9) == []
    assert went_through() == [*NAMES]  # whose tables were replaced
    other = shutil.copytree(lively, tmp_path / "other")
    assert went_through(checkpoint=str(other)) == []
    (other / "postprocessing.json").unlink(missing_ok=True)
    (other / "classes.json").write_text((other / "classes.json").read_text() + "\n")
    assert went_through(checkpoint=str(other)) == [*NAMES]


def test_nothing_of_other_settings_is_left(go: Go, folder: Path) -> None:
    def clips() -> set[str]:
        return {path.name for path in (folder / "predictions" / "clips").rglob("*.wav")}

    go(clips=True, format="csv")
    before, table = clips(), (folder / "a.events.csv").read_text()
    go(clips=True, threshold=1.0)
    assert before
    assert clips() == set()
    go(clips=True, threshold=1.0, format="csv")
    assert len((folder / "a.events.csv").read_text().splitlines()) == 2  # no event
    go(clips=True, format="csv")
    assert clips() == before
    assert (folder / "a.events.csv").read_text() == table

    def n_bytes() -> int:
        return sum(path.stat().st_size for path in folder.rglob("*_*.wav"))

    with_context = n_bytes()
    go(clips=True, format="csv", clip_context_s=0.0)
    assert n_bytes() < with_context
    go(clips=True, format="csv")
    assert n_bytes() == with_context


def test_a_table_that_somebody_has_corrected_stays_as_it_is(go: Go, folder: Path) -> None:
    go()
    table = folder / "a.events.tsv"
    table.write_text(table.read_text().splitlines()[0] + "\na.wav\t0.1\t0.2\tcorrected\t1\n")
    before = table.read_text()
    go(joined=True, summary=True, clips=True)
    assert table.read_text() == before


def test_one_table_of_all_that_somebody_has_corrected_stays_too(
    go: Go, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go(joined=True)
    table = folder / "predictions" / "events.tsv"
    before = table.read_text()
    shutil.copy(folder / "a.wav", folder / "new.wav")
    go(joined=True)
    assert "new.wav" in table.read_text()  # nobody has corrected it
    table.write_text(before + "a.wav\t0.1\t0.2\tcorrected\t1\n")
    go(joined=True, summary=True)
    assert table.read_text().endswith("corrected\t1\n")
    assert "was corrected after it was written and is kept" in caplog.text
    go(joined=True, redo=True)
    assert "corrected" not in table.read_text()


def test_one_table_holds_all_events_by_paths_below_the_folder(
    go: Go, folder: Path, tmp_path: Path
) -> None:
    go(joined=True, output_dir=str(tmp_path / "out"))
    joined = read_annotations(tmp_path / "out" / "predictions" / "events.tsv").events
    assert sorted(joined) == sorted(NAMES)
    for name in NAMES:
        own = read_annotations((tmp_path / "out" / name).with_suffix(".events.tsv")).events
        assert own == {Path(name).name: joined[name]}
    with pytest.raises(UserError, match="holds only one recording; choose one of desed,") as caught:
        go(joined=True, format="audacity")
    named = str(caught.value).partition("one of ")[2].split(", ")
    assert set(named) == {"jsonl"} | {name for name, one in WRITTEN.items() if one.names_files}


def test_what_is_beside_the_audio_is_no_recording_and_no_annotation(
    go: Go, folder: Path, gone_through: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    from sed_cli.data.walking import walk

    go(joined=True, summary=True, clips=True)
    assert len(list((folder / "predictions" / "clips").rglob("*.wav"))) > 3
    gone_through.clear()
    go()
    assert gone_through == []
    assert "skipped" not in caplog.text
    assert not any("predictions" in path.parts for path in walk(folder).files)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_several_processes_find_the_same(
    go: Go, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.wav").write_text("no audio")
    for out, workers in (("one", 1), ("two", 2)):
        with pytest.raises(SedtfError, match=r"1 could not be read.*broken\.wav"):
            go(output_dir=str(tmp_path / out), workers=workers, joined=True, timeline=True)
    assert caplog.text.count("broken.wav: cannot be read as audio") == 2

    def tree(out: str) -> dict[str, bytes]:
        paths = sorted(path for path in (tmp_path / out).rglob("*") if path.is_file())
        return {
            str(path.relative_to(tmp_path / out)): path.read_bytes()
            for path in paths
            if path.name != PREDICTIONS
        }

    assert tree("one") == tree("two")
    assert len(tree("one")) == 2 * len(NAMES) + 1


def test_clips_of_one_recording_are_no_recordings_either(
    go: Go, folder: Path, gone_through: list[str]
) -> None:
    go(input=str(folder / "a.wav"), clips=True)
    assert list((folder / "predictions" / "clips").rglob("*.wav"))
    gone_through.clear()
    go()
    assert gone_through == [*NAMES]


def test_what_cannot_be_written_does_not_stop_the_others(
    go: Go, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deeper").write_text("a file where a folder is to be")
    with pytest.raises(SedtfError, match=r"1 could not be written.*deeper/a\.wav") as caught:
        go(output_dir=str(tmp_path / "out"))
    assert caught.value.exit_code == 1
    assert (tmp_path / "out" / "b.events.tsv").is_file()


def test_a_second_prediction_in_the_same_place_is_refused(go: Go, folder: Path) -> None:
    with (
        closing(Ledger(folder / "predictions", "settings")),
        pytest.raises(UserError, match="another sedtf predict writes into this folder"),
    ):
        go()


@pytest.mark.parametrize("damage", [b'{"name": "a.wav", "sett', b"\0" * 50, b"[1]\nnull\n"])
def test_a_damaged_record_of_what_is_done_costs_time_and_nothing_else(
    damage: bytes, go: Go, folder: Path, gone_through: list[str]
) -> None:
    go()
    record = folder / "predictions" / PREDICTIONS
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[1:]) + damage)
    gone_through.clear()
    go()
    assert gone_through == ["a.wav"]
    go()
    assert gone_through == ["a.wav"]


def test_now_and_then_a_line_reports_progress(
    go: Go, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(verb, "_TOLD_EVERY_S", -1.0)
    with caplog.at_level(logging.INFO):
        go()
    assert [line for line in caplog.messages if " of 3 recordings" in line][:3] == [
        f"{n} of 3 recordings" for n in (1, 2, 3)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_prediction_leaves_whole_files_and_resumes(
    workers: int, lively: Path, tmp_path: Path
) -> None:
    for seed in range(12):
        soundfile.write(tmp_path / f"{seed:02}.wav", np.tile(sound(seed=seed), 40), RATE)
    command = [sys.executable, "-m", "sed_cli", "predict", f"checkpoint={lively}"]
    command += [f"input={tmp_path}", f"workers={workers}", "clips=true", "summary=true"]
    record = tmp_path / "predictions" / PREDICTIONS
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (record.exists() and record.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130

    n_done = record.read_bytes().count(b"\n")
    assert 2 <= n_done < 12
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    assert f"12 of 12 recordings done ({n_done} before)" in done.stderr
