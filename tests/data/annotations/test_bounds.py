"""What is too large is refused before it is held."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.data.annotations import bounds, read_annotations
from sed_cli.data.annotations.bounds import read_bounded
from sed_cli.errors import DataError, UserError
from sed_cli.system import markup
from sed_cli.system.markup import parse_xml

_ROW = "a.wav\t0\t1\tdog\n"
_HEADER = "filename\tonset\toffset\tevent_label\n"


@contextmanager
def at_most(n_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < n_bytes
    finally:
        tracemalloc.stop()


def lengthened(path: Path, head: str, n_bytes: int) -> Path:
    path.write_text(head)
    with path.open("r+b") as file:
        file.truncate(n_bytes)  # the rest are zeros that take no room on the disk
    return path


@pytest.mark.parametrize(
    ("name", "head", "refusal"),
    [
        ("a.tsv", _HEADER, "line 2: more than 4 MB, but lines of annotation files are limited to"),
        ("a.json", '[{"onset": 0', "100.0 MB, but JSON and XML are limited to 64 MB"),
        ("a.eaf", "\ufeff <?xml ", "100.0 MB, but JSON and XML are limited to 64 MB"),
    ],
)
def test_a_file_of_100_mb_is_refused_in_little_memory(
    tmp_path: Path, name: str, head: str, refusal: str
) -> None:
    path = lengthened(tmp_path / name, head, 10**8)
    with at_most(8 * 2**20), pytest.raises(DataError, match=refusal):
        read_annotations(path)


def test_text_of_another_kind_is_refused_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("neither a header nor times: nothing of ours\n" * 250_000)
    n_bytes = path.stat().st_size
    with at_most(2 * n_bytes), pytest.raises(DataError, match="begins with 'neither a header"):
        read_annotations(path)


def test_the_largest_size_is_raised_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(_HEADER + _ROW)
    monkeypatch.setenv("SEDTF_LARGEST_MB", "0.00001")
    with pytest.raises(DataError, match=r"to 1e-05 MB, SEDTF_LARGEST_MB=1e-05; set"):
        read_annotations(path)
    monkeypatch.setenv("SEDTF_LARGEST_MB", "1")
    assert len(read_annotations(path).events["a.wav"]) == 1
    monkeypatch.setenv("SEDTF_LARGEST_MB", "much")
    with pytest.raises(UserError, match="SEDTF_LARGEST_MB=much: expected a number of megabytes"):
        read_annotations(path)


@given(
    lines=st.lists(st.integers(0, 60), max_size=30),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    piece=st.integers(1, 40),  # one that holds no whole line which is too long, as in fact
)
def test_lines_are_counted_and_measured_across_pieces(
    lines: list[int], end: str, piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces.txt"
    content = "".join("x" * length + end for length in lines).encode()
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "_PIECE", piece)
        patch.setattr(bounds, "LONGEST_LINE", 10)  # 40 bytes
        patch.setenv("SEDTF_MOST_LINES", "20")
        refusal = ""
        try:
            found = read_bounded(path, "annotation")
        except DataError as error:
            refusal = str(error)
        if not refusal:
            assert found == content
    too_long = [f"line {number}: " for number, length in enumerate(lines, start=1) if length > 40]
    assert bool(refusal) == (bool(too_long) or len(lines) > 20)
    assert not refusal or len(lines) > 20 or too_long[0] in refusal


def test_xml_of_too_many_elements_is_refused_before_they_are_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(f"<a>{'<b/>' * 2_000_001}</a>")
    with at_most(60 * 2**20), pytest.raises(DataError, match="more than 1,000,000 elements"):
        read_annotations(path)
    monkeypatch.setattr(markup, "_MOST_ELEMENTS", 3)
    with pytest.raises(ValueError, match=r"more than 3 elements, .*SEDTF_LARGEST_MB raises it"):
        parse_xml("<a><b/><b/><b/></a>")
    monkeypatch.setenv("SEDTF_LARGEST_MB", "400")
    assert len(parse_xml("<a><b/><b/><b/></a>")) == 3


def test_a_header_of_a_document_without_line_ends_is_not_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [' + "[]," * 4_000_000 + "1]}")
    with (
        at_most(100 * 2**20),
        pytest.raises(DataError, match="values, but 4,000,000 are the limit"),
    ):
        read_annotations(path)
