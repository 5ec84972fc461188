"""Triton's kernels of the recurrence.

:mod:`.units` divides the hidden units of a tile of sequences among programs, each of which keeps
its share of the weights on chip, and has them wait for each other once a step; :mod:`.tiles` gives
all units of a tile to one program, which reads the weights again at every step and waits for
nobody. What both do alike is in :mod:`.steps`.
"""

import os


def interprets() -> bool:
    """Whether Triton runs its kernels without a GPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"
