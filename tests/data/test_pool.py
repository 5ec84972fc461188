"""Processes that share work: nothing is lost, and none remains after its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sed_cli.system import pool


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is below zero")
    return number**2


def work_until_stopped(folder: str) -> str:
    marker = Path(folder) / f"{os.getpid()}"
    marker.touch()
    while not pool.is_stopping():
        time.sleep(0.01)
    marker.rename(f"{marker}.stopped")
    return folder


def end_abruptly(number: int) -> None:
    os._exit(1)


def signals_held_back(connection: Connection) -> None:
    connection.send([int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])])


def test_every_task_is_done_once() -> None:
    assert sorted(pool.run_in_processes(square, range(20), 2)) == [n**2 for n in range(20)]
    assert not pool.is_stopping()


def test_what_a_task_raises_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="-1 is below zero"):
        list(pool.run_in_processes(square, [-1, 2], 1))


def test_a_worker_that_ends_abruptly_is_noticed() -> None:
    with pytest.raises(BrokenProcessPool):
        list(pool.run_in_processes(end_abruptly, [1], 1))


def _wait_for(condition: object, timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_closing_stops_tasks_that_ask(tmp_path: Path) -> None:
    results = pool.run_in_processes(_first_or_wait, [str(tmp_path / "done"), str(tmp_path)], 2)
    with closing(results):
        next(results)
        _wait_for(lambda: list(tmp_path.iterdir()))
    assert [path.suffix for path in tmp_path.iterdir()] == [".stopped"]


def _first_or_wait(folder: str) -> str:
    return folder if folder.endswith("done") else work_until_stopped(folder)


def test_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    script = f"""
from sed_cli.system.pool import run_in_processes
from tests.data.test_pool import work_until_stopped
if __name__ == "__main__":
    list(run_in_processes(work_until_stopped, [{str(tmp_path)!r}], 1))
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, str(path)], env=environment) as parent:
        _wait_for(lambda: [p for p in tmp_path.iterdir() if p.name.isdigit()])
        worker = next(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit())
        os.kill(parent.pid, signal.SIGKILL)
    _wait_for(lambda: not _is_running(worker))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_the_first_worker_of_all_is_kept_from_ctrl_c_too() -> None:
    """Python starts another process with it, and unblocks the signal afterwards."""
    script = """
import multiprocessing, signal
from sed_cli.system.pool import without_interrupts
from tests.data.test_pool import signals_held_back
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=signals_held_back, args=(there,))
    with without_interrupts():
        process.start()
    print(here.recv())
    process.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == f"[{signal.SIGINT.value}]\n", done.stderr
