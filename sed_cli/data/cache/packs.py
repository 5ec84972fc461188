"""Packs: the features of many recordings in one file, which thousands of short ones need.

A pack holds rows of float32 numbers, little-endian, the recordings one after the other; then an
index in JSON, its length and a mark. So it can be written without knowing beforehand how much there
is to write, its rows lie at the start of a page, and a file that was cut short has no mark. (An
``.npy`` or safetensors file has its sizes in front; a database wants locks that network folders do
not keep; one file a recording costs a handle or a map at each access.) A pack is written under
another name, locked, and renamed when it is whole; after that it never changes.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.system import locks

ENDING = ".pack"
UNFINISHED = ".part"
_MARK = b"sedtf\x00p1"
_TAIL = struct.Struct("<Q8s")  # length of the index, mark
_DTYPE = np.dtype("<f4")
_MAPPED_AT_MOST = 128 << 20
_FAULT_AROUND = 64 << 10  # what the system maps at least when a page is touched


class Index(NamedTuple):
    """What is in a pack."""

    n_mels: int
    hop_s: float
    source: str  # folder of the audio
    recordings: dict[str, tuple[int, int]]  # hash of the audio: first row, number of rows

    @property
    def n_rows(self) -> int:
        """Rows of all recordings."""
        return sum(n_rows for _, n_rows in self.recordings.values())


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
        self._recordings: dict[str, tuple[int, int]] = {}
        self._n_rows = 0
        self._path, self._file = _create(folder)

    def append(self, content: str, blocks: Iterable[NDArray[np.float32]]) -> None:
        """Write the rows of a recording, block by block (t, M); if that fails, none of them."""
        first = self._n_rows
        try:
            for block in blocks:
                self._file.write(np.ascontiguousarray(block, _DTYPE).data)
                self._n_rows += len(block)
        except BaseException:
            self._n_rows = first
            self._file.seek(first * self._n_mels * _DTYPE.itemsize)
            self._file.truncate()
            raise
        self._recordings[content] = (first, self._n_rows - first)

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
            self._file.write(text + _TAIL.pack(len(text), _MARK))
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
        with path.open("rb") as file:
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
        """Copy a range of rows (last - first, M)."""
        rows: NDArray[np.float32] = np.array(self._rows[first:last], np.float32)
        _mapped.note(rows.nbytes)
        return rows

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
        first: row of the pack.
        n_rows: T.
    """

    def __init__(self, pack: Pack, first: int, n_rows: int) -> None:
        self._pack = pack
        self._first = first
        self._n_rows = n_rows

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
    with path.open("rb") as file:
        return _read_index(file)


def _read_index(file: BinaryIO) -> Index:
    size = os.fstat(file.fileno()).st_size
    if size < _TAIL.size:
        raise ValueError("shorter than any pack")
    file.seek(size - _TAIL.size)
    length, mark = _TAIL.unpack(file.read(_TAIL.size))
    if mark != _MARK or length > size - _TAIL.size:
        raise ValueError("cut short, or no pack")
    file.seek(size - _TAIL.size - length)
    values = json.loads(file.read(length))
    values["recordings"] = {name: (first, n) for name, (first, n) in values["recordings"].items()}
    index = Index(**values)
    expected = index.n_rows * index.n_mels * _DTYPE.itemsize
    if expected != size - _TAIL.size - length:
        raise ValueError(f"{size - _TAIL.size - length} bytes of features instead of {expected}")
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
