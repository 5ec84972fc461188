"""Locks on files in use, which end with the process that holds them.

They are advisory locks of the operating system (``flock``), shared for readers and exclusive
for writing or deleting. Where they are missing (Windows, some network file systems) nothing is
locked, and a file counts as used until a day after its last use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which refuses to delete a file that is open
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

_UNUSED_AFTER_S = 24 * 3600.0


def share(file: BinaryIO) -> None:
    """Lock a file for reading: it is not deleted until it and all maps of it are closed."""
    if _HAS_LOCKS:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)


def claim(file: BinaryIO) -> bool:
    """Lock a file exclusively; return whether nobody else uses it."""
    taken = take(file)
    if taken is None:
        # A last use far in the future is from before the clock was set back.
        return abs(time.time() - os.fstat(file.fileno()).st_mtime) > _UNUSED_AFTER_S
    return taken


def take(file: BinaryIO) -> bool | None:
    """Lock a file exclusively until it is closed; return the success, None: no locks here."""
    if not _HAS_LOCKS:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks in this file system
        return None
    return True


def wait_for(file: BinaryIO) -> None:
    """Wait to lock a file exclusively until it is closed, if locks are available."""
    if _HAS_LOCKS:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def remove_unused(path: Path) -> bool:
    """Delete a file unless a process uses it; return whether it is gone."""
    try:
        with path.open("rb+") as file:
            if not claim(file):
                return False
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # another user's, or no file
        return False
    return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Allow one process at a time in the block; the others wait.

    Args:
        path: of the block's lock file, which exists while a process is inside or waits.
    """
    while True:
        with path.open("ab") as file:
            wait_for(file)
            if not is_at(file, path):  # the previous process deleted it while this one waited
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def is_taken(path: Path) -> bool:
    """Whether a process is inside the block of ``path``."""
    try:
        with path.open("rb+") as file:
            return not claim(file)
    except OSError:
        return False


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
