"""``sedtf cache``: listing and deleting cache entries."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from rich.filesize import decimal

from sed_cli.config.tools import CacheConfig
from sed_cli.data.cache import upkeep
from sed_cli.data.cache.upkeep import Cached
from sed_cli.system.text import plain

_HEADER = ("kind", "recordings", "hours", "size", "last use", "in use", "of")


def manage_cache(config: CacheConfig) -> None:
    """List the cache on standard output, or delete entries and report them.

    Raises:
        UserError: if the cache cannot be reached.
    """
    root = upkeep.cache_root(config.cache_dir)
    if config.clear is None:
        held = list(upkeep.items(root))
        if held:
            _list(held)
        total = sum(item.n_bytes for item in held)
        limit = upkeep.limit_bytes(root, None, total)
        _say(f"{decimal(total)} of at most {decimal(limit)} in {root}")
        return
    removed: list[Cached] = []
    kept: list[Cached] = []
    for item in _chosen(config, upkeep.items(root)):
        (removed if item.remove() else kept).append(item)
    n_bytes = sum(item.n_bytes for item in removed) + upkeep.sweep(root)
    if config.clear == "all" and not config.older_than_days:
        n_bytes += upkeep.forget_digests(root)
    if removed:
        _list(removed)
    _say(f"removed {decimal(n_bytes)} from {root}")
    if kept:
        _say(f"kept {decimal(sum(item.n_bytes for item in kept))} in use or owned by other users")


def _chosen(config: CacheConfig, items: Iterable[Cached]) -> Iterator[Cached]:
    # All, even what a clock that was set back since has used in the future.
    days = config.older_than_days
    latest = time.time() - days * 24 * 3600 if days else math.inf
    for item in items:
        if config.clear in ("all", item.kind) and item.last_use <= latest:
            yield item


def _list(items: Sequence[Cached]) -> None:
    """Print a row for all items of the same kind and source, the latest used last."""
    rows = []
    by_source = attrgetter("kind", "source")
    for (kind, source), group in groupby(sorted(items, key=by_source), by_source):
        of_source = list(group)
        last_use = max(item.last_use for item in of_source)
        rows.append(
            (
                last_use,
                (
                    kind,
                    str(sum(item.n_recordings for item in of_source)),
                    f"{sum(item.hours for item in of_source):.1f}",
                    decimal(sum(item.n_bytes for item in of_source)),
                    time.strftime("%Y-%m-%d %H:%M", time.localtime(last_use)),
                    "yes" if any(item.is_in_use for item in of_source) else "",
                    source,
                ),
            )
        )
    _print_table([_HEADER, *(row for _, row in sorted(rows))])


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if name in ("recordings", "hours", "size") else cell.ljust(width)
            for name, cell, width in zip(_HEADER, row, widths, strict=True)
        ]
        _say("  ".join(cells).rstrip())


def _say(line: str) -> None:
    sys.stdout.write(f"{plain(line)}\n")
