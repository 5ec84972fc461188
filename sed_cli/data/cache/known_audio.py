"""Facts about audio files, examined once: the next start reads none of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from sed_cli.audio import AudioFacts, Signature, inspect_audio, remember_audio, signature
from sed_cli.data.cache import memory
from sed_cli.data.cache.upkeep import cache_root, digests_path
from sed_cli.errors import DataError, UserError

_VERSION = 1  # increase it when the facts about the same file change


def inspect_all(paths: Iterable[Path], cache_dir: str | None) -> None:
    """Examine audio files, so that :func:`inspect_audio` has its results ready.

    Unreadable files are skipped here.

    Args:
        paths: of the files.
        cache_dir: of the configuration.
    """
    now = time.time()
    seen: dict[Path, Signature] = {}
    for path in dict.fromkeys(paths):
        with suppress(DataError):
            seen[path] = signature(path)
    known = _memory(cache_dir)
    absolute = {path.absolute(): path for path in seen}
    found = known.recall({one: seen[path] for one, path in absolute.items()}) if known else {}
    new = []
    for one, path in tqdm(
        absolute.items(), desc="audio files", unit="file", leave=False, delay=2, disable=None
    ):
        facts = _read(found[one]) if one in found else None
        if facts is not None:
            remember_audio(path, seen[path], facts)
            continue
        with suppress(DataError):
            text = json.dumps({"version": _VERSION, **asdict(inspect_audio(path))})
            if memory.is_settled(seen[path], now):
                new.append((one, seen[path], text))
    if known:
        known.note(new, now)


def _memory(cache_dir: str | None) -> memory.Memory | None:
    try:
        return memory.Memory(digests_path(cache_root(cache_dir)), "audio")
    except UserError:  # describing a data set needs no cache
        return None


def _read(text: str) -> AudioFacts | None:
    try:
        values = json.loads(text)
        if values.pop("version") != _VERSION:
            return None
        return AudioFacts(**{**values, "notes": tuple(values["notes"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
