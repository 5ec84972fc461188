"""Lists without a header: columns are recognised by the positions of the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, read_annotations
from sed_cli.errors import DataError


def read(folder: Path, content: str, name: str = "a.txt", **options: float) -> Annotations:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_annotations(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        "a.wav\t0.5\t1.5\tdog bark\nb.wav\t2\t3\tcar\n",
        "a.wav\tstreet\t0.5\t1.5\tdog bark\nb.wav\tstreet\t2\t3\tcar\n",
        "a.wav\tstreet\t0.5\t1.5\tdog bark\tm\ta010\nb.wav\tstreet\t2\t3\tcar\tm\ta010\n",
        "a.wav\tstreet\t0.5\t1.5\tdog bark\nb.wav\tstreet\t2\t3\tcar\tm\ta010\n",
        "a.wav,0.5,1.5,dog bark\nb.wav,2,3,car\n",
        'a.wav,street,0.5,1.5,"dog bark"\nb.wav,street,2,3,car\n',
        "a.wav;0,5;1,5;dog bark\nb.wav;2,0;3,0;car\n",
        "a.wav 0.5 1.5 dog bark\nb.wav 2 3 car\n",
        "a.wav\tdog bark\t0.5\t1.5\nb.wav\tcar\t2\t3\n",
        "# DCASE\na.wav\t0.5\t1.5\tdog bark\n\n# the end\nb.wav\t2\t3\tcar\n",
    ],
    ids=[
        *("plain", "scene", "source", "some sources", "commas", "scene, commas", "decimal commas"),
        *("blanks", "label first", "comments"),
    ],
)
def test_lists_of_many_files(content: str, tmp_path: Path) -> None:
    annotations = read(tmp_path, content)
    assert annotations.format == "tut"
    assert annotations.names_files
    assert annotations.faults == ()
    assert annotations.events == {
        "a.wav": [Event(0.5, 1.5, "dog bark")],
        "b.wav": [Event(2.0, 3.0, "car")],
    }


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.txt", "0.5\t1.5\tdog bark\n2\t3\tcar\n", "audacity"),
        ("a.ann", "0.5\t1.5\tdog bark\n2\t3\tcar\n", "tut"),
        ("a.txt", "0.5,1.5,dog bark\n2,3,car\n", "tut"),
        ("a.txt", "0.5 1.5 dog bark\n2 3 car\n", "tut"),
        ("a.txt", "0,500000\t1,500000\tdog bark\n2,000000\t3,000000\tcar\n", "audacity"),
        ("a.label", "0.5\t1.5\tdog bark\n\\\t100.0\t2000.0\n2\t3\tcar\n", "audacity"),
        ("a.txt", "dog bark\t0.5\t1.5\ncar\t2\t3\n", "audacity"),
    ],
    ids=["audacity", "tut", "commas", "blanks", "decimal commas", "frequencies", "label first"],
)
def test_lists_of_one_file(name: str, content: str, format: str, tmp_path: Path) -> None:
    annotations = read(tmp_path, content, name)
    assert annotations.format == format
    assert not annotations.names_files
    assert annotations.faults == ()
    assert annotations.events == {"a": [Event(0.5, 1.5, "dog bark"), Event(2.0, 3.0, "car")]}


def test_a_name_alone_is_a_recording_without_events(tmp_path: Path) -> None:
    rows = ["audio/a.wav\thome", "audio/b.wav", "audio/c.wav\thome\t0.0\t1.0\tdoor", "audio/d.wav"]
    expected = {
        "audio/a.wav": [],
        "audio/b.wav": [],
        "audio/c.wav": [Event(0.0, 1.0, "door")],
        "audio/d.wav": [],
    }

    assert read(tmp_path, "\n".join(rows)).events == expected
    assert read(tmp_path, "\n".join(rows[:2])).events == {"audio/a.wav": [], "audio/b.wav": []}


@pytest.mark.parametrize("name", ["a.txt", "a.ann"])
def test_an_empty_list_is_a_recording_without_events(name: str, tmp_path: Path) -> None:
    annotations = read(tmp_path, "\n", name)

    assert (annotations.faults, annotations.names_files) == ((), False)
    assert annotations.events == {"a": []}


def test_soft_labels_of_maestro_become_events(tmp_path: Path) -> None:
    """Segments of a second, by class or by second; above 0.5 is active."""
    by_second = [
        *("0\t1\tbirds_singing\t0.93", "0\t1\tcar\t0.0"),
        *("1\t2\tbirds_singing\t0.5", "1\t2\tcar\t0.51"),
        *("2\t3\tbirds_singing\t0.7", "2\t3\tcar\t1.0"),
    ]
    expected = [
        Event(0.0, 1.0, "birds_singing"),
        Event(1.0, 3.0, "car"),
        Event(2.0, 3.0, "birds_singing"),
    ]

    for rows in (by_second, sorted(by_second, key=lambda row: row.split("\t")[2])):
        annotations = read(tmp_path, "\n".join(rows))
        assert (annotations.format, annotations.faults) == ("tut", ())
        assert annotations.events == {"a": expected}
    assert read(tmp_path, "\n".join(by_second), soft_threshold=0.95).events == {
        "a": [Event(2.0, 3.0, "car")]
    }


def test_point_labels_of_audacity_need_a_duration(tmp_path: Path) -> None:
    content = "0.500000\t0.500000\tclick\n1.000000\t2.000000\thum\n"

    faults = read(tmp_path, content).faults
    events = read(tmp_path, content, event_duration_s=0.25).events

    assert len(faults) == 1
    assert "1 rows have an onset but no duration, the first in line 1" in faults[0].message
    assert events == {"a": [Event(0.5, 0.75, "click"), Event(1.0, 2.0, "hum")]}


def test_labels_of_old_audacity_are_points(tmp_path: Path) -> None:
    annotations = read(tmp_path, "0.5\tclick\n2\tclick\n", event_duration_s=0.25)

    assert annotations.format == "audacity"
    assert annotations.events == {"a": [Event(0.5, 0.75, "click"), Event(2.0, 2.25, "click")]}


def test_labels_may_be_numbers_or_look_like_anything(tmp_path: Path) -> None:
    labels = ["1", "0.5", '"', '"a" b', "#1", "a,b;c", "\\"]
    content = "".join(f"{i}\t{i + 0.5}\t{label}\n" for i, label in enumerate(labels))

    annotations = read(tmp_path, content)

    assert annotations.faults == ()
    assert [event.label for event in annotations.events["a"]] == labels


def test_faults_name_their_lines(tmp_path: Path) -> None:
    rows = [
        *("0\t1\tok", "2\t1\tback", "zero\t1\tword", "0\tinf\tend", "1_0\t11\tline", "3\t4\t"),
        *("3\t4\tx\ty", "0\t1\tok", "0,5\t1\tcomma", "3\t4.5\tok", "5\t5.5\t", "6\t7\tok"),
    ]

    faults = read(tmp_path, "\n".join(rows), "a.ann").faults

    assert [fault.line for fault in faults] == [2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert {fault.repair for fault in faults} == {"the row is dropped"}
    assert [str(fault).partition(": ")[2] for fault in faults] == [
        "offset 1 is not after onset 2",
        "onset 'zero' or offset '1' is not a number of seconds",
        "onset 0, offset inf: expected finite times of at least 0 s",
        "onset '1_0' or offset '11' is not a number of seconds",
        "onset '3', offset '4', label '': a field is empty",
        "4 fields, but most lines have 3",
        "the same event is listed twice",
        "onset '0,5' or offset '1' is not a number of seconds; expected a decimal point",
        "onset '5', offset '5.5', label '': a field is empty",
    ]


def test_an_onset_just_before_the_start_is_moved_there(tmp_path: Path) -> None:
    annotations = read(tmp_path, "-0.01\t1\tx\n")

    assert [fault.repair for fault in annotations.faults] == ["the onset becomes 0"]
    assert annotations.events == {"a": [Event(0.0, 1.0, "x")]}


@pytest.mark.parametrize(
    "content",
    [
        "my rec 1.wav 0.5 1.5 dog bark\nb.wav 2 3 car\n",
        "file onset offset label\nmy rec 1.wav 0.5 1.5 dog bark\nb.wav 2 3 car\n",
    ],
    ids=["list", "table"],
)
def test_blanks_before_the_ending_of_a_recording_are_of_its_name(
    content: str, tmp_path: Path
) -> None:
    annotations = read(tmp_path, content)

    assert annotations.faults == ()
    assert annotations.events == {
        "my rec 1.wav": [Event(0.5, 1.5, "dog bark")],
        "b.wav": [Event(2.0, 3.0, "car")],
    }


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("site 0 0.5 1.5 dog\nb 1 2 car\nc 1 2 car\n", 1),
        ("file onset offset label\nsite 0 0.5 1.5 dog\nb 1 2 car\n", 2),
        ("b,1,2,car\nc,1,2,car\na, b.wav,0,1,dog\n", 3),
        ("a, b.wav,0,1,dog\n", 1),
    ],
)
def test_fields_that_a_name_may_have_shifted_are_a_fault(
    content: str, line: int, tmp_path: Path
) -> None:
    assert [fault.line for fault in read(tmp_path, content).faults] == [line]


def test_scenes_between_blanks_cannot_be_distinguished_from_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is not a known format"):
        read(tmp_path, "site A 0.5 1.5 dog\nsite B 0.5 1.5 car\n")
