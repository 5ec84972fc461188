"""The contents of a file by its structure, and a part of a file that acts as a whole one."""

from __future__ import annotations

import io
import mmap
import os
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_WINDOW = 8 << 20  # bytes read before earlier pages are released


class Mapped(mmap.mmap):
    """A memory-mapped file that is read sequentially, with few pages resident at a time."""

    _given_back = 0

    def give_back(self, at: int) -> None:
        """Release the pages before ``at``, once there are many; they are read again if needed."""
        if at - self._given_back >= _WINDOW and hasattr(mmap, "MADV_DONTNEED"):
            first = self._given_back
            self._given_back = at - at % mmap.PAGESIZE
            self.madvise(mmap.MADV_DONTNEED, first, self._given_back - first)

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        """Find bytes as ``mmap.find`` does, window by window."""
        stop = len(self) if end is None else min(end, len(self))
        self._given_back = min(self._given_back, start - start % mmap.PAGESIZE)
        while start < stop:
            until = min(stop, start + _WINDOW + len(sub))
            found = super().find(sub, start, until)
            if found >= 0 or until == stop:
                return found
            start += _WINDOW
            self.give_back(start)
        return -1


class ByteRange(NamedTuple):
    """A part that is passed to a decoder as one file.

    Args:
        start: first byte of the file ...
        stop: ... and the one after the last.
        head: precedes them: a header with the correct length.
    """

    start: int
    stop: int
    head: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The contents of a file.

    Args:
        parts: to be decoded one after the other; none: the file as it is.
        said_s: seconds of audio that it declares; ``None`` if unknown, or if the decoder has to
            report it.
        notes: deviations from the header.
        loss: why a part of it cannot be used, empty if it simply ends early; ``None``: it is
            complete.
        fault: why it must not be given to a decoder at all; ``None``: it may be.
    """

    parts: tuple[ByteRange, ...] = ()
    said_s: float | None = None
    notes: tuple[str, ...] = ()
    loss: str | None = None
    fault: str | None = None


class PartFile(io.RawIOBase):
    """A part of an open file, read as if it were a whole file.

    Args:
        file: open for reading, with its own descriptor; closed with this object.
        part: of it.
    """

    def __init__(self, file: BinaryIO, part: ByteRange) -> None:
        self._file = file
        self._part = part
        self._at = 0
        self._size = len(part.head) + part.stop - part.start

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which is returned."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill a buffer with the available bytes; return their number."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        head = self._part.head
        n_bytes = max(0, min(len(view), self._size - self._at))
        if not n_bytes:
            return 0
        if self._at < len(head):
            piece = head[self._at : self._at + n_bytes]
        else:
            self._file.seek(self._part.start + self._at - len(head))
            piece = self._file.read(n_bytes)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        """Close it and the file."""
        if not self.closed:
            self._file.close()
        super().close()
