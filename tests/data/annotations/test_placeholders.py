"""Recordings without events as programs write them, and values that are not soft labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, read_annotations
from sed_cli.data.listing import Reading, list_recordings

HEADER = "filename,onset,offset,event_label\n"


def read(folder: Path, content: str, name: str = "t.csv", **options: bool) -> Annotations:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_annotations(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "nothing", ["NaN", "nan", "NA", "None", "null", "NULL", "<NA>", "N/A", "-", ""]
)
def test_a_row_of_placeholders_is_a_recording_without_events(nothing: str, tmp_path: Path) -> None:
    table = f"{HEADER}a.wav,{nothing},{nothing},{nothing}\nb.wav,0,1,x\n"
    listed = f"a.wav\t{nothing}\t{nothing}\t{nothing}\nb.wav\t0\t1\tx\n"
    for content, name in ((table, "t.csv"), (listed, "t.txt")):
        annotations = read(tmp_path, content, name)
        assert annotations.faults == ()
        assert annotations.events == {"a.wav": [], "b.wav": [Event(0.0, 1.0, "x")]}
        assert (f"rows of {nothing}, read as" in str(annotations.taken)) == bool(nothing)


def test_an_event_at_zero_without_length_and_label_is_a_placeholder(tmp_path: Path) -> None:
    annotations = read(tmp_path, f"{HEADER}a.wav,0,0,\nb.wav,0.000,0.0,none\nc.wav,0,0,x\n")

    assert annotations.events == {"a.wav": [], "b.wav": []}
    assert [fault.line for fault in annotations.faults] == [4]


def test_a_label_that_looks_like_a_placeholder_is_one_where_it_has_times(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HEADER}a.wav,0,1,NA\n").events == {"a.wav": [Event(0.0, 1.0, "NA")]}


def test_a_label_without_times_is_a_fault_that_names_the_lost_recording(tmp_path: Path) -> None:
    annotations = read(tmp_path, f"{HEADER}a.wav,NaN,NaN,x\nb.wav,NA,1,x\nb.wav,1,2,x\n")

    assert [(fault.line, fault.repair) for fault in annotations.faults] == [
        (2, "the row is dropped, and with it 'a.wav', which has no other row"),
        (3, "the row is dropped"),
    ]


def test_a_recording_is_left_out_with_the_only_rows_of_its_file(tmp_path: Path) -> None:
    """Otherwise it would count as a recording without events."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").touch()
    (tmp_path / "a.txt").write_text("2\t1\tx\n")
    (tmp_path / "b.txt").write_text("1\t2\tx\n")
    (tmp_path / "c.txt").write_text("")

    listed, faults = list_recordings(tmp_path, tmp_path, Reading())

    assert [(one.name, len(one.labels)) for one in listed] == [("b.wav", 1), ("c.wav", 0)]
    assert [fault.repair for fault in faults] == [
        "the row is dropped, and with it 'a', which has no other row"
    ]


def test_a_fault_that_costs_no_row_leaves_a_recording_without_events(tmp_path: Path) -> None:
    header = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\tN\xe4he\n"
    (tmp_path / "a.txt").write_bytes(header.encode("cp1252"))

    annotations = read_annotations(tmp_path / "a.txt")

    assert [fault.repair for fault in annotations.faults] == ["read as cp1252"]
    assert annotations.events == {"a": []}


RAVEN = (
    "Selection\tView\tBegin Time (s)\tEnd Time (s)\tCommon Name\tSpecies Code\tBegin Path\n"
    "1\tSpectrogram 1\t0\t3\t{0}\t{0}\t/data/a.wav\n"
)
BIRDNET = "Start (s),End (s),Scientific name,Common name,Confidence,File\n"


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("a.BirdNET.selection.table.txt", RAVEN, "a.wav"),
        ("a.BirdNET.results.txt", "0\t3\t{0}\t1.0\n", "a.BirdNET.results"),
        ("a.BirdNET.results.csv", BIRDNET + "0,3,{0},{0},1.0,a.wav\n", "a.wav"),
        ("a.BirdNET.results.csv", BIRDNET, "a"),
        (
            "a.csv",
            "filepath,start,end,scientific_name,common_name,confidence\na.wav,0,3,{0},{0},1\n",
            "a.wav",
        ),
        (
            "a.csv",
            "FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name\n,a.wav,0,3,{0},{0}\n",
            "a.wav",
        ),
    ],
    ids=["raven", "audacity", "csv", "empty csv", "r", "kaleidoscope"],
)
@pytest.mark.parametrize("label", ["nocall", "NoCall", "No call"])
def test_no_call_of_birdnet_is_a_recording_without_events(
    label: str, name: str, content: str, key: str, tmp_path: Path
) -> None:
    annotations = read(tmp_path, content.replace("{0}", label), name)

    assert annotations.faults == ()
    assert annotations.events == {key: []}


def test_labels_of_whole_recordings_have_placeholders_too(tmp_path: Path) -> None:
    annotations = read(tmp_path, "file,label\na,nocall\nb,NaN\nc,x\n", whole_clips=True)

    assert {name: len(events) for name, events in annotations.events.items()} == {
        "a": 0,
        "b": 0,
        "c": 1,
    }


# ------------------------------------------------------------------------------ soft labels


CONFIDENCES = "0\t3\tTit\t0.91\n0\t3\tWren\t0.30\n3\t6\tTit\t0.48\n9\t12\tWren\t0.5\n"
GRID = "".join(
    f"{second}\t{second + 1}\t{label}\t{value}\n"
    for second in range(3)
    for label, value in (("car", 0.9), ("bird", 0.0), ("voice", 0.6))
)


def test_confidences_are_no_soft_labels_and_are_counted(tmp_path: Path) -> None:
    """Five detections of BirdNET, three of them at most 0.5."""
    annotations = read(tmp_path, CONFIDENCES, "a.txt")

    assert len(annotations.events["a"]) == 4
    note, low = annotations.taken.notes
    assert "read as confidences" in note
    assert "data.soft_labels=true" in note
    assert note.endswith(": 4")
    assert low == "of these values at most 0.5: 3"


def test_a_grid_of_values_for_every_class_is_one_of_soft_labels(tmp_path: Path) -> None:
    expected = {"a": [Event(0.0, 3.0, "car"), Event(0.0, 3.0, "voice")]}
    for content in (GRID, GRID.replace(".", ",")):
        annotations = read(tmp_path, content, "a.txt")
        assert annotations.events == expected
        assert annotations.taken.notes == ("soft labels of at most 0.5, not counted as events: 3",)


def test_what_values_are_can_be_declared(tmp_path: Path) -> None:
    soft = read(tmp_path, CONFIDENCES, "a.txt", soft_labels=True)
    hard = read(tmp_path, GRID, "a.txt", soft_labels=False)

    assert soft.events == {"a": [Event(0.0, 3.0, "Tit")]}
    assert len(hard.events["a"]) == 9
    assert hard.taken.notes == ()
