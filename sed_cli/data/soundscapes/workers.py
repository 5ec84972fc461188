"""Processes that make soundscapes: started clean, told once what they all need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sed_cli.errors import SedtfError, UserError

TASKS_PER_WORKER = 10
"""Fewer than this a worker, and starting it takes longer than it saves."""

Progress = Callable[[int, int], None]

T = TypeVar("T")
R = TypeVar("R")

_work: Callable[..., object] | None = None  # what this process does, where it is a worker


def run_tasks(
    work: Callable[[T], R], tasks: Sequence[T], n_workers: int | None = None
) -> Generator[tuple[T, R], None, None]:
    """Yield (task, its result) in the order of completion.

    Args:
        work: what to do; it reaches each process once, by pickling.
        tasks: hashable.
        n_workers: processes; 1 stays in this one, ``None`` takes one for each available core.

    Raises:
        UserError: if ``n_workers`` is below 1.
        SedtfError: if a process ends abruptly.
    """
    if n_workers is not None and n_workers < 1:
        raise UserError(f"n_workers={n_workers}: expected at least 1, or none for every core")
    if n_workers is None:
        n_workers = max(1, min(_n_cores(), len(tasks) // TASKS_PER_WORKER))
    if n_workers == 1:
        for task in tasks:
            yield task, work(task)
        return
    # Spawned, not forked: the calling process may hold the threads of a numeric library.
    pool = ProcessPoolExecutor(
        n_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(work,),
    )
    try:
        with _without_interrupts():
            futures = {pool.submit(_do, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()  # type: ignore[misc]
    except BrokenProcessPool as error:
        raise SedtfError(
            "a process that makes soundscapes ended abruptly: it ran out of memory, or the "
            'calling script lacks an `if __name__ == "__main__"` guard; n_workers=1 needs neither'
        ) from error
    finally:
        # Reached on Ctrl-C too: what has begun takes milliseconds, the rest is dropped.
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(work: Callable[..., object]) -> None:
    global _work
    _work = work


def _do(task: object) -> object:
    assert _work is not None
    return _work(task)


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while workers start: they inherit the mask, so that it reaches only us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
