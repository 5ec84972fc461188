"""Opening audio files: what libsndfile is given to read, and why that cannot be."""

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
"""Samples, or more: libsndfile's word for a length that the header leaves open."""

FAULTS = (soundfile.SoundFileError, RuntimeError, TypeError)
"""What soundfile raises where it cannot open or decode a file."""


class ReadThrough(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its start to its end.

    Of one that can seek, soundfile sets the position after each read. A flac file that was written
    into a pipe leaves its length open, and cannot be positioned at its end.
    """

    def seekable(self) -> bool:
        """Say that it cannot."""
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
    """Open a file, the copy that was made of a pipe, or a part of either.

    Raises:
        DataError: if it is missing or no audio; the copy is closed then.
    """
    if copy is None:
        _refuse_unopenable(path)
    try:
        if part is not None:
            whole = path.open("rb") if copy is None else os.fdopen(os.dup(copy.fileno()), "rb")
            return _opened_part(PartFile(whole, part))
        # A temporary file has no name: libsndfile takes its descriptor. A name may be no text.
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
    """Tell whether the last sample of a flac file can be decoded: its frames are found by search.

    Other formats are read there without looking at what is there.
    """
    if file.format != "FLAC" or not 0 < file.frames < UNKNOWN_LENGTH:
        return True
    try:
        file.seek(file.frames - 1)
        return len(file.read(1)) == 1
    except FAULTS:
        return False


def contents_of(path: Path, copy: IO[bytes] | None) -> Contents:
    """Tell what a file holds, or the copy that was made of a pipe: examined once.

    Raises:
        DataError: if it cannot be opened.
    """
    if copy is not None:
        return examine(cast(BinaryIO, copy))
    _refuse_unopenable(path)
    if _is_raw(path, copy):  # its samples may look like anything
        return Contents()
    status = path.stat()
    return _contents_of_file(
        path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    )


def _is_raw(path: Path, copy: IO[bytes] | None) -> bool:
    return copy is None and path.suffix.lower() == RAW_ENDING


@lru_cache(maxsize=4096)
def _contents_of_file(path: Path, *signature: int) -> Contents:
    """Examine a file once for as long as nobody writes to it."""
    with open_regular(path) as file:
        return examine(file)


def _refuse_unopenable(path: Path) -> None:
    """Say why a file cannot be opened, which libsndfile does not."""
    if not path.is_file():
        what = "a folder, expected an audio file" if path.is_dir() else "no such audio file"
        raise DataError(f"{path}: {what}")
    try:
        open_regular(path).close()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error


def spooled(path: Path, pipe: IO[bytes] | None) -> IO[bytes] | None:
    """Copy a pipe to a temporary file, for decoders seek, or decode what libsndfile cannot.

    ``None`` for a file that is to be read as it is.
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
    """Make an error that names a file and says what soundfile says of it."""
    return DataError(
        f"{path}: cannot be read as audio ({reason_of(error)}); convert it again, or leave it out"
    )


def reason_of(error: BaseException) -> str:
    """Return what soundfile says, to be put into a sentence."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
