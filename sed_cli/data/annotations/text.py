"""Annotation files as text: encodings, lines and fields, before any format is known."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sed_cli.data.annotations.events import Fault
from sed_cli.errors import DataError

# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINES_OF_A_FIELD = 100  # a quotation mark that is not closed within these is a character
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Text:
    """The text of an annotation file.

    ``faults`` holds what was wrong with its encoding.
    """

    path: Path
    content: str
    faults: tuple[Fault, ...] = ()
    lines: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Only what editors end lines with: str.splitlines() also cuts at characters of labels.
        content = self.content.replace("\r\n", "\n").replace("\r", "\n")
        object.__setattr__(self, "lines", content.split("\n"))


def read_text(path: Path, what: str = "annotation") -> Text:
    """Read a file as text: UTF-8 with or without its mark, UTF-16 and UTF-32 by their marks.

    Anything else is a fault, repaired by taking it for Windows' Western encoding.

    Args:
        path: of the file.
        what: kind of file, for what is said if it cannot be read.

    Raises:
        DataError: if the file is missing, or no text.
    """
    if path.is_dir():
        raise DataError(f"{path}: a folder, and no {what} file")
    if not path.is_file():
        raise DataError(f"{path}: no such {what} file")
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    faults: tuple[Fault, ...] = ()
    try:
        content = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{data[error.start]:02x}"
        content, taken = _decode_western(data)
        message = f"not in {encoding.upper()} ({got}); save it as UTF-8"
        faults = (Fault(path, line, message, f"read as {taken}"),)
    if "\0" in content:
        raise DataError(
            f"{path}: holds zero bytes: binary data, or UTF-16 without its byte order mark; "
            f"expected text in UTF-8"
        )
    return Text(path, content, faults)


def _decode_western(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:  # five bytes have no meaning there
        return data.decode("latin-1"), "latin-1"


def is_number(field: str) -> bool:
    """Whether a field reads as a number, with a decimal point or comma."""
    return _NUMBER.fullmatch(field) is not None


def decimal_comma(times: Iterable[str]) -> bool:
    """Whether times are written with a decimal comma, as spreadsheets do in much of Europe."""
    numbers = [time for time in times if is_number(time)]
    return any("," in number for number in numbers) and not any("." in n for n in numbers)


def split_lines(
    lines: Sequence[str], delimiter: str | None, *, first: int = 1, quotes: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields, free of white space around, of each line that is not blank.

    Args:
        lines: of the file, from its line ``first`` on.
        delimiter: between fields; ``None``: any run of white space.
        first: number of the first of ``lines``.
        quotes: whether a field may stand in quotation marks, as spreadsheets write them; a line
            that does not hold to their rules is taken as it stands.
    """
    resume = first
    for number, line in enumerate(lines, start=first):
        if number < resume:
            continue
        if quotes and delimiter is not None and '"' in line:
            fields, n_lines = _unquote(lines, number - first, delimiter)
            resume = number + n_lines
        else:
            fields = line.split(delimiter)
        fields = [field.strip() for field in fields]
        if any(fields):
            yield number, fields


def _unquote(lines: Sequence[str], index: int, delimiter: str) -> tuple[list[str], int]:
    """Fields of the line at ``index`` and the number of lines that they take."""
    for n_lines in (1, _LINES_OF_A_FIELD):
        block = (line + "\n" for line in lines[index : index + n_lines])
        reader = csv.reader(block, delimiter=delimiter, strict=True)
        try:
            # A break within quotation marks becomes a blank: no name or label needs one.
            return [field.replace("\n", " ") for field in next(reader)], reader.line_num
        except csv.Error:
            pass
    return lines[index].split(delimiter), 1
