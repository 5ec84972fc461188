"""Facts about files, valid as long as they are provably unchanged.

The memory is a table beside the cache. It only saves time: if it cannot be read or written,
files are examined again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from sed_cli.audio import Signature

log = logging.getLogger(__name__)

_FORGOTTEN_AFTER_S = 180 * 24 * 3600.0
_COLUMNS = """
    path BLOB PRIMARY KEY, size INTEGER, modified_ns INTEGER, changed_ns INTEGER, inode INTEGER,
    content TEXT, noted REAL
"""


class Memory:
    """Stores a text for each file.

    Args:
        path: of the database.
        table: of the database.
    """

    def __init__(self, path: Path, table: str) -> None:
        self._path = path
        self._table = table

    def recall(self, seen: Mapping[Path, Signature]) -> dict[Path, str]:
        """Return facts about files with these signatures."""
        found: dict[Path, str] = {}
        if not self._path.is_file():
            return found
        query = (
            f"SELECT size, modified_ns, changed_ns, inode, content FROM {self._table} "
            f"WHERE path = ?"
        )
        try:
            with closing(sqlite3.connect(self._path, timeout=2.0)) as table:
                for path, now in seen.items():
                    row = table.execute(query, (os.fsencode(path),)).fetchone()
                    if row is not None and row[:4] == now:
                        found[path] = row[4]
        except sqlite3.OperationalError as error:  # locked, or no such table
            log.debug("%s: not read (%s)", self._path, error)
        except sqlite3.DatabaseError as error:
            log.warning("%s: damaged (%s), created again", self._path, error)
            self._path.unlink(missing_ok=True)
        return found

    def note(self, known: Iterable[tuple[Path, Signature, str]], now: float) -> None:
        """Store facts about files, and delete those unused for half a year."""
        rows = [(os.fsencode(path), *of, content, now) for path, of, content in known]
        if not rows:
            return
        try:
            with closing(sqlite3.connect(self._path, timeout=2.0)) as table, table:
                table.execute(
                    f"CREATE TABLE IF NOT EXISTS {self._table} ({_COLUMNS}) WITHOUT ROWID"
                )
                oldest = now - _FORGOTTEN_AFTER_S
                table.execute(f"DELETE FROM {self._table} WHERE noted < ?", (oldest,))
                table.executemany(
                    f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?, ?, ?, ?, ?, ?)", rows
                )
        except sqlite3.Error as error:
            log.debug("%s: not written (%s)", self._path, error)


# A file written a moment ago may be written again within the same tick of its file system's
# clock (up to 2 s), and then look the same: it is not remembered yet.
SETTLED_AFTER_S = 3.0


def is_settled(signature: Signature, now: float) -> bool:
    """Whether a file had not been written to for long enough at a time."""
    written_s = max(signature.modified_ns, signature.changed_ns) / 1e9
    return written_s < now - SETTLED_AFTER_S
