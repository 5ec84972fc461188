"""Packs: the features of many recordings in one file, which thousands of short ones need.

A pack holds rows of float32 numbers, little-endian, the recordings one after the other; then an
index in JSON with a checksum of each, the index's own checksum, its length and a mark. So it can be
written without knowing beforehand how much there is to write, its rows lie at the start of a page,
and a file that was cut short has no mark. (An
``.npy`` or safetensors file has its sizes in front; a database wants locks that network folders do
not keep; one file a recording costs a handle or a map at each access.) A pack is written under
another name, locked, and renamed when it is whole; after that it never changes.
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
_FAULT_AROUND = 64 << 10  # what the system maps at least when a page is touched


class Heard(NamedTuple):
    """How much of a recording was decoded."""

    duration_s: float = 0.0
    loss: str | None = None  # why that is not all of it


class Kept(NamedTuple):
    """A recording of a pack."""

    first: int  # row
    n_rows: int
    checksum: int  # CRC-32 of the rows
    heard: Heard


class Index(NamedTuple):
    """What is in a pack."""

    n_mels: int
    hop_s: float
    source: str  # folder of the audio
    recordings: dict[str, Kept]  # by the hash of the audio

    @property
    def n_rows(self) -> int:
        """Rows of all recordings."""
        return sum(kept.n_rows for kept in self.recordings.values())


class PackWriter:
    """Writes a pack; used as a context manager, leaving which publishes what is whole by then.

    Args:
        folder: where to; it exists.
        n_mels: M, length of the rows.
        hop_s: seconds from one row to the next, and ...
        source: ... folder of the audio: for those who list the cache.
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
            heard: asked after the last block.
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
            if not self._recordings or isinstance(error, OSError):  # a full disk, for one
                self._path.unlink(missing_ok=True)
            else:
                self._publish()

    def _publish(self) -> None:
        try:
            index = Index(self._n_mels, self._hop_s, self._source, self._recordings)
            text = json.dumps(index._asdict()).encode()
            self._file.write(text + _TAIL.pack(zlib.crc32(text), len(text), _MARK))
            self._file.flush()
            os.fsync(self._file.fileno())  # so that no crash leaves a name without its content
            self._path.rename(self._path.with_suffix(ENDING))
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise


def _create(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
        file = path.open("xb")
        locks.claim(file)
        if locks.is_at(file, path):  # nobody swept it away before it was locked
            return path, file
        file.close()


class Pack:
    """A pack that is read: mapped into memory and locked against deletion while referred to.

    A pack costs one file handle, however many recordings it holds. Pages that were read count as
    this process's memory, so all packs together give theirs back now and then; the system keeps
    them at hand where it has room.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: if it is gone.
        ValueError: if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            locks.share(file)
            if not locks.is_at(file, path):
                raise FileNotFoundError(path)
            self.index = _read_index(file)
            # The map keeps a handle of its own to the open file, and with it the lock.
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        shape = (self.index.n_rows, self.index.n_mels)
        self._rows = np.frombuffer(self._map, _DTYPE, shape[0] * shape[1]).reshape(shape)
        _mapped.add(self)

    def rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Copy a range of rows (last - first, M).

        Raises:
            DataError: if the file was cut short meanwhile: to touch what is gone ends the process.
        """
        self._check_size()
        rows: NDArray[np.float32] = np.array(self._rows[first:last], np.float32)
        _mapped.note(rows.nbytes)
        return rows

    def is_intact(self, content: str) -> bool:
        """Tell whether a recording is what was written: reads all of it."""
        self._check_size()
        kept = self.index.recordings[content]
        rows = self._rows[kept.first : kept.first + kept.n_rows]
        checksum = zlib.crc32(rows.data)
        _mapped.note(rows.nbytes)
        return checksum == kept.checksum

    def _check_size(self) -> None:
        if self._map.size() < len(self._map):
            raise DataError(
                f"{self.path}: was cut short while it was in use; delete it (sedtf cache "
                f"clear=features) and start again: its features are computed again"
            )

    def give_back(self) -> None:
        """Let go of the pages that were read; those that are read again are mapped again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[type[Pack], tuple[Path]]:
        """Send the path to other processes: they map the file themselves."""
        return Pack, (self.path,)


class StoredArray:
    """The features of a recording, on disk: read range by range, never held as a whole.

    Args:
        pack: that they lie in.
        content: hash of the audio.

    Attributes:
        heard: how much of the recording they are of.
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
        """Read the whole: what numpy's functions ask for."""
        return self[:].astype(dtype or np.float32, copy=False)


def read_index(path: Path) -> Index:
    """Read what is in a pack without keeping hold of it.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged.
    """
    with _opened(path) as file:
        return _read_index(file)


def is_earlier(path: Path) -> bool:
    """Tell whether a file is a pack of an earlier version, which had no checksums.

    Raises:
        OSError: if it cannot be read.
    """
    with _opened(path) as file:
        file.seek(max(0, path.stat().st_size - len(_EARLIER_MARK)))
        return file.read() == _EARLIER_MARK


def _opened(path: Path) -> BinaryIO:
    """Open a pack; a pipe would be waited for, a device read without an end."""
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
        raise ValueError("cut short, or no pack")
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
    """Counts what all packs of this process have read, and lets them give it back together."""

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
