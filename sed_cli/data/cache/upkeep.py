"""Contents and limit of the cache, and deletion of old entries.

An item is stored and deleted as a whole: a pack of features, or a folder of generated soundscapes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from sed_cli.data.cache.packs import ENDING, UNFINISHED, is_earlier, read_index
from sed_cli.data.soundscapes.recipe import RECIPE_FILE
from sed_cli.errors import UserError
from sed_cli.system import locks
from sed_cli.system.structured import read_json_object

log = logging.getLogger(__name__)

_LIMIT_GB = 20.0
_ABANDONED_AFTER_S = 24 * 3600.0
_held: dict[Path, int] = {}
_EARLIER_LAYOUT = re.compile("[0-9a-f]{2}")  # a folder of .npy files


@dataclass(frozen=True, kw_only=True)
class Cached:
    """A unit of storage and deletion."""

    kind: str  # features or soundscapes
    path: Path
    n_bytes: int
    last_use: float  # seconds since 1970
    source: str  # what it belongs to
    n_recordings: int
    hours: float

    @property
    def is_in_use(self) -> bool:
        """Whether a process uses it."""
        is_special = not (self.path.is_dir() or self.path.is_file())  # opening one may block
        return not is_special and locks.is_taken(_guard(self.path))

    def remove(self) -> bool:
        """Delete it unless a process uses it; return whether it is gone."""
        if self.path.is_dir():
            return _remove_folder(self.path)
        if not self.path.is_file():
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            return not self.path.is_symlink() and not self.path.exists()
        return locks.remove_unused(self.path)


def cache_root(cache_dir: str | None) -> Path:
    """Folder of the cache: ``cache_dir``, else ``$SEDTF_CACHE``, else the user's cache folder.

    Raises:
        UserError: if it cannot be created.
    """
    root = Path(
        cache_dir or os.environ.get("SEDTF_CACHE") or platformdirs.user_cache_path("sedtf")
    ).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be created for the cache ({error.strerror}); "
            f"set data.cache_dir or SEDTF_CACHE to a folder you may write to"
        ) from error
    return root


def limit_bytes(root: Path, limit_gb: float | None, n_cached: int) -> int:
    """Return the size limit of the cache.

    Args:
        root: folder of the cache.
        limit_gb: in 10^9 bytes; ``None``: ``$SEDTF_CACHE_LIMIT_GB``, else 20, or half of the disk
            space left for the cache if that is less.
        n_cached: bytes in the cache.

    Raises:
        UserError: if the variable is not a number of at least 0.
    """
    if limit_gb is not None:
        return int(limit_gb * 1e9)
    given = os.environ.get("SEDTF_CACHE_LIMIT_GB")
    if not given:
        return int(min(_LIMIT_GB * 1e9, (shutil.disk_usage(root).free + n_cached) / 2))
    try:
        limit = float(given)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UserError(f"SEDTF_CACHE_LIMIT_GB={given}: expected a number of gigabytes, such as 20")
    return int(limit * 1e9)


def items(root: Path) -> Iterator[Cached]:
    """Yield the items of the cache."""
    for folder in _folders(root / "features"):
        if _EARLIER_LAYOUT.fullmatch(folder.name):
            files = list(folder.glob("*.npy"))
            yield _folder_item("features", folder, "an earlier version", len(files), 0.0)
            continue
        for path in sorted(folder.glob(f"*{ENDING}")):
            if not path.is_file():
                yield _folder_item("features", path, "damaged", 0, 0.0)
                continue
            with suppress(OSError):
                yield _pack_item(path)
    for folder in _folders(root / "soundscapes"):
        with suppress(OSError):
            yield _soundscapes_item(folder)


def trim(root: Path, limit_gb: float | None) -> list[Cached]:
    """Delete the least recently used items, except those in use, down to the limit."""
    held = sorted(items(root), key=lambda item: item.last_use)
    total = sum(item.n_bytes for item in held)
    limit = limit_bytes(root, limit_gb, total)
    removed = []
    for item in held:
        if total <= limit:
            break
        if item.remove():
            total -= item.n_bytes
            removed.append(item)
    if removed:
        n_bytes = sum(item.n_bytes for item in removed)
        log.info("cache: deleted the least recently used %.1f MB", n_bytes / 1e6)
    if total > limit:
        log.warning(
            "%s: entries in use take %.3g GB, more than the limit of %.3g GB "
            "(data.cache_limit_gb or SEDTF_CACHE_LIMIT_GB)",
            root, total / 1e9, limit / 1e9,
        )  # fmt: skip
    return removed


def sweep(root: Path) -> int:
    """Delete leftovers of interrupted runs; return their size in bytes."""
    n_bytes = 0
    for folder in _folders(root / "features"):
        for pattern in (f"*{UNFINISHED}", "*.lock"):
            for path in folder.glob(pattern):
                with suppress(OSError):
                    size = path.stat().st_size
                    n_bytes += size if locks.remove_unused(path) else 0
    for path in (root / "soundscapes").glob("*.lock"):
        locks.remove_unused(path)
    for folder in (root / "soundscapes").glob(".*.partial"):
        size, newest = _measure(folder)
        if abs(time.time() - newest) > _ABANDONED_AFTER_S:  # or the clock was set back since
            shutil.rmtree(folder, ignore_errors=True)
            n_bytes += size
    return n_bytes


def digests_path(root: Path) -> Path:
    """Return the path of the remembered hashes of audio files."""
    return root / "digests.sqlite"


def forget_digests(root: Path) -> int:
    """Delete the remembered hashes of audio files; return their size in bytes."""
    path = digests_path(root)
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def hold(folder: Path) -> bool:
    """Protect a folder of soundscapes from deletion while this process runs; record its use.

    Returns:
        Whether it exists.
    """
    guard = _guard(folder)
    try:
        with guard.open("rb") as file:
            locks.share(file)
            if not locks.is_at(file, guard):
                return False
            release(folder)
            _held[folder] = os.dup(file.fileno())  # the lock lives as long as any handle to it
    except FileNotFoundError:
        return False
    with suppress(OSError):  # another user's
        os.utime(guard)
    return True


def release(folder: Path) -> None:
    """Release a folder protected by :func:`hold`."""
    if folder in _held:
        os.close(_held.pop(folder))


def _guard(path: Path) -> Path:
    """Return the file of an item on which its lock and use are recorded."""
    return _recipe(path) if path.is_dir() else path


def _recipe(folder: Path) -> Path:
    """Return the recipe file of a folder of soundscapes."""
    older = folder / "settings.json"  # of data sets from before there were recipes
    return older if older.is_file() else folder / RECIPE_FILE


def _folders(parent: Path) -> list[Path]:
    """Subfolders, except hidden ones and links, whose targets belong to others."""
    try:
        return sorted(
            p for p in parent.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != "."
        )
    except OSError:
        return []


def _pack_item(path: Path) -> Cached:
    status = path.stat()
    common: dict[str, Any] = {
        "kind": "features",
        "path": path,
        "n_bytes": status.st_size,
        "last_use": status.st_mtime,
    }
    try:
        index = read_index(path)
    except ValueError:
        source = "an earlier version" if is_earlier(path) else "damaged"
        return Cached(source=source, n_recordings=0, hours=0.0, **common)
    return Cached(
        source=index.source,
        n_recordings=len(index.recordings),
        hours=index.n_rows * index.hop_s / 3600,
        **common,
    )


def _soundscapes_item(folder: Path) -> Cached:
    n_recordings = sum(1 for path in folder.glob("audio/*/*") if path.is_file())
    source, hours = folder.name, 0.0
    try:
        settings = read_json_object(_recipe(folder))["settings"]
        duration_s = float(settings["duration_s"])
        source = f"{folder.name} ({duration_s:g} s each, seed {settings['seed']})"
        hours = n_recordings * duration_s / 3600
    # damaged, or another user's
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        pass
    return _folder_item("soundscapes", folder, source, n_recordings, hours)


def _folder_item(kind: str, folder: Path, source: str, n_recordings: int, hours: float) -> Cached:
    size, newest = _measure(folder)
    return Cached(
        kind=kind,
        path=folder,
        n_bytes=size,
        last_use=newest,
        source=source,
        n_recordings=n_recordings,
        hours=hours,
    )


def _measure(folder: Path) -> tuple[int, float]:
    """Size of all files of a folder, and the time of the newest."""
    size, newest = 0, 0.0
    for path in folder.rglob("*"):
        with suppress(OSError):
            status = path.stat()
            size += status.st_size if path.is_file() else 0
            newest = max(newest, status.st_mtime)
    return size, newest


def _remove_folder(folder: Path) -> bool:
    """Delete a folder unless a process uses it: renamed first, so that nobody uses half of it."""
    gone = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    guard = _guard(folder)
    try:
        if guard.is_file():
            with guard.open("rb+") as file:
                if not locks.claim(file):
                    return False
                folder.rename(gone)
        else:
            folder.rename(gone)
    except FileNotFoundError:
        return True
    except OSError:  # another user's, or irregular
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True
