"""Limits of annotation files, checked piece by piece before the contents are parsed."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import BinaryIO

from sed_cli.errors import DataError
from sed_cli.system.limits import LINES_VARIABLE, SIZE_VARIABLE, largest_mb, most_lines
from sed_cli.system.structured import UnreadableError, open_regular, why

LONGEST_LINE = 1_000_000  # characters
_OF_DOCUMENTS = 4  # what is parsed as a whole takes more memory, and may be that much smaller
_BYTES_OF_A_CHARACTER = 4  # at most, in any encoding
_PIECE = 2**20
_LINE_END = re.compile(rb"[\r\n]")
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MATLAB = b"MATLAB "


def largest_document_bytes() -> float:
    """Maximum size of a JSON or XML annotation file in bytes."""
    return largest_mb() * 1e6 / _OF_DOCUMENTS


def read_bounded(path: Path, what: str, *, has_lines: bool = True) -> bytes:
    """Read a regular file, unless it is too large, or has too many or too long lines.

    It is scanned in pieces first, so that a rejection takes neither memory nor time.

    Args:
        path: of the file.
        what: kind of file, for messages.
        has_lines: whether an endless line indicates another kind of file; documents (JSON, XML)
            and MATLAB files may always have one.

    Raises:
        DataError: if it exceeds a limit, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            n_bytes = _check(path, file, what, has_lines)
            file.seek(0)
            return file.read(n_bytes)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such {what} file") from error
    except UnreadableError as error:
        is_folder = path.is_dir()
        got = (
            f"a folder instead of the {what} file"
            if is_folder
            else f"the {what} file is not a regular file"
        )
        raise DataError(f"{path}: {got}") from error
    except (OSError, ValueError) as error:  # no permission, or an impossible file name
        raise DataError(f"{path}: the {what} file cannot be read: {why(error)}") from error


def _check(path: Path, file: BinaryIO, what: str, has_lines: bool) -> int:
    """Scan a file and return its size."""
    most = most_lines()
    head = file.peek(_PIECE) if hasattr(file, "peek") else b""
    is_document = is_like_document(head)
    largest = largest_document_bytes() if is_document else largest_mb() * 1e6
    size = os.fstat(file.fileno()).st_size
    if size > largest:
        kind = "JSON and XML" if is_document else f"{what} files"
        part = "a quarter of " if is_document else ""
        raise DataError(
            f"{path}: {size / 1e6:,.1f} MB, but {kind} are limited to {largest / 1e6:,.6g} MB, "
            f"{part}{SIZE_VARIABLE}={largest_mb():g}; set that variable higher, split the file, "
            f"or name another one"
        )
    longest = LONGEST_LINE * _BYTES_OF_A_CHARACTER
    is_bounded = has_lines and not is_document and not head.startswith(MATLAB)
    n_bytes, n_lines, run, before = 0, 0, 0, b""
    while n_bytes < size and (piece := file.read(min(_PIECE, size - n_bytes))):
        end = _LINE_END.search(piece)
        if is_bounded and run + (end.start() if end else len(piece)) > longest:
            raise DataError(
                f"{path}: line {n_lines + 1}: more than {longest // 10**6} MB, but lines of "
                f"{what} files are limited to {LONGEST_LINE:,} characters; is this another kind of "
                f"file?"
            )
        run = len(piece) - 1 - max(piece.rfind(b"\n"), piece.rfind(b"\r")) if end else run
        run += 0 if end else len(piece)
        n_lines += piece.count(b"\n") + piece.count(b"\r") - piece.count(b"\r\n")
        n_lines -= before == b"\r" and piece[:1] == b"\n"
        n_bytes, before = n_bytes + len(piece), piece[-1:]
        if n_lines > most:
            raise DataError(
                f"{path}: more than {most:,} lines, the limit of {what} files (the "
                f"variable {LINES_VARIABLE} raises it); split it, or name another file"
            )
    return n_bytes


def is_like_document(data: bytes) -> bool:
    """Whether a file starts like JSON or XML, in any encoding."""
    head = data[:10_000]
    for mark in _MARKS:
        head = head.removeprefix(mark)
    return head.replace(b"\0", b"").lstrip()[:1] in (b"{", b"[", b"<")
