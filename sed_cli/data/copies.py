"""Identical files in two splits, which leak training data into tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from sed_cli.data.manifest import Clip
from sed_cli.system.structured import open_regular

T = TypeVar("T")
Placed = tuple[str, T]
"""A split, and a recording in it."""

_BLOCK = 2**16  # bytes from the middle of a file, which few different recordings share


def find_copies(
    splits: Mapping[str, Iterable[T]], *keys: Callable[[T], Hashable]
) -> list[list[Placed[T]]]:
    """Return groups of recordings with equal keys in different splits.

    Args:
        splits: of a data set.
        keys: evaluated in order, cheap ones first, and only while recordings of different splits
            are still grouped together. :data:`BY_FILE` for plain files.
    """
    groups = [[(split, one) for split, recordings in splits.items() for one in recordings]]
    for key in keys:
        groups = [part for group in groups for part in _parted(group, key)]
    return groups


def _parted(group: Iterable[Placed[T]], key: Callable[[T], Hashable]) -> list[list[Placed[T]]]:
    parts: dict[Hashable, list[Placed[T]]] = {}
    for split, one in group:
        parts.setdefault(key(one), []).append((split, one))
    return [part for part in parts.values() if len({split for split, _ in part}) > 1]


def _size(entry: Clip) -> int:
    return entry.path.stat().st_size


def _middle(entry: Clip) -> bytes:
    with open_regular(entry.path) as file:
        file.seek(max(0, (_size(entry) - _BLOCK) // 2))
        return hashlib.blake2b(file.read(_BLOCK), digest_size=16).digest()


def _digest(entry: Clip) -> bytes:
    with open_regular(entry.path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


BY_FILE = (_size, _middle, _digest)
"""Keys of files without a content hash: few of them are read completely."""
