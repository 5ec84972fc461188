"""Packs: the features of many recordings in one file, for thousands of short recordings.

A pack has rows of float32 numbers, little-endian, one recording after another; then an
index in JSON with a checksum of each, the index's own checksum, its length and a mark. So it
can be written without knowing its size in advance, its rows start at a page boundary, and a
truncated file has no mark. (An ``.npy`` or safetensors file has its sizes in front; a database
needs locks that network folders do not support; one file per recording costs a handle or a map
at each access.) A pack is written under another name, locked, and renamed when complete; after
that it never changes.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import stat
import struct
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.errors import DataError
from sed_cli.system import locks

ENDING = ".pack"
UNFINISHED = ".part"
_MARK = b"sedtf\x00p2"
_EARLIER_MARK = b"sedtf\x00p1"
_TAIL = struct.Struct("<IQ8s")  # checksum and length of the index, mark
_MOST_MELS = 2**24
_DTYPE = np.dtype("<f4")
_MAPPED_AT_MOST = 128 << 20
_FAULT_AROUND = 64 << 10  # minimum that the system maps when a page is touched


class Heard(NamedTuple):
    """The decoded part of a recording."""

    duration_s: float = 0.0
    loss: str | None = None  # why it is not complete


class Kept(NamedTuple):
    """A recording of a pack."""

    first: int  # row
    n_rows: int
    checksum: int  # CRC-32 of the rows
    heard: Heard


class Index(NamedTuple):
    """The contents of a pack."""

    n_mels: int
    hop_s: float
    source: str  # folder of the audio
    recordings: dict[str, Kept]  # by the hash of the audio

    @property
    def n_rows(self) -> int:
        """Rows of all recordings."""
        return sum(kept.n_rows for kept in self.recordings.values())


class PackWriter:
    """Writes a pack; a context manager that publishes the complete recordings on exit.

    Args:
        folder: destination; it must exist.
        n_mels: M, length of the rows.
        hop_s: seconds from one row to the next, and ...
        source: ... folder of the audio, for listings of the cache.
    """

    def __init__(self, folder: Path, *, n_mels: int, hop_s: float, source: str) -> None:
        self._n_mels = n_mels
        self._hop_s = hop_s
        self._source = source
        self._recordings: dict[str, Kept] = {}
        self._n_rows = 0
        self._path, self._file = _create(folder)

    def append(
        self,
        content: str,
        blocks: Iterable[NDArray[np.float32]],
        heard: Callable[[], Heard] = Heard,
    ) -> None:
        """Write the rows of a recording, block by block (t, M); if that fails, none of them.

        Args:
            content: hash of the audio.
            blocks: its features.
            heard: called after the last block.
        """
        first, checksum = self._n_rows, 0
        try:
            for block in blocks:
                rows = np.ascontiguousarray(block, _DTYPE).data
                self._file.write(rows)
                checksum = zlib.crc32(rows, checksum)
                self._n_rows += len(block)
            self._recordings[content] = Kept(first, self._n_rows - first, checksum, heard())
        except BaseException:
            self._n_rows = first
            self._file.seek(first * self._n_mels * _DTYPE.itemsize)
            self._file.truncate()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if not self._recordings or isinstance(error, OSError):  # such as a full disk
                self._path.unlink(missing_ok=True)
            else:
                self._publish()

    def _publish(self) -> None:
        try:
            index = Index(self._n_mels, self._hop_s, self._source, self._recordings)
            text = json.dumps(index._asdict()).encode()
            self._file.write(text + _TAIL.pack(zlib.crc32(text), len(text), _MARK))
            self._file.flush()
            os.fsync(self._file.fileno())  # so that a crash never leaves a name without content
            self._path.rename(self._path.with_suffix(ENDING))
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise


def _create(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
        file = path.open("xb")
        locks.claim(file)
        if locks.is_at(file, path):  # nobody deleted it before it was locked
            return path, file
        file.close()


class Pack:
    """A pack for reading: memory-mapped, and locked against deletion while referenced.

    A pack needs one file handle for any number of recordings. Pages that were read count as memory
    of this process, so all packs together release theirs from time to time; the system keeps them
    cached if it has room.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            locks.share(file)
            if not locks.is_at(file, path):
                raise FileNotFoundError(path)
            self.index = _read_index(file)
            # The map has its own handle to the open file, and with it the lock.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        shape = (self.index.n_rows, self.index.n_mels)
        self._rows = np.frombuffer(self._map, _DTYPE, shape[0] * shape[1]).reshape(shape)
        _mapped.add(self)

    def rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Copy a range of rows (last - first, M).

        Raises:
            DataError: if the file was truncated: accessing missing pages would end the process.
        """
        self._check_size()
        rows: NDArray[np.float32] = np.array(self._rows[first:last], np.float32)
        _mapped.note(rows.nbytes)
        return rows

    def is_intact(self, content: str) -> bool:
        """Whether a recording is intact: reads all of it."""
        self._check_size()
        kept = self.index.recordings[content]
        rows = self._rows[kept.first : kept.first + kept.n_rows]
        checksum = zlib.crc32(rows.data)
        _mapped.note(rows.nbytes)
        return checksum == kept.checksum

    def _check_size(self) -> None:
        if self._map.size() < len(self._map):
            raise DataError(
                f"{self.path}: was truncated while in use; delete it (sedtf cache "
                f"clear=features) and start again: its features are computed again"
            )

    def give_back(self) -> None:
        """Release the pages that were read; they are mapped again when needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[type[Pack], tuple[Path]]:
        """Pickle only the path: other processes map the file themselves."""
        return Pack, (self.path,)


class StoredArray:
    """The features of a recording on disk, read range by range.

    Args:
        pack: their pack.
        content: hash of the audio.

    Attributes:
        heard: how much of the recording they cover.
    """

    def __init__(self, pack: Pack, content: str) -> None:
        self._pack = pack
        self._first, self._n_rows, _, self.heard = pack.index.recordings[content]

    def __len__(self) -> int:
        return self._n_rows

    @property
    def shape(self) -> tuple[int, int]:
        """(T, M)."""
        return self._n_rows, self._pack.index.n_mels

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Read a range of frames: a copy, (t, M)."""
        first, last, step = rows.indices(self._n_rows)
        if step != 1:
            raise ValueError(f"a step of {step}: expected a range without gaps")
        return self._pack.rows(self._first + first, self._first + max(first, last))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything, for numpy functions."""
        return self[:].astype(dtype or np.float32, copy=False)


def read_index(path: Path) -> Index:
    """Read the contents of a pack without locking it.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged.
    """
    with _opened(path) as file:
        return _read_index(file)


def is_earlier(path: Path) -> bool:
    """Whether a file is a pack of an earlier version, without checksums.

    Raises:
        OSError: if it cannot be read.
    """
    with _opened(path) as file:
        file.seek(max(0, path.stat().st_size - len(_EARLIER_MARK)))
        return file.read() == _EARLIER_MARK


def _opened(path: Path) -> BinaryIO:
    """Open a pack; a pipe would block, a device would never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "a pipe or a device", str(path))
    return path.open("rb")


def _read_index(file: BinaryIO) -> Index:
    size = os.fstat(file.fileno()).st_size
    if size < _TAIL.size:
        raise ValueError("shorter than any pack")
    file.seek(size - _TAIL.size)
    checksum, length, mark = _TAIL.unpack(file.read(_TAIL.size))
    if mark != _MARK or length > size - _TAIL.size:
        raise ValueError("truncated, or not a pack")
    file.seek(size - _TAIL.size - length)
    text = file.read(length)
    if zlib.crc32(text) != checksum:
        raise ValueError("its index is damaged")
    try:
        index = _index_of(json.loads(text))
    except (
        *(KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError),
    ) as error:
        raise ValueError("its index is of another kind") from error
    expected = index.n_rows * index.n_mels * _DTYPE.itemsize
    if expected != size - _TAIL.size - length:
        raise ValueError(f"{size - _TAIL.size - length} bytes of features instead of {expected}")
    return index


def _index_of(values: dict[str, Any]) -> Index:
    recordings = {
        content: Kept(int(first), int(n_rows), int(checksum), Heard(*heard))
        for content, (first, n_rows, checksum, heard) in values["recordings"].items()
    }
    index = Index(int(values["n_mels"]), float(values["hop_s"]), str(values["source"]), recordings)
    if not (1 <= index.n_mels <= _MOST_MELS and 0 < index.hop_s < math.inf):
        raise ValueError(f"{index.n_mels} bands, {index.hop_s} s from one row to the next")
    end = 0
    for kept in sorted(recordings.values(), key=lambda kept: kept[:2]):
        if kept.first != end or kept.n_rows < 0:
            raise ValueError(f"row {kept.first} where {end} was expected")
        end += kept.n_rows
    return index


class _Mapped:
    """Counts the pages that all packs of this process have read, and releases them together."""

    def __init__(self) -> None:
        self._packs: weakref.WeakSet[Pack] = weakref.WeakSet()
        self._n_bytes = 0

    def add(self, pack: Pack) -> None:
        self._packs.add(pack)

    def note(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes + _FAULT_AROUND
        if self._n_bytes > _MAPPED_AT_MOST:
            self._n_bytes = 0
            for pack in list(self._packs):
                pack.give_back()


_mapped = _Mapped()
