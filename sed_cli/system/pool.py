"""A pool of processes that start without the caller's memory and never outlast it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import resource_tracker
from multiprocessing.synchronize import Event
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")

# Of this process, if it is a worker.
_stop: Event | None = None
_function: Callable[..., object] | None = None


def n_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_stopping() -> bool:
    """Whether, in a worker, nobody waits for the task's result any more."""
    return _stop is not None and _stop.is_set()


def run_in_processes(
    function: Callable[[T], R], tasks: Sequence[T], n_workers: int
) -> Generator[R, None, None]:
    """Yield ``function(task)`` of each task, in the order of completion.

    Workers are spawned, not forked: the calling process may hold the threads of a numeric library.
    Closing the generator, as Ctrl-C does, drops tasks not started, stops running ones (see
    :func:`is_stopping`) and waits for them. Workers whose parent is killed end by themselves.

    Args:
        function: importable by workers, or an object with shared data: it is pickled to each worker
            once. Its exceptions end the iteration.
        tasks: picklable ones.
        n_workers: number of processes. A script that uses several needs an ``if __name__ ==
            "__main__"`` guard.

    Raises:
        BrokenProcessPool: if a worker ended abruptly, or could not start for lack of that guard.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        n_workers, mp_context=context, initializer=_start_worker, initargs=(stop, function)
    )
    finished = False
    try:
        with without_interrupts():
            futures = [pool.submit(_do, task) for task in tasks]
        for future in as_completed(futures):
            yield cast(R, future.result())
        finished = True
    finally:
        if not finished:
            stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(stop: Event, function: Callable[..., object]) -> None:
    global _stop, _function
    _stop, _function = stop, function
    threading.Thread(target=end_with_parent, daemon=True).start()


def _do(task: object) -> object:
    assert _function is not None
    return _function(task)


def end_with_parent() -> None:
    """End a worker whose parent was killed, since its queue would never notify it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Block Ctrl-C while workers start: they inherit the mask, so that it only reaches us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it only now unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a job like Ctrl-C: records written, nothing lost."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are handled elsewhere
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
