"""Tasks of generating soundscapes, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from sed_cli.errors import SedtfError, UserError
from sed_cli.system.pool import n_cores, run_in_processes

TASKS_PER_WORKER = 10
"""With fewer tasks per worker, starting it takes longer than it saves."""

Progress = Callable[[int, int], None]

T = TypeVar("T")
R = TypeVar("R")


def run_tasks(
    work: Callable[[T], R], tasks: Sequence[T], n_workers: int | None = None
) -> Generator[tuple[T, R], None, None]:
    """Yield (task, its result) in the order of completion.

    Args:
        work: the function; it is pickled to each process once.
        tasks: its arguments.
        n_workers: number of processes; 1: only this one, ``None``: one per available core.

    Raises:
        UserError: if ``n_workers`` is below 1.
        SedtfError: if a process ends abruptly.
    """
    if n_workers is not None and n_workers < 1:
        raise UserError(f"n_workers={n_workers}: expected at least 1, or none for one per core")
    if n_workers is None:
        n_workers = max(1, min(n_cores(), len(tasks) // TASKS_PER_WORKER))
    with_task = _WithTask(work)
    if n_workers == 1:
        yield from map(with_task, tasks)
        return
    try:
        yield from run_in_processes(with_task, tasks, n_workers)
    except BrokenProcessPool as error:
        raise SedtfError(
            "a process that generates soundscapes ended abruptly: it ran out of memory, or the "
            'calling script lacks an `if __name__ == "__main__"` guard; n_workers=1 needs neither'
        ) from error


@dataclass(frozen=True)
class _WithTask(Generic[T, R]):
    work: Callable[[T], R]

    def __call__(self, task: T) -> tuple[T, R]:
        return task, self.work(task)
