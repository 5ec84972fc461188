"""Keeping the memory that a training step frees for the next one."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, see malloc.h


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the lifetime of the process.

    A training step on a CPU frees all of its activations, tens of megabytes each. By default such
    blocks return to the system, which provides cleared pages at the next step: up to a tenth of its
    time. The peak grows by a few percent, since freed blocks do not always fit the next.

    Returns:
        Whether the C library supports it, as only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
