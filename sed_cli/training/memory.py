"""The memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, see malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, for as long as the process lasts.

    A training step on a CPU frees all of its activations, tens of megabytes each. By default such
    blocks go back to the system, which hands out cleared pages at the next step: up to a tenth of
    its time. The peak grows by a few percent, for freed blocks do not always fit the next.

    Returns:
        Whether the C library does; others than glibc have ways of their own.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
