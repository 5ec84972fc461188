"""Equal files in two splits: what is trained on would be tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import NamedTuple

from sed_cli.data.catalogue import Catalogue

_BLOCK = 2**16  # bytes from the middle of a file, which few different recordings share


class Place(NamedTuple):
    """Where a file stands."""

    split: str
    name: str
    path: Path


def find_copies(catalogue: Catalogue) -> list[list[Place]]:
    """Return groups of equal files of which some stand in different splits.

    Whole files are read only where others of another split have the same size and the same middle.
    """
    places = [
        Place(split, entry.name, entry.path)
        for split, entries in catalogue.splits.items()
        for entry in entries
    ]
    groups = [places]
    for key in (_size, _middle, _digest):
        groups = [part for group in groups for part in _parted(group, key)]
    return groups


def _parted(group: Iterable[Place], key: Callable[[Path], Hashable]) -> list[list[Place]]:
    """Part a group by a key, and keep the parts that hold more than one split."""
    parts: dict[Hashable, list[Place]] = {}
    for place in group:
        parts.setdefault(key(place.path), []).append(place)
    return [part for part in parts.values() if len({place.split for place in part}) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, (_size(path) - _BLOCK) // 2))
        return hashlib.blake2b(file.read(_BLOCK), digest_size=16).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
