"""Tables with a header: what is written can be read, and faults are reported with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Event, check_faults, read_annotations, write_annotations
from sed_cli.errors import DataError

HEADER = "filename\tonset\toffset\tevent_label\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_text(folder: Path, content: str | bytes) -> dict[str, list[Event]]:
    annotations = read_annotations(written(folder, content))
    check_faults(annotations.faults, strict=True)
    return annotations.events


def fault_of(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as raised:
        read_text(folder, content)
    message = str(raised.value)
    assert message.startswith(str(folder / "table.tsv"))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("label", ['dog "big"', "a\\b", "'", "NA", "null", "#1", "a,b", "été 🐦"])
def test_odd_labels_and_file_names_come_back_as_they_are(label: str, tmp_path: Path) -> None:
    table = {f"{label} 1.wav": [Event(0.25, 0.5, label)], "with space.wav": []}

    write_annotations(tmp_path / "t.tsv", table)

    assert read_annotations(tmp_path / "t.tsv").events == table


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "a.wav\t0\t1\tx\n",
        HEADER + "a.wav\t0\t1\tx",
        HEADER + "a.wav\t0\t1\tx\n\n\n",
        HEADER + "\na.wav\t0\t1\tx\n\t\t\t\n",
        (HEADER + "a.wav\t0\t1\tx\n").replace("\n", "\r\n"),
        (HEADER + "a.wav\t0\t1\tx\n").replace("\n", "\r"),
        b"\xef\xbb\xbf" + (HEADER + "a.wav\t0\t1\tx\n").encode(),
        HEADER + " a.wav\t0.0 \t 1e0\tx \n",
        "event_label\tfilename\tnote\tonset\toffset\nx\ta.wav\tloud\t0\t1\n",
    ],
    ids=["plain", "no newline", "blank end", "blanks", "crlf", "cr", "bom", "spaces", "columns"],
)
def test_every_spelling_of_the_table_is_the_same_table(
    content: str | bytes, tmp_path: Path
) -> None:
    assert read_text(tmp_path, content) == {"a.wav": [Event(0.0, 1.0, "x")]}


def test_events_are_in_order_of_onset_and_files_in_that_of_the_table(tmp_path: Path) -> None:
    rows = "b.wav\t2\t3\tx\na.wav\t\t\t\nb.wav\t0\t1\ty\nc.wav\n"

    table = read_text(tmp_path, HEADER + rows)

    assert list(table) == ["b.wav", "a.wav", "c.wav"]
    assert table == {
        "b.wav": [Event(0.0, 1.0, "y"), Event(2.0, 3.0, "x")],
        "a.wav": [],
        "c.wav": [],
    }


def test_all_faults_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    rows = [
        "a.wav\t0\t1\tx",
        "\t0\t1\tx",
        "a.wav\tzero\t1\tx",
        "a.wav\t0,5\t1.5\tx",
        "a.wav\t2\t1\tx",
        "a.wav\t1\t1\tx",
        "a.wav\t-1\t1\tx",
        "a.wav\tnan\t1\tx",
        "a.wav\t0\tinf\tx",
    ]

    message = fault_of(tmp_path, HEADER + "\n".join(rows))

    for line in range(3, 11):
        assert f"line {line}: " in message
    assert "line 2: " not in message


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b.wav\t0\t1\tx\na.wav\t0\t1\t", "a field is empty"),
        ("a.wav\t\t1\tx", "a field is empty"),
        ("b.wav\t0\t1\tx\na.wav\t0\t1", "a field is empty"),
        ("a.wav\t0\t1\tx\ty", "5 fields"),
        ("a.wav\t0\t1\tx\na.wav\t0\t1\tx", "line 3: the same event is listed twice"),
    ],
)
def test_a_fault_names_the_problem(row: str, reason: str, tmp_path: Path) -> None:
    assert reason in fault_of(tmp_path, HEADER + row + "\n")


def test_many_faults_are_counted_rather_than_listed(tmp_path: Path) -> None:
    message = fault_of(tmp_path, HEADER + "a.wav\t2\t1\tx\n" * 500)

    assert "and 490 more" in message
    assert len(message) < 2000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        (HEADER, "no rows"),
        ("file\tonset\toffset\tkind\na.wav\t0\t1\tx\n", "data.columns.event_label=NAME"),
        ((HEADER + "a.wav\t0\t1\tété\n").encode("latin-1"), "UTF-8"),
        (HEADER.encode("utf-16-le"), "UTF-8"),
        (b"RIFF\0\0\0\0WAVEfmt ", "UTF-8"),
        ("Dear annotators,\nplease find the sounds attached.\n", "not a known format"),
    ],
    ids=["empty", "header only", "column", "latin-1", "utf-16 without mark", "audio", "prose"],
)
def test_what_is_no_table_is_refused(content: str | bytes, reason: str, tmp_path: Path) -> None:
    assert reason in fault_of(tmp_path, content)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.tsv: no such annotation file"):
        read_annotations(tmp_path / "nowhere.tsv")


# ----------------------------------------------------------------------------- other headers


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("fname,start,end,label\na.wav,0.5,1,x\n", ("a.wav", 0.5, 1.0, "x")),
        ("label;end;start;file\nx;1,25;0,5;a.wav\n", ("a.wav", 0.5, 1.25, "x")),
        (
            "File\tBegin Time (s)\tEnd Time (s)\tSpecies\na.wav\t0.5\t1\tx\n",
            ("a.wav", 0.5, 1.0, "x"),
        ),
        ("filename,onset,duration,class\na.wav,0.1,0.2,x\n", ("a.wav", 0.1, 0.3, "x")),
        ("audio_filename,onset_ms,dur_ms,category\na.wav,500,250,x\n", ("a.wav", 0.5, 0.75, "x")),
        (
            "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nb0_30\t0\t10\t/m/0\n",
            ("b0_30", 0.0, 10.0, "/m/0"),
        ),
        (
            "slice_file_name,fsID,start,end,classID,class\na.wav,7,0.5,1,3,x\n",
            ("a.wav", 0.5, 1.0, "x"),
        ),
        (
            "Start (s),End (s),Scientific name,Common name,File\n0,3,Parus,x,a.wav\n",
            ("a.wav", 0.0, 3.0, "x"),
        ),
        ("#file onset offset event_label\na.wav 0.5 1 dog bark\n", ("a.wav", 0.5, 1.0, "dog bark")),
        (
            "# made by a tool\n# twice\nfile,onset,offset,label\na.wav,0.5,1,x\n",
            ("a.wav", 0.5, 1.0, "x"),
        ),
        (
            '"file","onset","offset","label"\n"a, b.wav","0.5","1","say ""x"""\n',
            ("a, b.wav", 0.5, 1.0, 'say "x"'),
        ),
        ('file,onset,offset,label,note\na.wav,0.5,1,x,"two\nlines"\n', ("a.wav", 0.5, 1.0, "x")),
        ("file,onset,offset,label,,\na.wav,0.5,1,x,,\n", ("a.wav", 0.5, 1.0, "x")),
    ],
    ids=[
        *("csv", "semicolons and decimal commas", "capitals and units", "duration", "milliseconds"),
        *("audioset", "urbansound8k", "birdnet", "blanks", "comments", "quotes"),
        *("line break in quotes", "empty columns"),
    ],
)
def test_columns_are_known_by_the_names_they_come_with(
    content: str, expected: tuple[str, float, float, str], tmp_path: Path
) -> None:
    filename, *event = expected
    annotations = read_annotations(written(tmp_path, content))
    assert annotations.format == "csv"
    assert annotations.names_files
    assert annotations.faults == ()
    assert annotations.events == {filename: [Event(*event)]}


def test_a_table_without_names_belongs_to_the_recording_of_its_stem(tmp_path: Path) -> None:
    for content, events in (
        ("onset,offset,label\n0,1,x\n", [Event(0.0, 1.0, "x")]),
        ("onset,offset,label\n", []),
    ):
        annotations = read_annotations(written(tmp_path, content))
        assert not annotations.names_files
        assert annotations.faults == ()
        assert annotations.events == {"table": events}


def test_columns_maps_names_that_cannot_be_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, "id,von,bis,Art,label\na.wav,0.5,1,x,wrong\n")
    columns = {"filename": "id", "onset": "von", "offset": "BIS", "event_label": "Art"}

    annotations = read_annotations(path, columns={**columns, "soft_label": None})

    assert annotations.events == {"a.wav": [Event(0.5, 1.0, "x")]}


def test_an_offset_is_an_onset_where_its_maker_means_that(tmp_path: Path) -> None:
    """In Kaleidoscope and NeMo; for others the user is asked."""
    for name in ("IN FILE", "audio_filepath"):
        path = written(tmp_path, f"{name},OFFSET,DURATION,species\na.wav,3.0,0.5,x\n")
        assert read_annotations(path).events == {"a.wav": [Event(3.0, 3.5, "x")]}
    path = written(tmp_path, "file,OFFSET,DURATION,species\na.wav,3.0,0.5,x\n")
    with pytest.raises(DataError, match=r"no onset; .*data\.columns\.onset=NAME"):
        read_annotations(path)
    assert read_annotations(path, columns={"onset": "OFFSET"}).events == {
        "a.wav": [Event(3.0, 3.5, "x")]
    }


@pytest.mark.parametrize(
    ("content", "columns", "reason"),
    [
        (
            "file,onset,offset,label\n",
            {"event_label": "kind"},
            "no 'kind', set by data.columns.event_label",
        ),
        ("file,onset_samples,label\n", {}, "set data.time_unit=samples"),
        ("file,start_sample,label\n", {"onset": "start_sample"}, "set data.time_unit=samples"),
        ("file,onset,stop (frames),label\n", {"offset": "stop (frames)"}, "convert it"),
        ("file,start (%),stop (%),label\n", {"onset": "start (%)"}, "unit is unknown"),
        ("file,start_ns,stop_ns,label\n", {"onset": "start_ns"}, "unit is unknown"),
        ("file,start,label,class\n", {"onset": "label", "event_label": "none"}, "no 'none'"),
    ],
)
def test_columns_that_cannot_be_used_are_named(
    content: str, columns: dict[str, str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as raised:
        read_annotations(written(tmp_path, content), columns=columns)
    assert reason in str(raised.value)


def test_columns_of_one_name_are_refused_where_they_differ(tmp_path: Path) -> None:
    header = "file,onset,onset,offset,label\n"

    assert "2 columns are named 'onset'" in fault_of(tmp_path, f"{header}a.wav,1,3,4,x\n")
    assert read_annotations(written(tmp_path, f"{header}a.wav,1,1,4,x\n")).events == {
        "a.wav": [Event(1.0, 4.0, "x")]
    }


def test_other_columns_of_times_are_named_where_they_differ(tmp_path: Path) -> None:
    header = "file,onset,start,begin,end,label\n"

    taken = str(read_annotations(written(tmp_path, f"{header}a.wav,1,2,1,4,x\n")).taken)

    assert "onset=onset (s) (or start)" in taken


def test_a_header_that_nothing_is_known_of_asks_for_columns(tmp_path: Path) -> None:
    message = fault_of(tmp_path, "id,art,von,bis\na.wav,x,0.5,1\n")

    assert "line 1: a header with id, art, von, bis?" in message
    assert "data.columns" in message


def test_onsets_alone_need_a_duration_and_say_so_once(tmp_path: Path) -> None:
    path = written(tmp_path, "file,time,species\na.wav,0.5,x\nb.wav,1.5,y\nb.wav,2,y\n")

    faults = read_annotations(path).faults
    events = read_annotations(path, event_duration_s=0.2).events

    assert [(fault.line, fault.repair) for fault in faults] == [(None, None)]
    assert "3 rows have an onset but no duration, the first in line 2" in faults[0].message
    assert "data.event_duration_s" in faults[0].message
    assert events == {
        "a.wav": [Event(0.5, 0.7, "x")],
        "b.wav": [Event(1.5, 1.7, "y"), Event(2.0, 2.2, "y")],
    }


def test_a_duration_is_only_for_the_rows_that_have_none(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "a.wav\t0\t1\tx\na.wav\t2\t\tx\na.wav\t3\t3\tx\n")

    annotations = read_annotations(path, event_duration_s=0.25)

    assert annotations.faults == ()
    assert annotations.events == {
        "a.wav": [Event(0.0, 1.0, "x"), Event(2.0, 2.25, "x"), Event(3.0, 3.25, "x")]
    }


def test_soft_labels_above_the_threshold_become_events(tmp_path: Path) -> None:
    """Consecutive rows are merged; a recording with none stays in the data set."""
    rows = ["b.wav,0,1,x,0.5", "a.wav,0,1,x,0.9", "a.wav,2,3,x,0.7", "a.wav,1,2,x,0.51"]
    path = written(tmp_path, "\n".join(["file,onset,offset,label,soft_label", *rows]))

    assert read_annotations(path).events == {"b.wav": [], "a.wav": [Event(0.0, 3.0, "x")]}
    assert read_annotations(path, soft_threshold=0.6).events == {
        "b.wav": [],
        "a.wav": [Event(0.0, 1.0, "x"), Event(2.0, 3.0, "x")],
    }


def test_a_soft_label_that_is_none_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path, "file,onset,offset,label,soft_label\na,0,1,x,2\na,0,1,y,high\n")

    faults = read_annotations(path).faults

    assert [fault.line for fault in faults] == [2, 3]
    assert all("expected a number from 0 to 1" in fault.message for fault in faults)


def test_a_comma_in_a_label_without_quotation_marks_is_explained(tmp_path: Path) -> None:
    message = fault_of(tmp_path, "file,onset,offset,label\na.wav,0,1,dog, big\n")

    assert "line 2: 5 fields, but the header has 4; a label with a comma needs quotation" in message


def test_what_is_no_rule_of_quotation_stands_as_it_is(tmp_path: Path) -> None:
    rows = ['a.wav\t0\t1\t"open', 'a.wav\t1\t2\t5" pipe', 'a.wav\t2\t3\t"done" then']

    assert [event.label for event in read_text(tmp_path, HEADER + "\n".join(rows))["a.wav"]] == [
        '"open',
        '5" pipe',
        '"done" then',
    ]


def test_lines_after_a_broken_quoted_field_keep_their_numbers(tmp_path: Path) -> None:
    content = 'file,onset,offset,label\n"a\nb.wav",0,1,x\na.wav,2,1,x\n'

    assert "line 4: offset 1 is not after onset 2" in fault_of(tmp_path, content)
