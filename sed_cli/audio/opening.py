"""Opening audio files for libsndfile, and the reasons if that fails."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO, cast

import soundfile

from sed_cli.audio.containers import ByteRange, Contents, PartFile, examine
from sed_cli.audio.foreign import FOREIGN_ENDINGS, RAW_ENDING, decoded, raw_format
from sed_cli.errors import DataError
from sed_cli.system.structured import open_regular

UNKNOWN_LENGTH = 2**62
"""Samples, or more: libsndfile's value for a length missing in the header."""

FAULTS = (soundfile.SoundFileError, RuntimeError, TypeError)
"""Exceptions of soundfile for files that it cannot open or decode."""


class ReadThrough(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read sequentially.

    In a seekable file, soundfile sets the position after each read; but a flac file written to a
    pipe has no length in its header, so seeking to its end fails.
    """

    def seekable(self) -> bool:
        """Report that it is not seekable."""
        return False


class _ReadPart(ReadThrough):
    """A part of a file, which is closed with it."""

    def __init__(self, file: PartFile) -> None:
        self._part_file = file
        super().__init__(file)

    def close(self) -> None:
        """Close it and the file."""
        super().close()
        self._part_file.close()


def open_audio(path: Path, copy: IO[bytes] | None, part: ByteRange | None) -> ReadThrough:
    """Open a file, the copy of a pipe, or a part of either.

    Raises:
        DataError: if it is missing or not audio; the copy is closed then.
    """
    if copy is None:
        _refuse_unopenable(path)
    try:
        if part is not None:
            whole = path.open("rb") if copy is None else os.fdopen(os.dup(copy.fileno()), "rb")
            return _opened_part(PartFile(whole, part))
        # A temporary file has no name: libsndfile takes its descriptor. A name may not be valid
        # text.
        name = os.fsencode(path) if os.name == "posix" else path
        how = raw_format(path) if _is_raw(path, copy) else {}
        return ReadThrough(name if copy is None else copy.fileno(), closefd=False, **how)
    except FAULTS as error:
        if copy is not None:
            copy.close()
        raise unreadable(path, error) from error


def _opened_part(file: PartFile) -> ReadThrough:
    try:
        return _ReadPart(file)
    except BaseException:
        file.close()
        raise


def can_reach_its_end(file: ReadThrough) -> bool:
    """Whether the last sample of a flac file can be decoded: its frames are found by search.

    Other formats are read there without checking the contents.
    """
    if file.format != "FLAC" or not 0 < file.frames < UNKNOWN_LENGTH:
        return True
    try:
        file.seek(file.frames - 1)
        return len(file.read(1)) == 1
    except FAULTS:
        return False


def contents_of(path: Path, copy: IO[bytes] | None) -> Contents:
    """Examine a file, or the copy of a pipe, only once.

    Raises:
        DataError: if it cannot be opened, or would keep the decoder busy without end.
    """
    contents = _contents(path, copy)
    if contents.fault is not None:
        if copy is not None:
            copy.close()
        raise unreadable(path, ValueError(contents.fault))
    return contents


def _contents(path: Path, copy: IO[bytes] | None) -> Contents:
    if copy is not None:
        return examine(cast(BinaryIO, copy))
    _refuse_unopenable(path)
    if _is_raw(path, copy):  # its samples may look like any format
        return Contents()
    status = path.stat()
    return _contents_of_file(
        path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


def _is_raw(path: Path, copy: IO[bytes] | None) -> bool:
    return copy is None and path.suffix.lower() == RAW_ENDING


@lru_cache(maxsize=4096)
def _contents_of_file(path: Path, *signature: int) -> Contents:
    """Examine a file only once, unless it is written to."""
    with open_regular(path) as file:
        return examine(file)


def _refuse_unopenable(path: Path) -> None:
    """Explain why a file cannot be opened, which libsndfile does not."""
    if not path.is_file():
        what = "a folder, expected an audio file" if path.is_dir() else "no such audio file"
        raise DataError(f"{path}: {what}")
    try:
        open_regular(path).close()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error


def spooled(path: Path, pipe: IO[bytes] | None) -> IO[bytes] | None:
    """Copy a pipe to a temporary file, since decoders seek; or decode what libsndfile cannot.

    ``None`` for a file that can be read directly.
    """
    if pipe is None:
        if path.suffix.lower() in FOREIGN_ENDINGS and path.is_file():
            return decoded(path)
        if not path.is_fifo():
            return None
        with path.open("rb") as fifo:
            return spooled(path, fifo)
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(pipe, copy, length=2**20)
    copy.seek(0)
    return copy


def unreadable(path: Path, error: BaseException) -> DataError:
    """Create an error with the name of a file and soundfile's message."""
    return DataError(
        f"{path}: cannot be read as audio ({reason_of(error)}); convert it again, or exclude it"
    )


def reason_of(error: BaseException) -> str:
    """Return soundfile's message, to be part of a sentence."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
