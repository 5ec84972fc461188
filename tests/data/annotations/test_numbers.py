"""Number formats of times: a file's numbers have one reading, or the user is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.data.annotations import Event, read_annotations
from sed_cli.data.annotations.numbers import Numbers, clock_s, find_numbers
from sed_cli.errors import DataError


def numbers_of(*values: str, **options: object) -> Numbers:
    return find_numbers(enumerate(values, start=2), Path("t.csv"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1.5", "2"), (1.5, 2.0)),
        (("1,5", "2"), (1.5, 2.0)),
        (("0,500", "2,110"), (0.5, 2.11)),
        (("1,234.5", "2,110"), (1234.5, 2110.0)),
        (("1.234,5", "2.110"), (1234.5, 2110.0)),
        (("1,234,567", "2,110"), (1234567.0, 2110.0)),
        (("1'234.5", "60"), (1234.5, 60.0)),
        (("1 234,5", "60"), (1234.5, 60.0)),
        (("1\u202f234", "60"), (1234.0, 60.0)),
        (("2.110", "0.5"), (2.11, 0.5)),
        (("2.110", "2.810"), (2.11, 2.81)),
        (("1e3", "2"), (1000.0, 2.0)),
    ],
)
def test_the_times_of_a_file_decide_together(
    values: tuple[str, ...], expected: tuple[float, ...]
) -> None:
    numbers = numbers_of(*values)

    assert tuple(map(numbers.read, values)) == expected


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (("260", "2,110"), {}),
        (("1500", "2,110"), {}),
        (("2,110", "2.110"), {}),
        (("2,110",), {"delimiter": ";", "coarse": True}),
        (("260", "2.110"), {"coarse": True}),
    ],
)
def test_decimals_that_could_be_thousands_are_asked_for(
    values: tuple[str, ...], options: dict[str, bool]
) -> None:
    with pytest.raises(DataError, match=r"t\.csv: line \d: '2[.,]110' may be 2110 or 2\.110") as no:
        numbers_of(*values, **options)
    assert "set data.decimal_mark=" in str(no.value)
    assert numbers_of(*values, mark=".").read("2,110") == 2110.0
    assert numbers_of(*values, mark=",").read("2,110") == 2.11


def test_semicolons_come_with_decimal_commas() -> None:
    assert numbers_of("2,110", "2,810", delimiter=";").read("2,110") == 2.11


@pytest.mark.parametrize("text", ["0,5", "2,110", "1_0", "1.234,5", "1,23,456", "x", "1 2"])
def test_a_number_unlike_the_others_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        numbers_of("1.5", "0.25").read(text)


@given(st.floats(0, 1e7, allow_nan=False).map(lambda time: round(time, 4)))
def test_every_way_of_writing_a_number_gives_it(time: float) -> None:
    for group, mark in ((",", "."), (".", ","), ("'", "."), (" ", ",")):
        text = f"{time:,.4f}".translate(str.maketrans({",": group, ".": mark}))
        assert numbers_of(text).read(text) == time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:01.00", 1.0),
        ("0:01.5", 1.5),
        ("1:02:03,250", 3723.25),
        ("75:00", 4500.0),
        ("0:00", 0.0),
    ],
)
def test_clock_times_count_from_the_start(text: str, expected: float) -> None:
    assert clock_s(text) == expected


@pytest.mark.parametrize("text", ["0:60", "1:60:00", "1:2:3:4", ":5", "1:", "-0:01", "00:01 PM"])
def test_what_no_clock_shows_is_no_clock_time(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        clock_s(text)


def test_clock_times_are_read_in_tables_and_lists(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,onset,offset,label\na,00:00:01.00,0:01.5,x\n")
    (tmp_path / "a.txt").write_text("00:00:01.00\t0:01.5\tx\n")
    for name in ("a.csv", "a.txt"):
        read = read_annotations(tmp_path / name)
        assert (read.faults, read.events) == ((), {"a": [Event(1.0, 1.5, "x")]})


def test_a_setting_reaches_every_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('file,onset_ms,offset_ms,label\na.wav,"2,110","2,810",x\n')

    point = read_annotations(path, decimal_mark="point")
    comma = read_annotations(path, decimal_mark="comma")

    assert point.events == {"a.wav": [Event(2.11, 2.81, "x")]}
    assert comma.events == {"a.wav": [Event(0.00211, 0.00281, "x")]}
