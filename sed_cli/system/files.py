"""Atomic files and folders: written under another name, then moved into place.

A rename protects against a killed process, but not against a power cut: the disk may have the
new name before the contents of the file. Important files are written *durably*: they are
flushed to the disk before they replace the old file, which is deleted only once the disk has
the new name.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_WRITES = (*_FULL, errno.EFBIG, errno.EIO)
_MOST_CAUSES = 20
LONGEST_NAME = 255
"""Bytes of a name, on most file systems."""

_PART = ".part"  # in names of incomplete files
# The second form is from earlier versions.
_LEFTOVER = re.compile(
    rf"\..+-[0-9a-f]{{8}}{_PART}(\.[^.]+)?|\.(learning_curves|events)-[0-9a-f]{{8}}\.png"
)

# Errors of file systems that cannot flush a folder or a read-only file.
_CANNOT_BE_FLUSHED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM}


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a path to write to; the result replaces ``path``.

    The folder of ``path`` is created if missing. If the block raises, ``path`` is unchanged and the
    incomplete file is removed.

    Args:
        path: to create or replace.
        durable: whether it must survive a power cut after the block.
    """
    make_folder(path.parent)
    # The ending stays last, since image writers depend on it; long names are cut to make room.
    ending = f"-{secrets.token_hex(4)}{_PART}{path.suffix}"
    temporary = path.with_name(f".{_cut(path.stem, LONGEST_NAME - 1, ending)}{ending}")
    try:
        yield temporary
        if durable:
            flush(temporary)
        # os.replace, since it overwrites on every platform.
        os.replace(temporary, path)  # noqa: PTH105
        if durable:
            flush(path.parent)
    except OSError as error:
        if error.filename is None and error.errno in _OF_WRITES:  # which do not name the file
            error.filename = os.fspath(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def fitting_name(base: str, ending: str) -> str:
    """Join a name and an ending; a hash replaces the end of a name that is too long.

    Different names stay different, and equal ones are always shortened equally.
    """
    if len(os.fsencode(base + ending)) <= LONGEST_NAME:
        return base + ending
    mark = hashlib.blake2b(os.fsencode(base), digest_size=4).hexdigest()
    return f"{_cut(base, LONGEST_NAME, f'~{mark}{ending}')}~{mark}{ending}"


def _cut(name: str, longest: int, ending: str) -> str:
    """The start of a name that leaves room for an ending."""
    room = max(longest - len(os.fsencode(ending)), 0)
    return os.fsencode(name)[:room].decode(errors="ignore")


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text in UTF-8, with unchanged line ends."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a new file; disk errors name it."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def full_disk(error: BaseException | None) -> Path | None:
    """Return the folder of a full disk, if that caused an error.

    Returns:
        The deepest existing folder; the empty path if the error names none, as with libraries that
        have their own messages; None for any other error.
    """
    is_full = False
    for one in causes(error):
        if isinstance(one, OSError) and one.errno in _FULL and one.filename:
            return next((f for f in Path(str(one.filename)).parents if f.is_dir()), Path())
        is_full |= isinstance(one, OSError) and one.errno in _FULL
        is_full |= "No space left on device" in str(one)
    return Path() if is_full else None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it came from, and so on: not for ever, where they name one another."""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def json_text(values: Any) -> str:
    """Return readable JSON: indented, without escaping letters."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record durably; if the disk has no room for a second file, into the old one.

    Raises:
        OSError: if it cannot be written.
    """
    text = json.dumps(values, indent=2) + "\n"
    try:
        write_text(path, text, durable=True)
    except OSError as error:
        if error.errno not in _FULL or not path.is_file():
            raise
        with path.open("r+b") as file:
            file.write(text.encode())
            file.truncate()


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder to write to; it then replaces ``folder`` durably.

    No system call replaces a folder that is not empty, so for a moment the older one has another
    name: readers use :func:`standing` to find it. If the block raises, ``folder`` is unchanged.
    """
    make_folder(folder.parent)
    new = folder.parent / f".{folder.name}-new-{secrets.token_hex(4)}"
    new.mkdir()
    try:
        yield new
        flush_tree(new)
        older = _older(folder)
        if folder.exists():
            flush(folder.parent)  # a leftover `older` of a killed process is needed until now
            shutil.rmtree(older, ignore_errors=True)
            folder.rename(older)
        new.rename(folder)
        flush(folder.parent)
        shutil.rmtree(older, ignore_errors=True)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def standing(folder: Path) -> Path:
    """The folder, or the previous one if :func:`replacing_folder` was interrupted."""
    older = _older(folder)
    return older if older.is_dir() and not folder.exists() else folder


def _older(folder: Path) -> Path:
    return folder.parent / f".{folder.name}-old"  # with_name refuses a folder given as "."


def make_folder(folder: Path) -> None:
    """Create a folder and missing ones above it, durably."""
    if folder.is_dir():
        return
    missing = [folder, *(parent for parent in folder.parents if not parent.exists())]
    folder.mkdir(parents=True, exist_ok=True)
    for made in dict.fromkeys(missing):
        flush(made.parent)


def flush(path: Path) -> None:
    """Wait until the disk has the contents of a file, or the names in a folder.

    Raises:
        OSError: if writing fails, as on a full disk.
    """
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    try:
        number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:  # a folder that is writable but not readable
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _CANNOT_BE_FLUSHED:
            raise
    finally:
        os.close(number)


def flush_tree(folder: Path, *, since: float | None = None) -> None:
    """Flush all files at or below a folder, without following links, and then the folder.

    Args:
        folder: the folder.
        since: skip files last written before this time (seconds since 1970).
    """
    for parent, _, names in os.walk(folder, topdown=False):
        for path in (*(Path(parent, name) for name in names), Path(parent)):
            with suppress(FileNotFoundError):  # a temporary file of another process
                facts = path.lstat()
                is_old = since is not None and facts.st_mtime < since
                if stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode) and not is_old):
                    flush(path)


def remove_leftovers(folder: Path, replaced: Sequence[str] = ()) -> None:
    """Remove incomplete files of killed processes in a folder that no other process uses.

    Args:
        folder: may be missing.
        replaced: names of subfolders that :func:`replacing_folder` replaces.
    """
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    for name in replaced:
        for path in folder.glob(f".{glob.escape(name)}-new-*"):
            shutil.rmtree(path, ignore_errors=True)
        if (folder / name).is_dir() and _older(folder / name).is_dir():
            flush(folder)
            shutil.rmtree(_older(folder / name), ignore_errors=True)
