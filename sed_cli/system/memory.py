"""The amount of memory, without torch."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

GPU_BYTES = 10**12
"""Assumed memory of a machine with GPUs, before torch is imported."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_DRIVER = Path("/proc/driver/nvidia/version")


@cache
def memory_bytes() -> int | None:
    """Bytes of memory of this machine or container; None if unknown."""
    found = []
    with suppress(AttributeError, OSError, ValueError):  # unavailable on some systems
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int(Path(path).read_text(encoding="ascii")))
    return min(found, default=None)


def has_gpu() -> bool:
    """Whether the driver of a GPU is loaded."""
    return _DRIVER.exists()
