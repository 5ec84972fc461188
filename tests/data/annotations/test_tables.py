"""Tables with a header: what is written is read, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.data.annotations import Event, check_faults, read_annotations, write_annotations
from sed_cli.errors import DataError

HEADER = "filename\tonset\toffset\tevent_label\n"

# Anything but what ends a field or a line; the reader strips white space around a field.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), min_size=1)
words = texts.filter(lambda text: text == text.strip())
microseconds = st.integers(0, 10**10)


@st.composite
def events(draw: st.DrawFn) -> Event:
    onset = draw(microseconds)
    offset = onset + draw(st.integers(1, 10**9))
    return Event(onset / 1e6, offset / 1e6, draw(words))


tables = st.dictionaries(words, st.lists(events(), unique=True, max_size=5), min_size=1)


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


@settings(max_examples=150)
@given(table=tables)
def test_what_is_written_is_read(
    table: dict[str, list[Event]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.tsv"

    write_annotations(path, table)

    annotations = read_annotations(path)
    assert (annotations.format, annotations.faults) == ("desed", ())
    assert annotations.events == {name: sorted(found) for name, found in table.items()}
    assert list(annotations.events) == list(table)


@pytest.mark.parametrize("label", ['dog "big"', "a\\b", "'", "NA", "null", "#1", "a,b", "été 🐦"])
def test_odd_labels_and_file_names_come_back_as_they_are(label: str, tmp_path: Path) -> None:
    table = {f"{label} 1.wav": [Event(0.25, 0.5, label)], "with space.wav": []}

    write_annotations(tmp_path / "t.tsv", table)

    assert read_annotations(tmp_path / "t.tsv").events == table


@pytest.mark.parametrize("bad", ["a\tb", "a\nb", "a\rb"])
def test_what_would_break_the_table_is_not_written(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    with pytest.raises(DataError, match="tab or line break"):
        write_annotations(path, {"a.wav": [Event(0.0, 1.0, bad)]})
    with pytest.raises(DataError, match="tab or line break"):
        write_annotations(path, {bad: []})
    assert not path.exists()


def test_an_event_shorter_than_the_resolution_can_be_read_again(tmp_path: Path) -> None:
    write_annotations(tmp_path / "t.tsv", {"a.wav": [Event(1.0, 1.0000001, "x")]})

    assert read_annotations(tmp_path / "t.tsv").events == {"a.wav": [Event(1.0, 1.000001, "x")]}


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "a.wav\t0\t1\tx\n",
        HEADER + "a.wav\t0\t1\tx",
        HEADER + "a.wav\t0\t1\tx\n\n\n",
        HEADER + "\na.wav\t0\t1\tx\n\t\t\t\n",
        (HEADER + "a.wav\t0\t1\tx\n").replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + (HEADER + "a.wav\t0\t1\tx\n").encode(),
        HEADER + " a.wav\t0.0 \t 1e0\tx \n",
        "event_label\tfilename\tnote\tonset\toffset\nx\ta.wav\tloud\t0\t1\n",
    ],
    ids=["plain", "no newline", "blank end", "blanks", "crlf", "bom", "spaces", "columns"],
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


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
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
        ("a.wav\t0\t1\t", "one is empty"),
        ("a.wav\t\t1\tx", "one is empty"),
        ("a.wav\t0\t1", "one is empty"),
        ("a.wav\t0\t1\tx\ty", "5 fields"),
        ("a.wav\t0\t1\tx\na.wav\t0\t1\tx", "line 3: the same event stands there twice"),
    ],
)
def test_a_fault_says_what_is_wrong(row: str, reason: str, tmp_path: Path) -> None:
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
        ("Dear annotators,\nplease find the sounds attached.\n", "none of desed"),
    ],
    ids=["empty", "header only", "column", "latin-1", "utf-16 without mark", "audio", "prose"],
)
def test_what_is_no_table_is_refused(content: str | bytes, reason: str, tmp_path: Path) -> None:
    assert reason in fault_of(tmp_path, content)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.tsv: no such annotation file"):
        read_annotations(tmp_path / "nowhere.tsv")
