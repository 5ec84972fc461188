"""Hashes of files, remembered as long as a file is provably unchanged."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from sed_cli.audio import Signature, signature
from sed_cli.data.cache import memory
from sed_cli.errors import DataError
from sed_cli.system.pool import n_cores
from sed_cli.system.structured import open_regular

_ATTEMPTS = 3


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
    with open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class Digests:
    """Hashes files, each one once.

    Args:
        path: of the memory beside the cache.
    """

    def __init__(self, path: Path) -> None:
        self._memory = memory.Memory(path, "files")

    def of(self, paths: Iterable[Path]) -> list[Hashed]:
        """Hash files, or look up their hashes.

        Raises:
            DataError: if a file is missing, cannot be read, or is being written.
        """
        now = time.time()
        # The path as given, with links: a changed link is another file.
        paths = [path.absolute() for path in paths]
        seen = {path: signature(path) for path in dict.fromkeys(paths)}
        known = self._memory.recall(seen)
        found = {path: Hashed(path, seen[path], content) for path, content in known.items()}
        new = [path for path in dict.fromkeys(paths) if path not in found]
        with ThreadPoolExecutor(n_cores()) as threads:  # hashing releases the interpreter
            hashed = list(threads.map(_hash_unchanged, new))
        self._memory.note([one for one in hashed if memory.is_settled(one.signature, now)], now)
        found.update((one.path, one) for one in hashed)
        return [found[path] for path in paths]


def _hash_unchanged(path: Path) -> Hashed:
    for _ in range(_ATTEMPTS):
        before = signature(path)
        try:
            content = file_digest(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if signature(path) == before:
            return Hashed(path, before, content)
    raise DataError(f"{path}: is being written while it is read; try again later")
