"""``sedtf predict`` on real files of every kind: as a user meets it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import WRITTEN, Detection, Findings, read_annotations
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.predict import predict
from sed_cli.tasks.detection.recording import dump_events
from tests.conftest import Sedtf

pytestmark = pytest.mark.usefixtures("drawn")  # timelines

RATE = 16_000

Run = Callable[..., str]


def sound(n_samples: int = 3 * RATE, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    level = np.repeat(random.uniform(0, 0.5, -(-n_samples // 4000)), 4000)[:n_samples]
    return np.asarray(level * random.uniform(-1, 1, n_samples), np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound(), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def run(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Run the verb in an empty folder, without the command line; return its output."""
    monkeypatch.chdir(tmp_path)

    def call(source: Path | str, **settings: Any) -> str:
        predict(PredictConfig(checkpoint=str(lively), input=str(source), **settings))
        return capfd.readouterr().out

    return call


def rows(text: str) -> list[tuple[float, float, str]]:
    """Events of a printed table."""
    lines = [line.split("\t") for line in text.splitlines()]
    assert lines[0] == ["filename", "onset", "offset", "event_label", "confidence"]
    return [(float(on), float(off), label) for _, on, off, label, _ in lines[1:] if label]


def expected(detector: Detector, audio: Path) -> list[tuple[float, float, str]]:
    return [(round(on, 6), round(off, 6), label) for on, off, label in detector.predict(audio)]


# ------------------------------------------------------------------------------- one recording


def test_events_of_one_recording_are_printed(
    lively: Path,
    detector: Detector,
    recording: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert sedtf("predict", f"checkpoint={lively}", f"input={recording}") == 0

    printed = capfd.readouterr()
    assert rows(printed.out) == expected(detector, recording)
    assert len(rows(printed.out)) > 3
    assert printed.err == ""
    assert os.listdir(recording.parent) == ["sound.wav"]  # noqa: PTH208


@pytest.mark.parametrize("format", sorted(WRITTEN))
def test_every_format_is_read_back(
    format: str, detector: Detector, recording: Path, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"sound{WRITTEN[format].ending}"
    path.write_text(run(recording, format=format), encoding="utf-8")

    (events,) = read_annotations(path, format=format).events.values()

    assert [event.label for event in events] == [row[2] for row in expected(detector, recording)]
    for event, (onset, offset, _) in zip(events, expected(detector, recording), strict=True):
        assert event[:2] == pytest.approx((onset, offset), abs=2e-6)


def test_json_lines_hold_confidences(detector: Detector, recording: Path, run: Run) -> None:
    lines = [json.loads(line) for line in run(recording, format="jsonl").splitlines()]

    found = [(line["onset"], line["offset"], line["event_label"]) for line in lines]
    assert found == expected(detector, recording)
    assert {line["filename"] for line in lines} == {"sound.wav"}
    probabilities = detector.probabilities(recording)
    for line in lines:
        frames = slice(round(line["onset"] / 0.032), int(np.ceil(line["offset"] / 0.032 - 1e-6)))
        of_event = probabilities[frames, detector.classes.index(line["event_label"])]
        assert line["confidence"] == pytest.approx(of_event.mean(), abs=1e-4)


def test_a_name_that_is_no_text_is_read_back_from_json_lines() -> None:
    found = Findings(detections=[Detection(0.0, 1.0, "\u2603", 0.5)], duration_s=2.0)
    text = dump_events({"a\udcff.wav": found}, "jsonl")
    values = json.loads(text.encode())
    assert (values["filename"], values["event_label"]) == ("a\udcff.wav", "\u2603")


@pytest.mark.parametrize("format", ["desed", "csv", "raven"])
def test_tables_hold_the_confidences_of_json_lines(
    format: str, recording: Path, run: Run, lively: Path
) -> None:
    lines = [json.loads(line) for line in run(recording, format="jsonl").splitlines()]
    table = pd.read_csv(io.StringIO(run(recording, format=format)), sep=None, engine="python")

    column = "Confidence" if format == "raven" else "confidence"
    assert table[column].tolist() == [line["confidence"] for line in lines]
    if format == "raven":
        assert set(table["Begin Path"]) == {str(recording.absolute())}
        assert set(table["High Freq (Hz)"]) == {RATE / 2}


def test_thresholds_and_minimum_lengths_take_the_place_of_those_of_the_checkpoint(
    detector: Detector, recording: Path, run: Run
) -> None:
    first, *others = detector.classes
    usual = rows(run(recording))
    strict = rows(run(recording, threshold={first: 1.0}))
    assert {row[2] for row in usual} > {row[2] for row in strict} == set(others)
    assert [row for row in usual if row[2] != first] == strict
    assert sum(b - a for a, b, _ in rows(run(recording, threshold=0.0))) > sum(
        b - a for a, b, _ in usual
    )
    long = rows(run(recording, min_duration_s=1.0))
    assert 0 < len(long) < len(usual)
    assert all(offset - onset >= 1.0 - 1e-6 for onset, offset, _ in long)
    assert len(rows(run(recording, min_gap_s=1.0))) < len(usual)


def test_the_formats_that_can_be_chosen_are_those_there_are() -> None:
    (format,) = (each for each in fields(PredictConfig) if each.name == "format")
    assert set(format.metadata["choices"]) == {*WRITTEN, "jsonl"}


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_standard_input_is_read_like_a_file(
    ending: str, detector: Detector, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"sound.{ending}"
    soundfile.write(path, np.stack([sound(), sound()], axis=1), 22050)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))

    printed = run("-")

    assert rows(printed) == expected(detector, path)
    assert printed.splitlines()[1].startswith("stdin\t")


def test_a_pipe_is_read_like_a_file(
    detector: Detector, recording: Path, run: Run, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(recording.read_bytes(),))
    writer.start()

    printed = run(pipe)

    writer.join()
    assert rows(printed) == expected(detector, recording)


def test_an_output_folder_takes_the_events_of_one_recording_too(
    detector: Detector, recording: Path, run: Run, tmp_path: Path
) -> None:
    assert run(recording, probabilities=True, timeline=True, output_dir="out") == ""

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["sound.events.tsv", "sound.scores.tsv", "sound.timeline.png"]
    table = (tmp_path / "out" / "sound.events.tsv").read_text()
    assert rows(table) == expected(detector, recording)
    scores = pd.read_csv(tmp_path / "out" / "sound.scores.tsv", sep="\t")
    assert list(scores) == ["onset", "offset", *detector.classes]
    probabilities = detector.probabilities(recording)
    np.testing.assert_allclose(scores[list(detector.classes)], probabilities, atol=1e-6)
    np.testing.assert_allclose(scores["onset"], np.arange(len(scores)) * 0.032, atol=1e-6)
    with Image.open(tmp_path / "out" / "sound.timeline.png") as picture:
        assert picture.size[0] > 1000


# Names that are special to Hydra, tables or shells.
@pytest.mark.parametrize(
    "name", ["my (file), [1]=x 'q'.wav", "back\\slash.wav", "${now}.wav", "ü🐦.wav"]
)
def test_any_file_name_is_taken_as_it_is(
    name: str, lively: Path, recording: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(recording, name)

    assert sedtf("predict", f"checkpoint={lively}", f"input={name}", "format=jsonl") == 0

    assert json.loads(capfd.readouterr().out.splitlines()[0])["filename"] == name


@pytest.mark.parametrize(
    ("rate", "n_channels", "subtype", "ending"),
    [
        (8000, 1, "PCM_U8", "wav"),
        (44100, 2, "PCM_24", "wav"),
        (96000, 6, "FLOAT", "wav"),
        (48000, 1, "PCM_24", "flac"),
        (22050, 1, "VORBIS", "ogg"),
        (16000, 1, "MPEG_LAYER_III", "mp3"),
    ],
)
def test_any_rate_depth_and_number_of_channels(
    rate: int,
    n_channels: int,
    subtype: str,
    ending: str,
    detector: Detector,
    run: Run,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"sound.{ending}"
    channels = [sound(2 * rate, seed) for seed in range(n_channels)]
    soundfile.write(path, np.stack(channels, axis=1), rate, subtype=subtype)

    found = rows(run(path))

    assert found == expected(detector, path)
    assert 0 < max(offset for _, offset, _ in found) <= 2.0


@pytest.mark.parametrize(
    ("n_samples", "rate"), [(1, RATE), (1, 96_000), (2, 8000), (511, RATE), (513, RATE)]
)
def test_very_short_recordings_are_no_fault(
    n_samples: int, rate: int, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, sound(n_samples), rate)

    run(path, output_dir="out", probabilities=True, timeline=True)

    of_bands = "is used", "are empty"
    assert [line for line in caplog.messages if not any(map(line.count, of_bands))] == []
    for onset, offset, _ in rows((tmp_path / "out" / "short.events.tsv").read_text()):
        assert 0 <= onset < offset <= n_samples / rate + 1e-6  # the table holds microseconds


def test_channels_are_mixed_or_taken_apart(detector: Detector, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    left, right = sound(seed=1), sound(seed=2)
    soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")

    def found(audio: NDArray[np.float32]) -> list[tuple[float, float, str]]:
        return [(round(a, 6), round(b, 6), c) for a, b, c in detector.predict(audio)]

    assert rows(run(path, channels="mix")) == found((left + right) / 2)
    assert rows(run(path, channels="first")) == found(left)
    each = run(path, channels="each")
    assert rows(each) == found(left) + found(right)
    names = [line.split("\t")[0] for line in each.splitlines()[1:]]
    assert list(dict.fromkeys(names)) == ["stereo.ch1.wav", "stereo.ch2.wav"]
    run(path, channels="each", format="audacity", output_dir="out", probabilities=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "stereo.ch1.events.txt",
        "stereo.ch1.scores.tsv",
        "stereo.ch2.events.txt",
        "stereo.ch2.scores.tsv",
    ]


def test_what_is_left_of_a_cut_file_is_used_with_a_warning_in_one_line(
    lively: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    path = Path("cut.flac")
    soundfile.write(path, sound(10 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert sedtf("predict", f"checkpoint={lively}", "input=cut.flac") == 0

    printed = capfd.readouterr()
    (warning,) = printed.err.splitlines()
    assert warning.startswith("cut.flac: breaks off after ")
    assert "the decoded part is used" in warning
    assert 3 < max(offset for _, offset, _ in rows(printed.out)) < 6


# ------------------------------------------------------------------------------------- a folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of recordings, with other files that may be there."""
    root = tmp_path / "recordings"
    (root / "deeper" / "still").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for index, name in enumerate(
        ["a.wav", "b.flac", "deeper/a.wav", "deeper/a.flac", "deeper/still/c.OGG"]
    ):
        soundfile.write(root / name, sound(seed=index), RATE)
    soundfile.write(root / ".hidden" / "d.wav", sound(), RATE)
    (root / "._a.wav").write_bytes(b"what a Mac leaves behind")
    (root / "a.tsv").write_text("somebody's annotations")
    (root / "a.txt").write_text("somebody's labels")
    os.mkfifo(root / "pipe.wav")
    (root / "folder.wav").mkdir()
    return root


def written(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if ".events." in path.name}


EVENTS = {
    "a.events.tsv",
    "b.events.tsv",
    "deeper/a.wav.events.tsv",
    "deeper/a.flac.events.tsv",
    "deeper/still/c.events.tsv",
}


def test_events_of_a_folder_go_beside_the_audio(
    lively: Path, detector: Detector, folder: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("predict", f"checkpoint={lively}", f"input={folder}") == 0

    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("5 of 5 recordings done, ")
    assert written(folder) == EVENTS
    table = (folder / "deeper" / "a.flac.events.tsv").read_text()
    assert rows(table) == expected(detector, folder / "deeper" / "a.flac")
    assert "a.flac\t" in table
    assert (folder / "a.tsv").read_text() == "somebody's annotations"
    assert (folder / "a.txt").read_text() == "somebody's labels"
    # A second run finds the same recordings: it ignores the output of the first.
    assert sedtf("predict", f"checkpoint={lively}", f"input={folder}") == 0
    assert written(folder) == EVENTS


def test_an_output_folder_takes_the_same_tree(folder: Path, run: Run, tmp_path: Path) -> None:
    before = sorted(folder.rglob("*"))

    run(folder, output_dir="out", timeline=True)

    assert sorted(folder.rglob("*")) == before
    assert written(tmp_path / "out") == EVENTS
    assert (tmp_path / "out" / "deeper" / "still" / "c.timeline.png").is_file()


def test_broken_recordings_are_named_and_do_not_stop_the_others(
    lively: Path, folder: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "aa text.wav").write_text("This is no audio.")
    soundfile.write(folder / "deeper" / "empty.wav", np.zeros((0, 2)), RATE)
    (folder / "phone.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    (folder / "link.wav").symlink_to(folder / "nowhere.wav")

    assert sedtf("predict", f"checkpoint={lively}", f"input={folder}") == 1

    assert written(folder) == EVENTS
    *faults, summary, last = capfd.readouterr().err.splitlines()
    broken = [
        folder / name for name in ("aa text.wav", "link.wav", "phone.m4a", "deeper/empty.wav")
    ]
    assert len(faults) == 4
    for fault, path in zip(faults, broken, strict=True):
        assert fault.startswith(f"{path}: ")
    assert summary.startswith("5 of 9 recordings done, ")
    assert last == (
        f"sedtf: 4 could not be read, for the reasons above: {', '.join(map(str, broken))}"
    )


@contextmanager
def without_privileges() -> Iterator[None]:
    """Become an unprivileged user if the tests run as root, which may do everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anyone may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_what_may_not_be_read_is_named(
    lively: Path,
    open_folder: Path,
    sedtf: Sedtf,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    checkpoint = shutil.copytree(lively, open_folder / "checkpoint")
    monkeypatch.chdir(open_folder)
    root = Path("recordings")
    (root / "closed").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "closed/c.wav"):
        soundfile.write(root / name, sound(4000), RATE)
    (root / "b.wav").chmod(0)
    (root / "closed").chmod(0)
    Path("out").mkdir()
    Path("out").chmod(0o777)

    with without_privileges():
        code = sedtf("predict", f"checkpoint={checkpoint}", f"input={root}", "output_dir=out")
        single = sedtf("predict", f"checkpoint={checkpoint}", f"input={root / 'b.wav'}")
        unwritable = sedtf("predict", f"checkpoint={checkpoint}", f"input={root}")
    (root / "closed").chmod(0o755)

    assert (code, single, unwritable) == (1, 2, 2)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "recordings/closed: cannot be searched (Permission denied)"
    assert lines[1] == "recordings/b.wav: cannot be opened (Permission denied)"
    assert lines[2].startswith("1 of 2 recordings done, ")
    assert lines[3].endswith("recordings/closed, recordings/b.wav")
    assert lines[4] == "sedtf: recordings/b.wav: cannot be opened (Permission denied)"
    assert lines[6] == (
        "sedtf: recordings: cannot be written to (Permission denied); "
        "name another folder with output_dir="
    )
    assert written(Path("out")) == {"a.events.tsv"}


# ------------------------------------------------------------------------------ faults of the user


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["input=nowhere"], "input=nowhere: no such file or folder"),
        (["input=empty"], "input=empty: no files"),
        (["input=notes"], "input=notes: only files that end in .md"),
        (["input=notes/a.md"], "notes/a.md: cannot be read as audio"),
        ([], "input is not set"),
        (["input=x", "format=xml"], "format=xml: expected one of desed,"),
        (["input=x", "channels=left"], "channels=left: expected one of mix, first, each"),
        (["input=x", "threshold=2"], "threshold=2: expected a number from 0 to 1"),
        (["input=x", "threshold=high"], "threshold=high: expected a number from 0 to 1"),
        (["input=x", "min_gap_s=-1"], "min_gap_s=-1.0: expected at least 0"),
        (["input=notes/a.md", "threshold={owl: 0.2}"], "threshold of owl: expected classes of"),
        (["input=x", "threads=0"], "threads=0: expected a number from 1"),
        (["input=x", "treads=1"], "there is no key treads; did you mean threads?"),
    ],
)
def test_faults_are_reported_in_one_line(
    given: list[str], message: str, lively: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("notes").mkdir()
    Path("notes/a.md").write_text("notes")

    assert sedtf("predict", f"checkpoint={lively}", *given) == 2

    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


def test_a_sweep_is_refused(
    lively: Path, recording: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    given = (f"checkpoint={lively}", f"input={recording}", "format=desed,csv")
    assert sedtf("predict", *given, multirun=True) == 2
    assert "drop -m" in capfd.readouterr().err


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_fault(lively: Path, recording: Path) -> None:
    command = f"{sys.executable} -m sed_cli predict checkpoint={lively} input={recording}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout == "filename\tonset\toffset\tevent_label\tconfidence\n"


# Through a small process in between: a forked process counts the memory of its parent.
PEAK_OF = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(lively: Path, tmp_path: Path) -> None:
    """Only events are kept of an extra hour: no other memory grows."""
    peaks = []
    for minutes in (2, 62):
        path = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", 44_100, 2) as file:
            for seed in range(minutes * 6):
                part = sound(441_000, seed)  # ten seconds
                file.write(np.stack([part, part], axis=1))
        command = [sys.executable, "-m", "sed_cli", "predict", f"checkpoint={lively}"]
        settings = [f"input={path}", "probabilities=true", "timeline=true", "output_dir=out"]
        done = subprocess.run(
            [sys.executable, "-c", PEAK_OF, *command, *settings],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        peaks.append(float(done.stdout.splitlines()[-1]) / 1024)  # MiB

    assert peaks[1] < peaks[0] + 30
    assert peaks[1] < 1024
