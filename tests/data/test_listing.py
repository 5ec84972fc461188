"""Matching annotations with recordings, for common layouts of data sets on disk."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.data.annotations import FORMATS, Event, write_annotations
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


def test_a_name_that_several_files_have_is_reported_not_guessed(tmp_path: Path) -> None:
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
    assert (one.name, one.path) == ("x.wav", tmp_path / "audio" / "x.wav")
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
    assert "x.wav is already annotated in one.tsv" in str(faults[0])


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    with pytest.raises(DataError, match="contains no annotations"):
        list_recordings(tmp_path, tmp_path, Reading())


# ------------------------------------------------------------------- identity and spelling


SPELLINGS = ("a.wav", "a", "./a.wav", "A.WAV", "sub/../a.wav", r".\a.wav", "b/../A")


@pytest.mark.parametrize("spelling", SPELLINGS[1:])
def test_spellings_of_one_recording_are_one_with_all_rows(spelling: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tmp_path / "b.wav")
    later = [Event(0.05, 0.06, "cat")]
    write_annotations(tmp_path / "t.tsv", {"a.wav": DOG, "b.wav": [], spelling: later})

    reading = Reading()
    listed, faults = list_recordings(tmp_path / "t.tsv", tmp_path, reading)

    assert faults == []
    assert [one.path.name for one in listed] == ["a.wav", "b.wav"]
    assert [row.event for row in listed[0].rows] == [*DOG, *later]
    assert f"a.wav and {spelling} for a.wav" in "\n".join(reading.notes.lines())


def test_compositions_links_and_windows_paths_name_one_recording(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Zaunk\u00f6nig.wav")
    write_audio(tmp_path / "site" / name)
    (tmp_path / "site" / "alias.wav").symlink_to(tmp_path / "site" / name)
    names = [unicodedata.normalize("NFC", name), name, rf"D:\disk\site\{name}", "alias.wav"]
    rows = {one: [Event(0.01 * i, 0.01 * i + 0.01, "x")] for i, one in enumerate(names)}
    write_annotations(tmp_path / "t.tsv", rows)

    (one,), faults = list_recordings(tmp_path / "t.tsv", tmp_path, Reading())

    assert faults == []
    assert len(one.rows) == 4


def test_names_that_differ_only_in_case_are_two_where_both_are_there(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tmp_path / "A.wav", tmp_path / "b.wav")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the file system knows no case")
    write_annotations(tmp_path / "t.tsv", {"a.wav": DOG, "A": DOG, "a.WAV": DOG})

    listed, _ = list_recordings(tmp_path / "t.tsv", tmp_path, Reading())

    assert [one.path.name for one in listed[:2]] == ["a.wav", "A.wav"]
    assert "may be any of" in listed[2].problem or listed[2].path.name == "a.wav"


def test_an_event_under_two_spellings_counts_once(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    write_annotations(tmp_path / "t.tsv", {"a.wav": DOG, "a": DOG})

    (one,), _ = list_recordings(tmp_path / "t.tsv", tmp_path, Reading())

    assert [row.event for row in one.rows] == DOG


def test_two_tables_of_one_recording_name_both_spellings(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav")
    (tmp_path / "tables").mkdir()
    write_annotations(tmp_path / "tables" / "one.tsv", {"a.wav": DOG})
    write_annotations(tmp_path / "tables" / "two.tsv", {"A": DOG})

    listed, faults = list_recordings(tmp_path / "tables", tmp_path, Reading())

    assert len(listed) == 1
    assert "A is already annotated in one.tsv (as a.wav)" in str(faults[0])


# ------------------------------------------------------------------------- lost recordings


@pytest.mark.parametrize(
    ("audio", "annotated"),
    [
        ("REC.wav", "REC_002.txt"),
        ("REC.wav", "REC-2.txt"),
        ("REC_20240501.wav", "REC_20240501_210000.txt"),
        ("x.wav", "x.2.txt"),
        ("x.wav", "x_bert.txt"),
    ],
)
def test_what_distinguishes_siblings_is_not_cut_off(
    audio: str, annotated: str, tmp_path: Path
) -> None:
    write_audio(tmp_path / "audio" / audio)
    (tmp_path / "labels").mkdir()
    write_annotations(tmp_path / "labels" / annotated, {"x": DOG}, "audacity")

    reading = Reading()
    (one,), _ = list_recordings(tmp_path / "labels", tmp_path / "audio", reading)

    assert one.problem == f"no recording is called {Path(annotated).stem}"
    assert f"recordings without annotations: {audio}" in reading.notes.lines()


@pytest.mark.parametrize(
    "name",
    [
        *("x.Table.1.selections.txt", "x-labels.txt", "x annotations.txt", "x_corrected.txt"),
        *("x.BirdNET.results.txt", "x.events.txt", "x.wav_label track.txt", "X_LABELS.txt"),
    ],
)
def test_usual_suffixes_are_cut_off_and_reported(name: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "xy.wav")
    write_annotations(tmp_path / name, {"x": DOG}, "audacity")

    reading = Reading()
    (one,), faults = list_recordings(tmp_path, tmp_path, reading)

    assert (one.name, faults) == ("x.wav", [])
    if ".wav" not in name:
        assert f"{name} for x.wav" in "\n".join(reading.notes.lines())


@pytest.mark.parametrize("form", ["audacity", "desed", "raven"])
def test_labels_of_a_lost_recording_do_not_go_to_its_namesake_elsewhere(
    form: str, tmp_path: Path
) -> None:
    ending = {"audacity": ".txt", "desed": ".tsv", "raven": ".selections.txt"}[form]
    for site in ("a", "b"):
        for night in ("n1", "n2"):
            write_audio(tmp_path / site / f"{night}.wav")
            events = {f"{night}.wav": [Event(0.1, 0.2, site)]}
            write_annotations(tmp_path / site / f"{night}{ending}", events, form)
    (tmp_path / "a" / "n1.wav").unlink()

    listed, _ = list_recordings(tmp_path, tmp_path, Reading())

    there = {one.name: one.labels for one in listed if not one.problem}
    assert there == {"a/n2.wav": {"a"}, "b/n1.wav": {"b"}, "b/n2.wav": {"b"}}
    assert [one.labels for one in listed if one.problem] == [{"a"}]


def test_folders_in_names_are_held_to_where_any_of_them_is_there(tmp_path: Path) -> None:
    write_audio(tmp_path / "a" / "x.wav", tmp_path / "a" / "y.wav")
    write_annotations(tmp_path / "t.tsv", {"a/y.wav": DOG, "lost/x.wav": DOG})

    listed, _ = list_recordings(tmp_path / "t.tsv", tmp_path, Reading())

    assert listed[0].problem == ""
    assert "lost/x.wav has no recording: a/x.wav lies in another folder" in listed[1].problem


def test_folders_that_are_not_there_are_skipped_and_reported(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "deep" / "y.wav")
    write_annotations(tmp_path / "t.tsv", {r"C:\me\x.wav": DOG, r"C:\me\y.wav": DOG})

    reading = Reading()
    listed, _ = list_recordings(tmp_path / "t.tsv", tmp_path, reading)

    assert [one.path.name for one in listed] == ["x.wav", "y.wav"]
    assert r"C:\me\y.wav for deep/y.wav" in "\n".join(reading.notes.lines())


def test_tables_beside_recordings_of_one_name_mean_their_own(tmp_path: Path) -> None:
    for site in ("a", "b", "."):
        write_audio(tmp_path / site / "x.wav")
        write_annotations(tmp_path / site / "t.tsv", {"x.wav": [Event(0.1, 0.2, site)]})

    listed, faults = list_recordings(tmp_path, tmp_path, Reading())

    assert faults == []
    assert {one.name: one.labels for one in listed} == {
        "x.wav": {"."},
        "a/x.wav": {"a"},
        "b/x.wav": {"b"},
    }


def test_linked_folders_of_annotations_are_read(tmp_path: Path) -> None:
    write_audio(tmp_path / "set" / "audio" / "s" / "x.wav")
    (tmp_path / "store").mkdir()
    write_annotations(tmp_path / "store" / "x.txt", {"x": DOG}, "audacity")
    (tmp_path / "set" / "labels").mkdir()
    (tmp_path / "set" / "labels" / "s").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "labels" / "loop").symlink_to(tmp_path / "set")

    root = tmp_path / "set"
    (one,), _ = list_recordings(root / "labels", root / "audio", Reading())

    assert one.labels == {"dog"}


# ----------------------------------------------------------------------------- predictions


@pytest.mark.parametrize("form", ["desed", "audacity", "raven", "csv", "jams"])
def test_labels_of_people_win_over_predictions_in_a_folder(form: str, tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_audio(tmp_path / f"{name}.wav")
        guessed = [Event(0.0, 0.1, "guessed")]
        ending = FORMATS[form].ending
        write_annotations(
            tmp_path / f"{name}.events{ending}", {f"{name}.wav": guessed}, form, durations_s={}
        )
    write_annotations(tmp_path / "x.txt", {"x": DOG}, "audacity")
    (tmp_path / "x.scores.tsv").write_text("onset\toffset\tdog\n0.0\t0.1\t0.5\n")

    reading = Reading()
    listed, faults = list_recordings(tmp_path, tmp_path, reading)

    assert faults == []
    assert [(one.name, one.labels) for one in listed] == [("x.wav", {"dog"})]
    said = "\n".join(reading.notes.lines())
    assert "2 predictions of sedtf that are skipped" in said
    assert "recordings without annotations: y.wav" in said


def test_a_file_called_as_the_recording_wins_over_that_of_a_program(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    write_annotations(tmp_path / "x.BirdNET.results.txt", {"x": DOG}, "audacity")
    write_annotations(tmp_path / "x.txt", {"x": [Event(0.0, 0.1, "mine")]}, "audacity")

    (one,), (fault,) = list_recordings(tmp_path, tmp_path, Reading())

    assert one.labels == {"mine"}
    assert fault.path.name == "x.BirdNET.results.txt"
    assert "x.wav is already annotated in x.txt" in fault.message


def test_predictions_in_two_formats_are_one_unless_they_differ(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    for form in ("desed", "raven"):
        path = tmp_path / f"x.events{FORMATS[form].ending}"
        write_annotations(path, {"x.wav": DOG}, form)

    reading = Reading()
    (one,), faults = list_recordings(tmp_path, tmp_path, reading)
    assert (one.labels, faults) == ({"dog"}, [])
    assert "the same in another format" in "\n".join(reading.notes.lines())

    write_annotations(path, {"x.wav": [Event(0.0, 0.1, "corrected")]}, "raven")
    with pytest.raises(DataError, match="different events of one recording"):
        list_recordings(tmp_path, tmp_path, Reading())


@pytest.mark.parametrize("form", ["desed", "audacity", "raven"])
def test_a_folder_of_predictions_alone_is_read_when_it_is_named(form: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "y.wav")
    for name in ("x", "y"):
        path = tmp_path / f"{name}.events{FORMATS[form].ending}"
        write_annotations(path, {f"{name}.wav": DOG}, form)

    reading = Reading()
    listed, _ = list_recordings(tmp_path, tmp_path, reading)

    assert {one.path.name: one.labels for one in listed} == {"x.wav": {"dog"}, "y.wav": {"dog"}}
    assert "2 predictions of sedtf that are read as labels" in "\n".join(reading.notes.lines())


def test_a_table_of_many_recordings_is_no_prediction_whatever_it_is_called(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "y.wav")
    write_annotations(tmp_path / "all.events.tsv", {"x.wav": DOG, "y.wav": DOG})
    write_annotations(tmp_path / "x.events.tsv", {"x.wav": [Event(0, 1, "guessed")]})

    listed, faults = list_recordings(tmp_path, tmp_path, Reading())

    assert faults == []
    assert {label for one in listed for label in one.labels} == {"dog"}


def test_what_cannot_be_read_is_a_fault_only_where_a_recording_loses_its_labels(
    tmp_path: Path,
) -> None:
    write_audio(tmp_path / "x.wav", tmp_path / "y.wav")
    write_annotations(tmp_path / "x.txt", {"x": DOG}, "audacity")
    (tmp_path / "settings.json").write_text('{"gain": 1}')
    (tmp_path / "x.json").write_text('{"gain": 1}')
    (tmp_path / "y.txt").write_bytes(b"\0\0binary")

    reading = Reading()
    listed, faults = list_recordings(tmp_path, tmp_path, reading)

    assert [one.name for one in listed] == ["x.wav"]
    assert [(fault.path.name, fault.repair) for fault in faults] == [
        ("y.txt", "the file is skipped")
    ]
    assert "settings.json" in "\n".join(reading.notes.lines())


def test_labels_of_a_lost_recording_are_not_lost_among_predictions(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    write_annotations(tmp_path / "x.events.tsv", {"x.wav": DOG})
    write_annotations(tmp_path / "lost.txt", {"x": DOG}, "audacity")

    listed, _ = list_recordings(tmp_path, tmp_path, Reading())

    assert {one.problem for one in listed} == {"", "no recording is called lost"}
