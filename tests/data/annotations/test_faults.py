"""Faults: reported all at once, or repaired and reported if that is safe."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from sed_cli.data.annotations import Event, Fault, check_faults, read_annotations
from sed_cli.errors import DataError

HEADER = "filename\tonset\toffset\tevent_label\n"


def test_no_faults_are_no_trouble() -> None:
    check_faults([], strict=True)
    check_faults([], strict=False)


def test_strict_refuses_all_with_file_and_line() -> None:
    faults = [
        Fault(Path("a.tsv"), 3, "first", "the row is dropped"),
        Fault(Path("a.tsv"), None, "second"),
        Fault(Path("b.tsv"), 1, "third", "read as cp1252"),
    ]

    with pytest.raises(DataError) as raised:
        check_faults(faults, strict=True)

    assert str(raised.value) == (
        "a.tsv: line 3: first; second; b.tsv: line 1: third; correct this, or set "
        "data.strict=false: read as cp1252, the row is dropped"
    )
    assert str(faults[0]) == "a.tsv, line 3: first"


def test_many_faults_are_counted_rather_than_listed() -> None:
    faults = [Fault(Path("a.tsv"), line, "bad", "the row is dropped") for line in range(500)]

    with pytest.raises(DataError, match="and 490 more; correct this") as raised:
        check_faults(faults, strict=True)

    assert str(raised.value).count("line ") == 10


def test_repairs_are_reported_and_what_cannot_be_repaired_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repaired = [Fault(Path("a.tsv"), line, "bad", "the row is dropped") for line in range(12)]

    with caplog.at_level(logging.WARNING):
        check_faults(repaired, strict=False)

    assert caplog.messages[0] == "a.tsv, line 0: bad: the row is dropped"
    assert len(caplog.messages) == 11
    assert "2 more" in caplog.messages[-1]
    with pytest.raises(DataError) as raised:
        check_faults([*repaired, Fault(Path("b.tsv"), 4, "worse")], strict=False)
    assert str(raised.value) == "b.tsv: line 4: worse"


def test_another_encoding_is_a_fault_that_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes((HEADER + "a.wav\t0\t1\tx\nb.wav\t0\t1\tété\n").encode("cp1252"))

    annotations = read_annotations(path)

    (fault,) = annotations.faults
    assert str(fault) == f"{path}, line 3: not in UTF-8 (byte 0xe9); save it as UTF-8"
    assert fault.repair == "read as cp1252"
    assert annotations.events["b.wav"] == [Event(0.0, 1.0, "été")]


def test_bytes_that_no_windows_encoding_has_are_taken_for_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(HEADER.encode() + b"a.wav\t0\t1\t\x81\xe9\n")

    annotations = read_annotations(path)

    assert [fault.repair for fault in annotations.faults] == ["read as latin-1"]
    assert annotations.events["a.wav"][0].label.endswith("é")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_simply_work(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes((HEADER + "é.wav\t0\t1\tété 🐦\n").encode(encoding))

    annotations = read_annotations(path)

    assert (annotations.format, annotations.faults) == ("desed", ())
    assert annotations.events == {"é.wav": [Event(0.0, 1.0, "été 🐦")]}


def test_a_broken_file_with_a_mark_is_recognised_by_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes((HEADER + "a.wav\t0\t1\tx\n").encode("utf-8-sig") + b"\xe9\n")

    assert "line 3: not in UTF-8 (byte 0xe9)" in str(read_annotations(path).faults[0])


def test_rows_hold_what_is_left_after_repairs(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    rows = ["a.wav\t0\t1\tx", "a.wav\t0\t1\tx", "a.wav\t-1\t2\ty", "a.wav\t3\t2\tz", "b.wav\t\t\t"]
    path.write_text(HEADER + "\n".join(rows))

    annotations = read_annotations(path)

    assert [(row.filename, row.line) for row in annotations.rows] == [
        ("a.wav", 2),
        ("a.wav", 4),
        ("b.wav", 6),
    ]
    assert [(fault.line, fault.repair) for fault in annotations.faults] == [
        (3, "the row is dropped"),
        (4, "the onset becomes 0"),
        (5, "the row is dropped"),
    ]
    assert annotations.events == {
        "a.wav": [Event(0.0, 1.0, "x"), Event(0.0, 2.0, "y")],
        "b.wav": [],
    }


def test_a_folder_is_no_annotation_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder instead of the annotation file"):
        read_annotations(tmp_path)


def test_reading_leaves_the_garbage_collector_as_it_was(tmp_path: Path) -> None:
    assert gc.isenabled()
    with pytest.raises(DataError):
        read_annotations(tmp_path / "nowhere.tsv")
    assert gc.isenabled()
