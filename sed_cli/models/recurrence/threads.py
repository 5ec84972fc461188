"""Independent threads: work is distributed once and joined once.

Measured on two cores shared with another process: a product of a few milliseconds on torch's
two threads takes 16 to 24 ms longer, since they meet at barriers and wait each time until a
thread is scheduled again. Shares on one thread each only lose the time of the other process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

SMALLEST_PRODUCT = 2**23
"""Multiplications below which another thread costs more than it saves."""


_caller = threading.local()


def n_threads() -> int:
    """Return the caller's number of torch threads, also within :func:`one_thread`."""
    return int(getattr(_caller, "n_threads", 0)) or torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and restore the caller's number after."""
    if hasattr(_caller, "n_threads"):
        yield
        return
    before = _caller.n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        del _caller.n_threads
        torch.set_num_threads(before)


def deal_out(n_items: int, n_shares: int, work: Callable[[int, int], object]) -> None:
    """Run ``work(low, high)`` on all items in ``n_shares`` shares, each on a separate thread."""
    if n_shares <= 1:
        work(0, n_items)
        return
    size = max(-(-n_items // n_shares), 1)
    shares = [(low, min(low + size, n_items)) for low in range(0, n_items, size)]
    with one_thread():
        others = [_pool(os.getpid()).submit(work, *share) for share in shares[1:]]
        try:
            for share in shares[:1]:
                work(*share)
        finally:  # nothing may access the buffers once this returns
            for other in others:
                other.exception()
        for other in others:
            other.result()


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None, adds: bool = False) -> Tensor:
    """Return ``a @ b``, in the best way for the device: (N, K), (K, M) -> (N, M), without gradient.

    Args:
        a: left.
        b: right.
        out: where to store it; a new tensor if None.
        adds: whether to add to ``out``.
    """
    if out is None:
        out = a.new_empty(a.shape[0], b.shape[1])
    whole = out

    def work(low: int, high: int) -> None:
        rows = whole[low:high]
        if adds:
            torch.addmm(rows, a[low:high], b, out=rows)
        else:
            torch.mm(a[low:high], b, out=rows)

    small = a.shape[0] * a.shape[1] * b.shape[1] < SMALLEST_PRODUCT
    deal_out(a.shape[0], 1 if small or a.device.type != "cpu" else n_threads(), work)
    return out


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return this process's threads; a forked process has lost those of its parent."""
    return ThreadPoolExecutor(
        os.cpu_count(),
        thread_name_prefix="recurrence",
        # This also sets the default of threads started later; `one_thread` restores it.
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
