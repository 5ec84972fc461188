"""Selection tables as Raven and BirdNET write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, read_annotations

HEADER = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def read(folder: Path, content: str, name: str = "rec.Table.1.selections.txt") -> Annotations:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_annotations(path)


def test_a_selection_in_several_views_is_one_event(tmp_path: Path) -> None:
    """Views differ in their measurements, and may be sorted by any column."""
    rows = [
        "1\tWaveform 1\t1\t6.709\t15.096\t1739.0\t3798.8\t\tbirb",
        "2\tWaveform 1\t1\t29.383\t40.257\t1587.1\t4136.5\t\tdonkey",
        "1\tSpectrogram 1\t1\t6.709\t15.096\t1739.0\t3798.8\t-75.87\tbirb",
        "2\tSpectrogram 1\t1\t29.383\t40.257\t1587.1\t4136.5\t-75.64\tdonkey",
    ]

    annotations = read(tmp_path, "\n".join([f"{HEADER}\tAvg Power (dB)\tAnnotation", *rows]))

    assert annotations.format == "raven"
    assert annotations.faults == ()
    assert annotations.events == {
        "rec": [Event(6.709, 15.096, "birb"), Event(29.383, 40.257, "donkey")]
    }


def test_a_selection_listed_twice_is_a_fault(tmp_path: Path) -> None:
    row = "{}\tSpectrogram 1\t1\t6.7\t15.0\t1739.0\t3798.8\tbirb"

    annotations = read(
        tmp_path, "\n".join([f"{HEADER}\tAnnotation", row.format(1), row.format(2), row.format(2)])
    )

    assert [fault.line for fault in annotations.faults] == [3, 4]
    assert len(annotations.events["rec"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("rec.txt", "rec.Table.1.selections.txt", "rec.selections.txt"),
        *("rec.BirdNET.selection.table.txt", "rec.BirdNET.results.txt"),
    ],
)
def test_a_table_without_files_belongs_to_the_recording_of_its_name(
    name: str, tmp_path: Path
) -> None:
    row = "1\tSpectrogram 1\t1\t1\t2\t0\t4000\tbirb"

    annotations = read(tmp_path, f"{HEADER}\tSpecies\n{row}\n", name)

    assert not annotations.names_files
    assert annotations.events == {"rec": [Event(1.0, 2.0, "birb")]}


def test_times_count_from_the_start_of_each_file(tmp_path: Path) -> None:
    """Begin Time counts from the start of the first of all open files."""
    rows = [
        "1\tSpectrogram 1\t1\t10.5\t11.25\t0\t4000\ta.wav\t10.5\tbirb",
        "2\tSpectrogram 1\t1\t70.5\t71.25\t0\t4000\tb.wav\t10.5\tbirb",
    ]

    annotations = read(
        tmp_path, "\n".join([f"{HEADER}\tBegin File\tFile Offset (s)\tAnnotation", *rows])
    )

    assert annotations.names_files
    assert annotations.events == {
        "a.wav": [Event(10.5, 11.25, "birb")],
        "b.wav": [Event(10.5, 11.25, "birb")],
    }


def test_a_table_of_birdnet_is_read_as_it_comes(tmp_path: Path) -> None:
    """Paths are from another machine; the common name is used as the label."""
    header = f"{HEADER}\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)"
    rows = [
        "1\tSpectrogram 1\t1\t0.0\t3.0\t0\t15000\tBlackbird\teurbla1\t0.87\t/data/x/rec.wav\t0.0",
        "2\tSpectrogram 1\t1\t3.0\t6.0\t0\t15000\tTit\tgretit\t0.42\tC:\\data\\rec 2.wav\t3.0",
    ]

    annotations = read(tmp_path, "\n".join([header, *rows]))

    assert annotations.format == "raven"
    assert annotations.events == {
        "rec.wav": [Event(0.0, 3.0, "Blackbird")],
        "rec 2.wav": [Event(3.0, 6.0, "Tit")],
    }


def test_a_table_without_selections_is_a_recording_without_events(tmp_path: Path) -> None:
    annotations = read(tmp_path, f"{HEADER}\tBegin File\tAnnotation\n")

    assert (annotations.faults, annotations.names_files) == ((), False)
    assert annotations.events == {"rec": []}


def test_faults_name_their_lines(tmp_path: Path) -> None:
    rows = [
        "1\tSpectrogram 1\t1\t2\t1\t0\t4000\tbirb",
        "2\tSpectrogram 1\t1\tx\t1\t0\t4000\tbirb",
        "3\tSpectrogram 1\t1\t0\t1\t0\t4000\t",
    ]

    faults = read(tmp_path, "\n".join([f"{HEADER}\tAnnotation", *rows])).faults

    assert [fault.line for fault in faults] == [2, 3, 4]


def test_corrections_by_hand_are_kept(tmp_path: Path) -> None:
    """One moved without its file offset, one new without the name of its recording."""
    head = f"{HEADER}\tBegin File\tFile Offset (s)\tAnnotation"
    rows = [
        "1\tSpectrogram 1\t1\t0.5\t0.9\t0\t4000\trec.wav\t2.0\tbirb",
        "2\tSpectrogram 1\t1\t4.0\t5.0\t0\t4000\trec.wav\t4.0\tbirb",
        "3\tSpectrogram 1\t1\t7.0\t7.5\t0\t4000\t\t\tbirb",
    ]

    annotations = read(tmp_path, "\n".join([head, *rows]))

    assert annotations.faults == ()
    assert annotations.events == {
        "rec.wav": [Event(0.5, 0.9, "birb"), Event(4.0, 5.0, "birb"), Event(7.0, 7.5, "birb")]
    }
    assert "moved selections" in str(annotations.taken)


def test_times_of_recordings_that_were_open_together_count_from_each_start(tmp_path: Path) -> None:
    head = f"{HEADER}\tBegin File\tFile Offset (s)\tAnnotation"
    rows = [
        "1\tSpectrogram 1\t1\t1.0\t1.5\t0\t4000\ta.wav\t1.0\tbirb",
        "2\tSpectrogram 1\t1\t61.0\t61.5\t0\t4000\tb.wav\t1.0\tbirb",
        "3\tSpectrogram 1\t1\t65.0\t65.5\t0\t4000\tb.wav\t4.0\tbirb",
        "4\tSpectrogram 1\t1\t67.0\t67.5\t0\t4000\tb.wav\t7.0\tbirb",
    ]

    events = read(tmp_path, "\n".join([head, *rows])).events

    assert [event.onset_s for event in events["a.wav"]] == [1.0]
    assert [event.onset_s for event in events["b.wav"]] == [1.0, 5.0, 7.0]
