"""Matching annotations with recordings, in the ways in which data sets lie on a disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.listing import AudioFolder, Reading, list_recordings
from sed_cli.errors import DataError

DOG = [Event(0.1, 0.2, "dog")]


def write_audio(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(800), 8000)


def test_a_name_is_a_path_below_the_folder_first(tmp_path: Path) -> None:
    write_audio(tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav")

    assert AudioFolder(tmp_path).find("b/x.wav").path == tmp_path / "b" / "x.wav"


@pytest.mark.parametrize("name", ["x.wav", "x", "X.WAV", "x.mp3", "elsewhere/x.wav", r"C:\a\x.wav"])
def test_a_name_that_is_no_path_is_found_anywhere_below(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "deep" / "er" / "x.wav", tmp_path / "y.wav")

    assert AudioFolder(tmp_path).find(name).path == tmp_path / "deep" / "er" / "x.wav"


def test_a_name_with_dots_is_not_taken_for_another(tmp_path: Path) -> None:
    write_audio(tmp_path / "call.1.wav", tmp_path / "call.2.wav")

    assert AudioFolder(tmp_path).find("call.2").path == tmp_path / "call.2.wav"


def test_a_name_that_several_files_have_is_said_not_guessed(tmp_path: Path) -> None:
    write_audio(tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav")

    match = AudioFolder(tmp_path).find("x.wav")

    assert not match.path.exists()
    assert "a/x.wav, b/x.wav" in match.problem


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        AudioFolder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["x.txt", "x.Table.1.selections.txt", "x_labels.txt", "x.wav.txt", "deep/x.txt"]
)
def test_files_without_file_names_are_matched_by_their_own(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "audio" / "x.wav", tmp_path / "audio" / "xy.wav")
    path = tmp_path / "labels" / name
    path.parent.mkdir(parents=True)
    write_annotations(path, {"x": DOG}, "audacity")

    listed, faults = list_recordings(tmp_path / "labels", tmp_path / "audio", Reading())

    assert faults == []
    (one,) = listed
    assert (one.name, one.audio) == ("x.wav", tmp_path / "audio" / "x.wav")
    assert [row.event for row in one.rows] == DOG


def test_annotations_beside_the_audio_prefer_their_neighbour(tmp_path: Path) -> None:
    write_audio(tmp_path / "a" / "x.wav", tmp_path / "b" / "x.wav")
    for folder in ("a", "b"):
        write_annotations(tmp_path / folder / "x.txt", {"x": DOG}, "audacity")

    listed, _ = list_recordings(tmp_path, tmp_path, Reading())

    assert [one.name for one in listed] == ["a/x.wav", "b/x.wav"]


def test_a_folder_of_tables_is_read_as_one(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "y.wav")
    (tmp_path / "tables").mkdir()
    write_annotations(tmp_path / "tables" / "one.tsv", {"x.wav": DOG})
    write_annotations(tmp_path / "tables" / "two.tsv", {"y.wav": [], "x.wav": DOG})
    (tmp_path / "tables" / "README.txt").write_text("Read me first.\n")

    listed, faults = list_recordings(tmp_path / "tables", tmp_path, Reading())

    assert [one.name for one in listed] == ["x.wav", "y.wav"]
    assert len(faults) == 1
    assert "x.wav is annotated in one.tsv already" in str(faults[0])


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    with pytest.raises(DataError, match="holds no annotations"):
        list_recordings(tmp_path, tmp_path, Reading())
