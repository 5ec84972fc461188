"""Threads that do not wait for one another: work dealt out once, joined once.

Measured on two cores that another process wants too: a product of a few milliseconds on torch's two
threads takes 16 to 24 ms longer, for these meet at barriers and each meeting waits until a thread
is scheduled again. Shares that run through on one thread each lose nothing but the time taken away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

SMALLEST_PRODUCT = 2**23
"""Multiplications below which waking a thread costs more than it saves."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and restore the caller's number after."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def deal_out(n_items: int, n_shares: int, work: Callable[[int, int], object]) -> None:
    """Run ``work(low, high)`` on all items in ``n_shares`` shares, each on a thread of its own."""
    size = -(-n_items // max(n_shares, 1))
    shares = [(low, min(low + size, n_items)) for low in range(0, n_items, max(size, 1))]
    with one_thread():
        others = [_pool(os.getpid()).submit(work, *share) for share in shares[1:]]
        try:
            if shares:
                work(*shares[0])
        finally:  # nobody else may be at work on the buffers once this returns
            for other in others:
                other.exception()
        for other in others:
            other.result()


def product(
    a: Tensor, b: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Return ``a @ b``, plus ``bias``: (N, K), (K, M), (M,) -> (N, M), as any device does it best.

    All without gradient.
    """
    if out is None:
        out = a.new_empty(a.shape[0], b.shape[1])
    whole = out

    def work(low: int, high: int) -> None:
        if bias is None:
            torch.mm(a[low:high], b, out=whole[low:high])
        else:
            torch.addmm(bias, a[low:high], b, out=whole[low:high])

    n_threads = torch.get_num_threads() if a.device.type == "cpu" else 1
    if n_threads > 1:
        small = a.shape[0] * a.shape[1] * b.shape[1] < SMALLEST_PRODUCT
        deal_out(a.shape[0], 1 if small else n_threads, work)
    else:
        work(0, a.shape[0])
    return out


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return this process's threads; one that was forked has lost those of its parent."""
    return ThreadPoolExecutor(
        os.cpu_count(),
        thread_name_prefix="recurrence",
        # This also sets what threads started later begin with; `one_thread` restores that.
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
