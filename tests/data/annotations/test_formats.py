"""All formats: round trips, recognition by content, and compatibility with other tools."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
import sed_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.data.annotations import (
    FORMATS,
    WRITTEN,
    Detection,
    Event,
    Findings,
    check_faults,
    dump_annotations,
    dump_findings,
    read_annotations,
    write_annotations,
)
from sed_cli.errors import DataError
from sed_cli.system.text import fault_of_label, plain

Table = dict[str, list[Event]]

# Anything except the ends of fields and lines; readers strip white space around a field. File
# names have at most 255 bytes.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), min_size=1, max_size=60
)
# Control characters are escaped when read; spreadsheet formulas are refused.
WORDS = TEXTS.filter(
    lambda text: text == text.strip() == plain(text) and fault_of_label(text) is None
)
# RTTM consists of words, and names files without their endings.
SHORT_WORDS = WORDS.filter(lambda text: not set(text) & set(".<#;/") and len(text.split()) == 1)

TABLE = {
    "kitchen 1.wav": [Event(0.25, 1.5, "dog bark"), Event(1.0, 1.000001, "éclat, «x»")],
    "street.flac": [Event(0.0, 3661.123456, "car")],
}


@st.composite
def events(draw: st.DrawFn, labels: st.SearchStrategy[str]) -> Event:
    onset = draw(st.integers(0, 10**10))  # microseconds, up to some hours
    offset = onset + draw(st.integers(1, 10**9))
    return Event(onset / 1e6, offset / 1e6, draw(labels))


@st.composite
def tables(draw: st.DrawFn, format: str) -> Table:
    """Recordings that the format can represent."""
    words = SHORT_WORDS if format == "rttm" else WORDS
    of_file = st.lists(events(words), unique=True, max_size=4)
    if not WRITTEN[format].names_files:
        return {"round_trip": draw(of_file)}
    names = words if format in ("rttm", "desed", "csv", "raven") else words.map("{}.wav".format)
    table = draw(st.dictionaries(names, of_file, min_size=1, max_size=4))
    if format in ("rttm", "raven"):  # where recordings without events do not stand
        table = {name: found for name, found in table.items() if found}
    return table


@pytest.mark.parametrize("format", WRITTEN)
def test_what_is_written_is_read(format: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"round_trip{WRITTEN[format].ending}"

    @settings(max_examples=60, deadline=None)
    @given(table=tables(format))
    def round_trip(table: Table) -> None:
        write_annotations(path, table, format)
        annotations = read_annotations(path)
        assert annotations.faults == ()
        assert annotations.format == format
        if table:
            assert annotations.events == {name: sorted(found) for name, found in table.items()}
            assert list(annotations.events) == list(table)
        else:
            assert not any(annotations.events.values())

    round_trip()


@pytest.mark.parametrize("format", WRITTEN)
def test_an_event_shorter_than_the_resolution_can_be_read_again(
    format: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{WRITTEN[format].ending}"

    write_annotations(path, {"a": [Event(1.0, 1.0000001, "x")]}, format)

    assert read_annotations(path).events == {"a": [Event(1.0, 1.000001, "x")]}


@pytest.mark.parametrize("format", WRITTEN)
def test_a_named_format_is_read_as_that(format: str, tmp_path: Path) -> None:
    """Whatever its file name."""
    path = tmp_path / "a.unheard-of"
    write_annotations(path, {"a": [Event(1.0, 2.5, "x")]}, format)

    annotations = read_annotations(path, format=format)

    assert annotations.format == format
    assert annotations.events == {"a": [Event(1.0, 2.5, "x")]}


@pytest.mark.parametrize("format", WRITTEN)
def test_line_ends_and_marks_of_windows_change_nothing(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{WRITTEN[format].ending}"
    text = dump_annotations({"a": [Event(1.0, 2.5, "été"), Event(3.0, 4.0, "y")]}, format)
    for content in (
        b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r\n").encode("utf-16"),
        text.rstrip("\n").encode(),
        (text + "\n\n").encode(),
    ):
        path.write_bytes(content)
        annotations = read_annotations(path)
        check_faults(annotations.faults, strict=True)
        assert annotations.format == format
        assert annotations.events == {"a": [Event(1.0, 2.5, "été"), Event(3.0, 4.0, "y")]}


@pytest.mark.parametrize("format", [name for name in WRITTEN if not WRITTEN[name].names_files])
def test_a_format_without_names_holds_one_recording(format: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"2 recordings, but a file of format {format} holds one"):
        write_annotations(tmp_path / "a.txt", TABLE, format)
    with pytest.raises(DataError, match="0 recordings"):
        write_annotations(tmp_path / "a.txt", {}, format)
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize("bad", ["a\tb", "a\nb", "a\rb", "a\udc80b"])
def test_what_would_break_a_file_is_not_written(bad: str, format: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(DataError, match="rename it"):
        write_annotations(path, {"a.wav": [Event(0.0, 1.0, bad)]}, format)
    with pytest.raises(DataError, match="rename it"):
        write_annotations(path, {bad: []}, format)
    assert not path.exists()


def test_an_unknown_format_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'praat': expected one of desed, jams"):
        dump_annotations(TABLE, "praat")
    (tmp_path / "a.txt").write_text("0\t1\tx\n")
    with pytest.raises(DataError, match=r"'praat': expected one of desed, .*elan"):
        read_annotations(tmp_path / "a.txt", format="praat")


def test_a_file_of_another_format_than_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0\t1\tx\n")
    for format in ("desed", "csv", "raven", "jams"):
        with pytest.raises(DataError, match=r"a\.txt: "):
            read_annotations(tmp_path / "a.txt", format=format)


# ------------------------------------------------------------------- what other tools make of it


def test_pandas_reads_our_tables(tmp_path: Path) -> None:
    table = {**TABLE, 'say "hi".wav': [Event(1.0, 2.0, '"quoted" label')]}
    for format, separator in (("desed", "\t"), ("csv", ",")):
        path = tmp_path / f"t{WRITTEN[format].ending}"
        write_annotations(path, table, format)

        frame = pd.read_csv(path, sep=separator)

        assert list(frame.columns) == ["filename", "onset", "offset", "event_label"]
        rows = [tuple(row) for row in frame.itertuples(index=False)]
        assert rows == [(name, *event) for name, found in table.items() for event in found]


@pytest.mark.parametrize("format", ["tut", "audacity", "csv"])
def test_sed_eval_reads_our_lists(format: str, tmp_path: Path) -> None:
    """Through dcase_util, the reader of the TUT data sets; it recognises a table by its .csv."""
    logging.getLogger("dcase_util").setLevel(logging.ERROR)
    expected = [Event(0.5, 1.25, "people talking"), Event(1.0, 1.5, "car"), Event(2.0, 3.5, "car")]
    path = tmp_path / f"t{WRITTEN[format].ending}"
    write_annotations(path, {"audio/a001.wav": expected}, format)

    items = sed_eval.io.load_event_list(str(path))

    assert [Event(item.onset, item.offset, item.event_label) for item in items] == expected
    if WRITTEN[format].names_files:
        assert {item.filename for item in items} == {"audio/a001.wav"}


def test_pandas_reads_our_selections_and_time_marks(tmp_path: Path) -> None:
    """As crowsetta reads Raven's tables, and pyannote RTTM."""
    found = [Event(0.5, 1.25, "song"), Event(61.0, 63.5, "call")]
    write_annotations(tmp_path / "t.txt", {"a.wav": found}, "raven")
    write_annotations(tmp_path / "t.rttm", {"a.wav": found}, "rttm")

    raven = pd.read_csv(tmp_path / "t.txt", sep="\t")
    rttm = pd.read_csv(tmp_path / "t.rttm", sep=r"\s+", header=None)

    times = raven[["Begin Time (s)", "End Time (s)", "Annotation"]]
    assert [Event(*row) for row in times.itertuples(index=False)] == found
    assert list(raven["Selection"]) == [1, 2]
    assert (raven["Low Freq (Hz)"] < raven["High Freq (Hz)"]).all()
    assert rttm.shape == (2, 10)
    assert list(rttm[1]) == ["a", "a"]
    assert [Event(row[3], row[3] + row[4], row[7]) for row in rttm.values.tolist()] == found


def test_a_recording_whose_name_is_an_ending_alone_is_one(tmp_path: Path) -> None:
    write_annotations(tmp_path / "x.ann", {"/.wav": []}, "tut")
    assert read_annotations(tmp_path / "x.ann").events == {"/.wav": []}


# ---------------------------------------------------------------------------------- confidences


def test_confidences_of_what_was_found_stand_where_a_format_holds_them(tmp_path: Path) -> None:
    found = {
        "a/x.wav": Findings(
            detections=[Detection(0.5, 1.25, "song", 0.91234), Detection(2.0, 2.5, "call", 1.0)],
            path=Path("/birds/a/x.wav"),
            duration_s=10.0,
            band_hz=(500.0, 8000.0),
        ),
        "b/x.wav": Findings(
            detections=[Detection(0.25, 0.75, "call", 0.5)],
            path=Path("/birds/b/x.wav"),
            duration_s=5.0,
            band_hz=(500.0, 4000.0),
            channel=2,
        ),
        "silent.wav": Findings(detections=[], path=Path("/birds/silent.wav"), duration_s=1.0),
    }

    for format in ("desed", "csv", "raven"):
        path = tmp_path / f"found{FORMATS[format].ending}"
        path.write_text(dump_findings(found, format), encoding="utf-8")
        read = read_annotations(path)
        assert (read.format, read.faults, read.taken.is_plain) == (format, (), True)
        with_events = {name: one.events for name, one in found.items() if one.events}
        assert {name: events for name, events in read.events.items() if events} == with_events

    table = pd.read_csv(tmp_path / "found.csv")
    assert table["confidence"].tolist()[:3] == [0.9123, 1.0, 0.5]
    raven = pd.read_csv(tmp_path / "found.selections.txt", sep="\t")
    assert raven["Confidence"].tolist() == [0.9123, 1.0, 0.5]
    assert raven["Begin Path"].tolist() == ["/birds/a/x.wav"] * 2 + ["/birds/b/x.wav"]
    assert raven["Channel"].tolist() == [1, 1, 2]
    assert raven["High Freq (Hz)"].tolist() == [8000.0, 8000.0, 4000.0]
    # Raven opens files consecutively: times continue across files, file offsets do not.
    assert raven["Begin Time (s)"].tolist() == [0.5, 2.0, 10.25]
    assert raven["File Offset (s)"].tolist() == [0.5, 2.0, 0.25]


def test_jams_holds_confidences_and_the_length_of_the_recording() -> None:
    one = Findings(detections=[Detection(0.5, 1.25, "song", 0.75)], duration_s=10.0)
    jams = json.loads(dump_findings({"x.wav": one}, "jams"))
    assert jams["annotations"][0]["data"][0]["confidence"] == 0.75
    assert jams["file_metadata"]["duration"] == 10.0
