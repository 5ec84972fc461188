"""Names of the output of ``sedtf predict``: all distinct, and leftovers are deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import Channels
from sed_cli.tasks.detection.items import AudioInput, find_items, sweep


def write(folder: Path, **channels: int) -> None:
    for name, n_channels in channels.items():
        soundfile.write(folder / name.replace("_", "."), np.zeros((100, n_channels)), 8000)


def names(folder: Path, channels: Channels) -> list[str]:
    items, _ = find_items(folder, folder / "out", channels)
    made = []
    for item in items:
        made.append(item.written(".events.txt").name)
        with item.open() as reader:
            n_channels = reader.n_channels if channels == "each" else 1
        for i in range(n_channels if n_channels > 1 else 0):
            channel = f"{item.path.stem}.ch{i + 1}{item.path.suffix}"
            made.append(item.written(".events.txt", channel).name)
    return made


@pytest.mark.parametrize(
    "files",
    [
        {"a_wav": 2, "a_ch1_wav": 1},
        {"a_wav": 2, "a_ch2_flac": 1, "b_wav": 1},
        {"a_wav": 2, "A_CH1_wav": 1},
        {"a_wav": 2, "a_ch1_wav": 2, "a_ch1_ch2_wav": 1},
        {"a_wav": 2, "a_flac": 2, "a_wav_wav": 1, "a_wav_ch1_wav": 1},
        {"b_wav": 1, "b_flac": 1, "b_wav_wav": 1},
    ],
)
@pytest.mark.parametrize("channels", ["each", "mix"])
def test_no_two_files_that_are_written_have_one_name(
    files: dict[str, int], channels: Channels, tmp_path: Path
) -> None:
    write(tmp_path, **files)
    made = [name.lower() for name in names(tmp_path, channels)]
    assert len(set(made)) == len(made)


def test_names_are_short_where_nothing_collides(tmp_path: Path) -> None:
    write(tmp_path, a_wav=2, b_ch1_wav=1)
    assert names(tmp_path, "each") == [
        "a.events.txt", "a.ch1.events.txt", "a.ch2.events.txt", "b.ch1.events.txt"
    ]  # fmt: skip
    write(tmp_path, a_ch1_wav=1)
    assert names(tmp_path, "mix") == ["a.ch1.events.txt", "a.events.txt", "b.ch1.events.txt"]


def test_what_a_killed_prediction_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, a_wav=1)
    out = tmp_path / "out"
    out.mkdir()
    old = [
        *(".a.events-01234567.txt", ".a.ch1.scores-01234567.tsv", ".a.timeline-89abcdef.png"),
        *(".a.events-01234567.part.tsv", ".a.events.selections-01234567.part.txt"),
    ]
    others = [".b.events-01234567.txt", ".a.events.txt", "a.events-01234567.txt", ".a.events-1.txt"]
    for name in [*old, *others]:
        (out / name).touch()
        os.utime(out / name, (time.time() - 3600,) * 2)
    (out / ".a.events-fedcba98.txt").touch()  # in use by another process

    sweep(find_items(tmp_path, out)[0])

    left = {path.name for path in out.iterdir()}
    assert left == {*others, ".a.events-fedcba98.txt"}


def test_what_sedtf_wrote_is_passed_over_unless_it_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in ("", "outputs/synth/1/audio", "outputs/audition/audio"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        write(tmp_path / place, a_wav=1)
    (tmp_path / "outputs/synth/1/run.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "outputs", target_is_directory=True)

    found = [item.path.relative_to(tmp_path).as_posix() for item in find_items(tmp_path, None)[0]]

    assert found == ["a.wav", "outputs/audition/audio/a.wav"]
    assert "outputs/synth/1: written by sedtf" in caplog.text
    assert "link: a link to a folder" in caplog.text
    assert len(find_items(tmp_path / "outputs/synth/1", None)[0]) == 1


def test_files_that_were_not_whole_yet_are_swept_by_their_names(tmp_path: Path) -> None:
    left = tmp_path / ".a.events-0123abcd.part.tsv"  # as files are named until they are whole
    others = [tmp_path / name for name in (".b.events-0123abcd.part.tsv", "a.events.tsv", ".a.txt")]
    fresh = tmp_path / ".a.scores-0123abcd.part.tsv"
    for path in (left, *others, fresh):
        path.write_text("")
        os.utime(path, (0, 0))
    os.utime(fresh)

    sweep([AudioInput(path=tmp_path / "a.wav", base=tmp_path / "a")])

    assert set(tmp_path.iterdir()) == {*others, fresh}
