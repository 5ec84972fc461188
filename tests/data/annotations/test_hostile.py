"""For any file content, a reader returns events, faults, or one clear refusal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import FORMATS, Annotations, read_annotations, text
from sed_cli.data.relabelling import Relabelling
from sed_cli.errors import DataError, UserError

FIELDS = st.sampled_from(
    (
        *("0", "1.5", "2,5", "1,234", "1.234,5", "1'234.5", "1e400", "-1", "nan", "inf", "NA", ""),
        *("00:00:01.00", "1:2", "99:99", "2024-05-01", "a.wav", "b c.wav", "dog", "no call", '"'),
        *("SPEAKER", "<NA>", "1", "#", "\\", "0.7", "x" * 300, "\ud800", "٣", "²", "{", "[" * 50),
        *("filename", "onset", "offset", "duration", "label", "species", "event", "time", "DATE"),
        *("onset_ms", "t_min", "soft_label", "Begin Time (s)", "Selection", "View", "in file"),
        *(
            "File Offset (s)",
            "onset_samples",
            "notated_path",
            '"a',
            '"x""',
            "\u2028",
            "\x1c",
            "1_0",
        ),
    )
)
LINES = st.lists(st.lists(FIELDS, max_size=11), max_size=6)
JSON = st.recursive(
    st.sampled_from((None, True, 0, 1.5, -1, 10**400, float("nan"), "x", "\ud800", "tag_open", "")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("annotations", "namespace", "data", "time", "duration", "value", "label")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def read_or_refuse(path: Path, **options: Any) -> Annotations | None:
    read, refusal = None, ""
    try:
        read = read_annotations(path, **options)
    except DataError as error:
        refusal = str(error)
    if read is None:
        assert refusal.startswith(str(path))
        assert len(refusal) < 2500
        assert "\n" not in refusal
        return None
    for event in (row.event for row in read.rows if row.event):
        assert 0 <= event.onset_s < event.offset_s
        event.label.encode()
    assert all(len(str(fault)) < 2500 for fault in read.faults)
    assert len(str(read.taken)) < 2500
    return read


@pytest.mark.parametrize("format", [None, *FORMATS])
def test_any_lines_are_read_or_refused(
    format: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.txt"

    @settings(max_examples=30, deadline=None)
    @given(
        lines=LINES,
        delimiter=st.sampled_from("\t,; "),
        whole_clips=st.booleans(),
        time_unit=st.sampled_from(("auto", "ms", "samples")),
        soft_labels=st.sampled_from((None, True)),
    )
    def read(lines: list[list[str]], delimiter: str, **options: Any) -> None:
        content = "\n".join(delimiter.join(line) for line in lines)
        path.write_bytes(content.encode(errors="surrogatepass"))
        read_or_refuse(path, format=format, **options)

    read()


def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.jams"

    @settings(max_examples=50, deadline=None)
    @given(content=JSON, data=JSON)
    @example(content={}, data=[{"time": 10**400, "duration": 1, "value": "x"}])
    @example(content={}, data={"time": [1, 2], "duration": [1], "value": ["x", "y"]})
    @example(content={"annotations": [{"data": []}]}, data=[])
    def read(content: Any, data: Any) -> None:
        for whole in (content, {"annotations": [{"namespace": "tag_open", "data": data}]}):
            path.write_text(json.dumps(whole), encoding="utf-8")
            read_or_refuse(path)
            read_or_refuse(path, format="jams")

    read()


def test_json_of_any_depth_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jams"
    path.write_text('{"annotations": ' + "[" * 200_000)
    with pytest.raises(DataError, match=r"a\.jams: JSON with thousands of nested brackets"):
        read_annotations(path)


def test_an_annotation_without_a_namespace_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jams"
    path.write_text('{"annotations": [{"data": []}, {"namespace": "tag_open", "data": []}]}')

    assert [fault.message for fault in read_annotations(path).faults] == [
        "annotations[0]: no namespace"
    ]


# Anything slower than linear time would not finish here.
LONG = ["_", ".", " ", "(", "[", '"', '"" ', "a_", "(s) ", "1,", "0:", "'", "\\", "-", "a.wav "]


@pytest.mark.parametrize("piece", LONG)
def test_long_headers_and_lines_take_no_longer_than_they_are(piece: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    long = piece * 20_000
    for content in (
        f"filename,onset,offset,event_label{long}\na.wav,0,1,x\n",
        f"{long},filename,onset,offset,event_label\nx,a.wav,0,1,x\n",
        f"filename,onset,offset,event_label\n{long},0,{long},x\na.wav,0,1,{long}\n",
        f"0\t1\t{long}\n2\t3\t{long}\n",
        f"SPEAKER {long} 1 0 1 <NA> <NA> x <NA> <NA>\n",
        f"Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation{long}\n1\tx\t0\t1\tdog\n",
    ):
        path.write_text(content)
        read_or_refuse(path)


@pytest.mark.parametrize("name", ["a.phn", "a.lab", "a.mlf"])
def test_blanks_within_a_label_take_no_longer_than_they_are(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(f"0 16000 a{' ' * 100_000}b\n")
    before = time.process_time()
    read_or_refuse(path)
    assert time.process_time() - before < 1


def test_open_quotation_marks_in_every_line_are_looked_at_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_characters = 0
    block = text._block

    def counted(*args: Any) -> Iterator[str]:
        nonlocal n_characters
        for line in block(*args):
            n_characters += len(line)
            yield line

    monkeypatch.setattr(text, "_block", counted)
    lines = ['"x""' + "y" * 2000] * 200

    assert len(list(text.split_lines(lines, ",", quotes=True))) == len(lines)
    assert n_characters < 15 * sum(map(len, lines))


def test_a_line_longer_than_any_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("file,onset,offset,label\na.wav,0,1,x\n" + "y" * 1_000_001)
    with pytest.raises(DataError, match=r"a\.csv: line 3: 1000001 characters"):
        read_annotations(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(DataError, match="is not a regular file"):
            read_annotations(tmp_path / name)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # takes no space on the disk
    with pytest.raises(DataError, match=r"a\.csv: 1,073\.7 MB, but annotation files are limited"):
        read_annotations(path)


def test_a_name_that_no_file_can_have_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"file,onset,offset,label\n{'x' * 300}.wav,0,1,dog\na.wav,0,1,dog\n")

    read = read_annotations(path)

    assert [fault.line for fault in read.faults] == [2]
    assert "has 304 bytes: no file can have this name" in read.faults[0].message
    assert list(read.events) == ["a.wav"]
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        read_annotations(tmp_path / ("y" * 300))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_file_of_too_many_lines_is_refused_unless_that_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("SEDTF_MOST_LINES", "1000")
    path = tmp_path / "a.csv"
    content = "file,onset,offset,label\n" + "a.wav,0,1,x\n" * 1000
    path.write_text(content.replace("\n", end), newline="")
    with pytest.raises(DataError, match="more than 1,000 lines, the limit of annotation files"):
        read_annotations(path)
    monkeypatch.setenv("SEDTF_MOST_LINES", "2000")
    assert len(read_annotations(path).events["a.wav"]) > 0
    monkeypatch.setenv("SEDTF_MOST_LINES", "many")
    with pytest.raises(UserError, match="SEDTF_MOST_LINES=many: expected a number of lines"):
        read_annotations(path)


HUGE = "1" + "0" * 400
_WHOMBAT = {
    "data": {
        "recordings": [{"uuid": "r", "path": "a.wav"}],
        "sound_events": [
            {
                "uuid": "s",
                "recording": "r",
                "geometry": {"type": "LineString", "coordinates": [[int(HUGE), 1], [2, 3]]},
            }
        ],
        "sound_event_annotations": [{"uuid": "x", "sound_event": "s", "tags": [1]}],
        "tags": [{"id": 1, "key": "species", "value": "owl"}],
    }
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("whombat.json", json.dumps(_WHOMBAT)),
        ("htk.lab", f"{HUGE} {HUGE}1 a\n"),
        ("htk.lab", f"1{'0' * 5000} 1{'0' * 5001} a\n"),
    ],
)
def test_numbers_that_are_too_large_are_faults(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    read = read_annotations(tmp_path / name)
    assert len(read.faults) == 1
    assert read.rows == ()


def test_a_cell_that_is_too_long_for_a_table_is_reported(tmp_path: Path) -> None:
    long = "x" * 200_000
    header = "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,"
    (tmp_path / "via.csv").write_text(f'{header}metadata\n"1","[""a.wav""]",0,"[1,2]",[],{long}\n')
    with pytest.raises(DataError, match=r"via\.csv, line 2: not a CSV row: field larger"):
        read_annotations(tmp_path / "via.csv")
    (tmp_path / "labels.csv").write_text(f"old,new\na,{long}\n")
    with pytest.raises(DataError, match=r"labels\.csv: not a table of labels: field larger"):
        Relabelling.of(AnnotatedConfig(relabel=str(tmp_path / "labels.csv")))
