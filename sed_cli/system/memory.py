"""How much memory there is, without torch."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

GPU_BYTES = 10**12
"""What a machine with GPUs may have, before torch can be asked how much it is."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_DRIVER = Path("/proc/driver/nvidia/version")


@cache
def memory_bytes() -> int | None:
    """Bytes of memory that this machine, or this container, has; None where that is not known."""
    found = []
    with suppress(AttributeError, OSError, ValueError):  # of systems that cannot be asked
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # "max" is no limit
            found.append(int(Path(path).read_text(encoding="ascii")))
    return min(found, default=None)


def has_gpu() -> bool:
    """Tell whether the driver of a GPU is loaded."""
    return _DRIVER.exists()
