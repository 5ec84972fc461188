"""Annotation files as text: encodings, lines and fields, before the format is known."""

from __future__ import annotations

import codecs
import csv
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sed_cli.data.annotations.events import Fault
from sed_cli.data.annotations.unread import advice_on
from sed_cli.errors import DataError, UserError

# UTF-32 first: its little-endian mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MATLAB, _MATLAB_73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"
# A quotation mark not closed within these is an ordinary character.
_LINES_OF_A_FIELD = 100
_CHARACTERS_OF_A_FIELD = 20_000
_LONGEST_LINE = 1_000_000  # characters
_MOST_LINES = 3_000_000
_VARIABLE = "SEDTF_MOST_LINES"
_LARGEST_FILE = 2**30  # bytes


@dataclass(frozen=True)
class Text:
    """The text of an annotation file.

    ``faults`` are those of its encoding, ``found`` caches results of readers. ``binary``: contents
    of a MATLAB file, which has no text.
    """

    path: Path
    content: str
    faults: tuple[Fault, ...] = ()
    binary: bytes = field(default=b"", repr=False)
    lines: list[str] = field(init=False, repr=False)
    found: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        # Only line endings of editors: str.splitlines() also cuts at characters of labels.
        content = self.content.replace("\r\n", "\n").replace("\r", "\n")
        object.__setattr__(self, "lines", content.split("\n"))


def read_text(path: Path, what: str = "annotation") -> Text:
    """Read a file as text: UTF-8 with or without BOM, UTF-16 and UTF-32 by their BOM.

    Anything else is a fault, repaired by decoding it as Windows-1252.

    Args:
        path: of the file.
        what: kind of file, for messages.

    Raises:
        DataError: if the file is missing, cannot be read, is larger than 1 GiB, or is not text.
    """
    if (advice := advice_on(path)) is not None:
        raise DataError(f"{path}: {advice}")
    data = _read_bytes(path, what)
    if data.startswith(_MATLAB_73):
        raise DataError(
            f"{path}: a MATLAB 7.3 file (HDF5), which is not read: save(..., '-v7'), or export the "
            f"events as CSV"
        )
    if data.startswith(_MATLAB):
        return Text(path, "", binary=data)
    _check_lines_of(path, data, what)
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
    del data  # as large as the text
    if "\0" in content:
        raise DataError(
            f"{path}: contains zero bytes: binary data, or UTF-16 without its byte order mark; "
            f"expected text in UTF-8"
        )
    return Text(path, content, faults)


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: a folder instead of the {what} file")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device may never end
            raise DataError(f"{path}: the {what} file is not a regular file")
        if status.st_size > _LARGEST_FILE:
            raise DataError(
                f"{path}: {status.st_size / 2**30:.1f} GiB, but {what} files are limited to 1 "
                f"GiB; split it, or name another file"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such {what} file") from error
    except (OSError, ValueError) as error:  # no permission, or an impossible name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path}: the {what} file cannot be read: {reason}") from error


def _check_lines_of(path: Path, data: bytes, what: str) -> None:
    """Reject a file whose lines would take gigabytes."""
    if len(data) <= _MOST_LINES:
        return
    given = os.environ.get(_VARIABLE) or _MOST_LINES
    try:
        most = int(given)
    except ValueError as error:
        raise UserError(f"{_VARIABLE}={given}: expected a number of lines") from error
    n_lines = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    if n_lines > most:
        raise DataError(
            f"{path}: {n_lines:,} lines, but {what} files are limited to {most:,} (the variable "
            f"{_VARIABLE} raises the limit); split it, or name another file"
        )


def check_lines(text: Text) -> None:
    """Reject text with a line longer than any row of a table.

    Raises:
        DataError: with the line.
    """
    if len(text.content) <= _LONGEST_LINE:
        return
    for number, line in enumerate(text.lines, start=1):
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"{text.path}: line {number}: {len(line)} characters, but lines of annotations "
                f"are limited to {_LONGEST_LINE}; is this another kind of file?"
            )


def _decode_western(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:  # five bytes are undefined there
        return data.decode("latin-1"), "latin-1"


def split_lines(
    lines: Sequence[str], delimiter: str | None, *, first: int = 1, quotes: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and stripped fields of each line that is not blank.

    Args:
        lines: of the file, from its line ``first`` on.
        delimiter: between fields; ``None``: any run of white space.
        first: number of the first of ``lines``.
        quotes: whether fields may be quoted, as in spreadsheets; a line with invalid quoting is
            taken literally.
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
        reader = csv.reader(_block(lines, index, n_lines), delimiter=delimiter, strict=True)
        try:
            # A line break within quotation marks becomes a blank: no name or label needs one.
            return [field.replace("\n", " ") for field in next(reader)], reader.line_num
        except csv.Error:
            pass
    return lines[index].split(delimiter), 1


def _block(lines: Sequence[str], index: int, n_lines: int) -> Iterator[str]:
    """Lines from ``index`` on that a field may span: there may be many open quotation marks.

    A single line is not bounded.
    """
    n_characters = 0
    for line in lines[index : index + n_lines]:
        if n_characters > _CHARACTERS_OF_A_FIELD:
            return
        n_characters += len(line)
        yield line + "\n"


def several(field: str) -> list[str]:
    """The texts in a field with several: separated by ``;`` or ``|``, else by ``,``."""
    mark = next((each for each in ";|" if each in field), ",")
    return [text for part in field.split(mark) if (text := part.strip())]
