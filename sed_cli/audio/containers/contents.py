"""What a file holds by its structure, and a part of a file that looks like a whole one."""

from __future__ import annotations

import io
import mmap
import os
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_WINDOW = 8 << 20  # bytes looked at before what lies behind is given back


class Mapped(mmap.mmap):
    """A file in memory that is read from front to back, of which little is held at a time."""

    _given_back = 0

    def give_back(self, at: int) -> None:
        """Let go of the pages before ``at``, once they are many; they are read again if needed."""
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
    """What a decoder is to be given as one file.

    Args:
        start: first byte of the file ...
        stop: ... and the one after the last.
        head: comes before them: a header that says how much there is.
    """

    start: int
    stop: int
    head: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file holds.

    Args:
        parts: to be decoded one after the other; none: the file as it is.
        said_s: seconds of audio that it says it holds; ``None`` where that is not known, or where
            the decoder is to be asked.
        notes: what was taken otherwise than the header says.
        loss: why a part of it cannot be used, empty where nothing more is to be said than that it
            breaks off; ``None``: all of it can.
    """

    parts: tuple[ByteRange, ...] = ()
    said_s: float | None = None
    notes: tuple[str, ...] = ()
    loss: str | None = None


class PartFile(io.RawIOBase):
    """A part of an open file, read as if it were all there is.

    Args:
        file: open for reading, with a descriptor of its own; closed with this.
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
        """Fill a buffer as far as there is something; return how far."""
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
