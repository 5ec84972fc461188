"""Notation of times: decimal marks, thousands separators, and clock times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sed_cli.errors import DataError

_SNIFFED = 1000  # values used to infer a file's number notation
_BLANKS = " '\u2019\u00a0\u2009\u202f"  # between thousands; unambiguous in a number
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}([{_BLANKS}.,])\d{{3}}(?:\1\d{{3}})*(?:(?!\1)[.,]\d+)?")
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,5}):(\d{1,2}(?:[.,]\d*)?)")
_NO_BLANKS = str.maketrans("", "", _BLANKS)
END_DIGITS = 9  # digits of a computed time in seconds; finer ones are rounding errors
MARKS = {"auto": None, "point": ".", "comma": ","}


def is_number(field: str) -> bool:
    """Whether a field is a number, with a decimal point or comma."""
    return _NUMBER.fullmatch(field) is not None


def is_time(field: str) -> bool:
    """Whether a field is a time: a number, also with thousands separators, or a clock time."""
    return any(kind.fullmatch(field) for kind in (_NUMBER, _CLOCK, _GROUPED))


def is_clock(field: str) -> bool:
    """Whether a field has the form ``minutes:seconds`` or ``hours:minutes:seconds``."""
    return _CLOCK.fullmatch(field) is not None


@dataclass(frozen=True)
class Numbers:
    """Number notation of a file.

    Args:
        mark: decimal mark, a point or a comma.
        grouped: whether the other of the two separates thousands even if ambiguous, as in ``2,110``
            for 2110. In ``1,234.5`` and ``1,234,567`` it is unambiguous.
    """

    mark: str = "."
    grouped: bool = False

    def __str__(self) -> str:
        """Description of unusual notation; empty if there is none."""
        parts = ["decimal comma"] if self.mark == "," else []
        if self.grouped:
            parts.append(f"{'point' if self.mark == ',' else 'comma'} between thousands")
        return ", ".join(parts)

    def read(self, text: str) -> float:
        """Read a number.

        Raises:
            ValueError: if it is not a number, or in another notation than the others.
        """
        if self.mark == "." or not ("," in text or "." in text):
            try:
                return float(_no_underscore(text))
            except ValueError:
                pass
        return float(self._plain(text))

    def _plain(self, text: str) -> str:
        """A number in Python's notation."""
        whole = _no_underscore(text)
        if _GROUPED.fullmatch(whole):
            whole = whole.translate(_NO_BLANKS)
        other = "," if self.mark == "." else "."
        if other in whole:
            n_others = whole.count(other)
            sure = self.grouped or n_others > 1 or self.mark in whole
            wrong_order = whole.rfind(other) > whole.find(self.mark) >= 0
            if not (sure and _GROUPED.fullmatch(whole)) or wrong_order:
                raise ValueError(text)
            whole = whole.replace(other, "")
        return whole.replace(self.mark, ".")

    def seconds(self, text: str, unit_s: float = 1.0) -> float:
        """Read a time in a unit, or a clock time since the start of the recording.

        Raises:
            ValueError: if it is neither.
        """
        if ":" in text:
            return clock_s(text)
        time = self.read(text)
        return time if unit_s == 1.0 else round(time * unit_s, END_DIGITS)


def _no_underscore(text: str) -> str:
    if "_" in text:  # Python's, not part of a number
        raise ValueError(text)
    return text


def clock_s(text: str) -> float:
    """Seconds of ``1:02:03,25`` or ``62:03.25``.

    Raises:
        ValueError: if it is not a clock time, or its minutes or seconds are 60 or more.
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hours, minutes, seconds_s = match[1], int(match[2]), float(match[3].replace(",", "."))
    if seconds_s >= 60 or (hours is not None and minutes >= 60):
        raise ValueError(text)
    return round(3600.0 * int(hours or 0) + 60.0 * minutes + seconds_s, END_DIGITS)


def find_numbers(
    values: Iterable[tuple[int, str]],
    path: Path,
    *,
    mark: str | None = None,
    coarse: bool = False,
    delimiter: str | None = "\t",
) -> Numbers:
    """Infer the number notation of a file from all its times.

    Args:
        values: line and text of each time.
        path: of the file.
        mark: the decimal mark, if known.
        coarse: whether times are in a unit such as milliseconds, so that thousands are common.
        delimiter: between fields; semicolons come from programs that write a decimal comma.

    Raises:
        DataError: if decimals and thousands are ambiguous, with the first such value.
    """
    if mark is not None:
        return Numbers(mark, grouped=True)
    marks: set[str] = set()
    separators: set[str] = set()
    ambiguous: dict[str, tuple[int, str]] = {}
    for seen, (line, value) in enumerate(values):
        if seen >= _SNIFFED and (marks or not ambiguous):
            break
        if _AMBIGUOUS.fullmatch(value):
            ambiguous.setdefault("," if "," in value else ".", (line, value))
        elif "," in value or "." in value:
            _add_evidence(value, marks, separators)
    if len(marks) == 1:
        (mark,) = marks
        return Numbers(mark, grouped=bool(separators - {mark}))
    if marks or not ambiguous or (set(ambiguous) == {"."} and not coarse):
        return Numbers()
    if set(ambiguous) == {","} and delimiter == ";" and not coarse:
        return Numbers(",")
    line, value = min(ambiguous.values())
    grouped, decimal = re.sub("[.,]", "", value), value.replace(",", ".")
    is_comma = "," in value
    raise DataError(
        f"{path}: line {line}: {value!r} may be {grouped} or {decimal}, and no other time of the "
        f"file decides it; set data.decimal_mark={'point' if is_comma else 'comma'} if it is "
        f"{grouped}, data.decimal_mark={'comma' if is_comma else 'point'} if it is {decimal}"
    )


def _add_evidence(value: str, marks: set[str], separators: set[str]) -> None:
    """Mark and separator implied by an unambiguous value."""
    grouped = _GROUPED.fullmatch(value)
    if grouped is None:
        if _NUMBER.fullmatch(value):
            marks.add("," if "," in value else ".")
        return
    plain = value.translate(_NO_BLANKS)
    last = max(plain.rfind(","), plain.rfind("."))
    if last < 0:
        return
    n_last = plain.count(plain[last])
    if n_last > 1:
        separators.add(plain[last])
        marks.add("." if plain[last] == "," else ",")
        return
    marks.add(plain[last])
    separators.update({",", "."} & set(plain[:last]))
