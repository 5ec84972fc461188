"""Hashes of files, remembered for as long as a file is provably the one that was hashed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sed_cli.data.pool import n_cores
from sed_cli.errors import DataError

log = logging.getLogger(__name__)

# A file that was written a moment ago may be written again within the same tick of its file
# system's clock (2 s on the coarsest), and then look the same: its hash is not remembered yet.
_SETTLED_AFTER_S = 3.0
_ATTEMPTS = 3
_FORGOTTEN_AFTER_S = 180 * 24 * 3600.0
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, changed_ns INTEGER, inode INTEGER,
    content TEXT, noted REAL
) WITHOUT ROWID
"""


class Signature(NamedTuple):
    """What changes whenever a file is written, replaced or given other times."""

    size: int
    modified_ns: int
    changed_ns: int  # of the inode: unlike the time above, no program can set it back
    inode: int


class Hashed(NamedTuple):
    """A file and its content."""

    path: Path
    signature: Signature
    content: str  # hash, in hexadecimal


def digest(values: Mapping[str, Any]) -> str:
    """Hash of a mapping of plain values, in hexadecimal, independent of the order of its keys."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def signature(path: Path) -> Signature:
    """Return the signature of a file.

    Raises:
        DataError: if there is none.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: no such audio file ({error.strerror})") from error
    return Signature(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Digests:
    """Hashes files, each one once.

    The memory is a table beside the cache. It saves time and nothing else: where it cannot be read
    or written, files are hashed again.

    Args:
        path: of the table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, paths: Iterable[Path]) -> list[Hashed]:
        """Hash files, or remember their hashes.

        Raises:
            DataError: if a file is missing, cannot be read, or is written meanwhile.
        """
        now = time.time()
        # The path as it was given, not where links lead: a link that changes is another file.
        paths = [path.absolute() for path in paths]
        found = self._recall({path: signature(path) for path in dict.fromkeys(paths)})
        new = [path for path in dict.fromkeys(paths) if path not in found]
        with ThreadPoolExecutor(n_cores()) as threads:  # hashing releases the interpreter
            hashed = list(threads.map(_hash_unchanged, new))
        self._note([one for one in hashed if _is_settled(one.signature, now)], now)
        found.update((one.path, one) for one in hashed)
        return [found[path] for path in paths]

    def _recall(self, seen: Mapping[Path, Signature]) -> dict[Path, Hashed]:
        found: dict[Path, Hashed] = {}
        if not self._path.is_file():
            return found
        query = "SELECT size, modified_ns, changed_ns, inode, content FROM files WHERE path = ?"
        try:
            with closing(sqlite3.connect(self._path, timeout=2.0)) as table:
                for path, now in seen.items():
                    row = table.execute(query, (os.fsencode(path),)).fetchone()
                    if row is not None and row[:4] == now:
                        found[path] = Hashed(path, now, row[4])
        except sqlite3.OperationalError as error:  # locked, or no such table
            log.debug("%s: not read (%s)", self._path, error)
        except sqlite3.DatabaseError as error:
            log.warning("%s: damaged (%s), made anew", self._path, error)
            self._path.unlink(missing_ok=True)
        return found

    def _note(self, hashed: Sequence[Hashed], now: float) -> None:
        if not hashed:
            return
        rows = [(os.fsencode(one.path), *one.signature, one.content, now) for one in hashed]
        try:
            with closing(sqlite3.connect(self._path, timeout=2.0)) as table, table:
                table.execute(_TABLE)
                table.execute("DELETE FROM files WHERE noted < ?", (now - _FORGOTTEN_AFTER_S,))
                table.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            log.debug("%s: not written (%s)", self._path, error)


def _is_settled(signature: Signature, now: float) -> bool:
    written_s = max(signature.modified_ns, signature.changed_ns) / 1e9
    return written_s < now - _SETTLED_AFTER_S


def _hash_unchanged(path: Path) -> Hashed:
    for _ in range(_ATTEMPTS):
        before = signature(path)
        try:
            content = file_digest(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if signature(path) == before:
            return Hashed(path, before, content)
    raise DataError(f"{path}: is being written while it is read; try again when that is done")
