"""Who uses a file: locks that end with the process that holds them, however it ends.

They are advisory locks of the operating system (``flock``), shared by those that read a file and
exclusive to the one that writes or deletes it. Where there are none (Windows, some network file
systems) nothing is locked, and a file counts as used until a day after its last use.
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
    """Lock a file that is read: until it and all maps of it are closed, nobody deletes it."""
    if _HAS_LOCKS:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)


def claim(file: BinaryIO) -> bool:
    """Lock a file for oneself; tell whether nobody else uses it."""
    taken = take(file)
    if taken is None:
        # A last use far in the future is from before the clock was set back.
        return abs(time.time() - os.fstat(file.fileno()).st_mtime) > _UNUSED_AFTER_S
    return taken


def take(file: BinaryIO) -> bool | None:
    """Lock a file for oneself until it is closed; tell whether it is, None: there are no locks."""
    if not _HAS_LOCKS:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # none in this file system
        return None
    return True


def wait_for(file: BinaryIO) -> None:
    """Lock a file for oneself until it is closed, once nobody else does; where there are locks."""
    if _HAS_LOCKS:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def remove_unused(path: Path) -> bool:
    """Delete a file unless a process uses it; tell whether it is gone."""
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
    """Let one process at a time into the block; the others wait.

    Args:
        path: of a file that stands for the block; it is there while somebody is inside or waits.
    """
    while True:
        with path.open("ab") as file:
            wait_for(file)
            if not is_at(file, path):  # the one before deleted it while this one waited
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def is_taken(path: Path) -> bool:
    """Tell whether a process is inside the block that ``path`` stands for."""
    try:
        with path.open("rb+") as file:
            return not claim(file)
    except OSError:
        return False


def is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether an open file is still the one that ``path`` names."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
