"""``hydra/launcher=local``: the jobs of a sweep on all cores of this machine, or all of its GPUs.

joblib's launcher for Hydra aborts the whole sweep, and kills the other jobs, when one of its
processes is killed. Here a killed process loses only its job: the next one gets a new process.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from sed_cli.cli.hydra import Composer
from sed_cli.cli.task import DONE, FAILED, INTERRUPTED, HydraTask, Outcome
from sed_cli.system.pool import (
    end_with_parent,
    n_cores,
    terminate_as_interrupt,
    without_interrupts,
)
from sed_cli.system.text import one_line

log = logging.getLogger(__name__)

SAID = ".local"
"""Folder inside a sweep with the output of its processes."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_ENDS_WITHIN_S = 60.0  # for an update and saving the progress


class LocalLauncher(Launcher):
    """Runs jobs in separate processes, each process one job after the other.

    Args:
        workers: number of processes; None: one per core, or one per GPU if jobs use GPUs, or one
            for ``trainer.devices`` GPUs.
        threads: CPU threads of each; None: an equal share of the cores.
    """

    def __init__(self, workers: int | None = None, threads: int | None = None) -> None:
        self.workers, self.threads = workers, threads
        self._running: list[_Worker] = []

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's context of the sweep."""
        self.task, self.config = task_function, config
        self.gpus = [] if config.get("device") == "cpu" else _gpus()
        self.devices = OmegaConf.select(config, "trainer.devices") or 1

    @property
    def parallel(self) -> int:
        """Jobs at a time."""
        return self.workers or max((len(self.gpus) or n_cores()) // self.devices, 1)

    @property
    def threads_each(self) -> int:
        """CPU threads of a process."""
        return self.threads or max(1, n_cores() // (self.parallel * self.devices))

    def environment(self, place: int) -> dict[str, str]:
        """Variables of one of the processes: its threads, and its GPUs if any."""
        values = dict.fromkeys(_THREADS, str(self.threads_each))
        if self.gpus:
            first = place * self.devices
            own = [self.gpus[(first + i) % len(self.gpus)] for i in range(self.devices)]
            values["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(own))
        return values

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs; return all outcomes, including killed jobs."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        n_workers = min(self.parallel, len(job_overrides))
        waiting = list(reversed(list(enumerate(job_overrides))))
        returns: dict[int, JobReturn] = {}
        progress = SweepProgress(len(job_overrides), n_workers)
        log.info(
            "%d jobs on %d processes; their output: %s",
            len(job_overrides),
            n_workers,
            self._said,
        )
        try:
            while waiting or self._busy():
                for worker in self._idle(n_workers) if waiting else []:
                    if waiting:
                        index, overrides = waiting.pop()
                        worker.begin(index, initial_job_idx + index, overrides)
                for worker in self._finished():
                    index = worker.index
                    outcome = worker.outcome()
                    overrides = job_overrides[index]
                    returns[index] = JobReturn(
                        overrides=list(overrides),
                        status=JobStatus.COMPLETED,
                        _return_value=outcome,
                    )
                    progress.note(outcome, overrides)
        except KeyboardInterrupt:
            self._interrupt()
            raise
        return [returns[index] for index in range(len(job_overrides))]

    def close(self) -> None:
        """Shut the processes down."""
        for worker in self._running:
            worker.close()
        for worker in self._running:
            worker.process.join()
        self._running = []

    @property
    def _said(self) -> Path:
        return Path(str(self.config.hydra.sweep.dir)) / SAID

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._running if worker.index >= 0]

    def _idle(self, n_workers: int) -> list[_Worker]:
        self._running = [worker for worker in self._running if worker.is_alive]
        for place in range(n_workers):
            if place not in {worker.place for worker in self._running}:
                self._running.append(self._start(place))
        return [worker for worker in self._running if worker.index < 0]

    def _finished(self) -> list[_Worker]:
        ready = wait([worker.connection for worker in self._busy()])
        return [worker for worker in self._busy() if worker.connection in ready]

    def _start(self, place: int) -> _Worker:
        self._said.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=_work, args=(there, self._said / f"{place}.txt", self.task, self.config)
        )
        with without_interrupts(), _environment(self.environment(place)):
            process.start()
        there.close()
        return _Worker(place, process, here)

    def _interrupt(self) -> None:
        """End all processes as Ctrl-C would: jobs save their progress."""
        log.warning("waiting for %d jobs to save their progress", len(self._busy()))
        for worker in self._running:
            worker.process.terminate()
        deadline = time.monotonic() + _ENDS_WITHIN_S
        try:
            for worker in self._running:
                worker.process.join(max(0.0, deadline - time.monotonic()))
        finally:  # at a second Ctrl-C too
            for worker in self._running:
                worker.process.kill()
            self._running = []


@dataclass
class _Worker:
    """A process, and the job that it has."""

    place: int
    process: SpawnProcess
    connection: Connection
    index: int = -1

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def begin(self, index: int, number: int, overrides: Sequence[str]) -> None:
        self.index = index
        # killed while waiting: the job is detected as lost, like all others
        with suppress(OSError):
            self.connection.send((number, list(overrides)))

    def outcome(self) -> Outcome:
        """Read the outcome of the job, or report what killed it."""
        self.index = -1
        try:
            outcome = self.connection.recv()
            assert isinstance(outcome, Outcome)
            return outcome
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            hint = " (out of memory?)" if how == "SIGKILL" else ""
            return Outcome(INTERRUPTED, "", error=f"its process ended by {how}{hint}")

    def close(self) -> None:
        with suppress(OSError):
            self.connection.send(None)
        self.connection.close()


class SweepProgress:
    """One line per job on standard error."""

    def __init__(self, total: int, parallel: int) -> None:
        self.total, self.parallel = total, parallel
        self.n_done, self.started = 0, time.monotonic()

    def note(self, outcome: Outcome, overrides: Sequence[str]) -> None:
        """Report the outcome of a job."""
        self.n_done += 1
        passed_s = time.monotonic() - self.started
        left = passed_s / self.n_done * (self.total - self.n_done)
        left *= self.n_done >= self.parallel  # otherwise the work of running jobs would not count
        value = "" if outcome.objective is None else f" {outcome.objective:.4f}"
        log.info(
            "%d of %d %s%s: %s%s",
            self.n_done,
            self.total,
            "done" if outcome.status == DONE else "FAILED",
            value,
            " ".join(o for o in overrides if not o.startswith(("hydra.", "output_dir="))),
            f"; about {left / 60:.0f} min left" if left >= 60 else "",
        )
        if outcome.error:
            log.info("  %s", outcome.error)


# ------------------------------------------------------------------------- in the processes


def _work(connection: Connection, said: Path, task: HydraTask, config: DictConfig) -> None:
    """Run one job after the other, until none is left or the sweep is gone."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    redirect(said)
    context = _context(task, config)
    try:
        with terminate_as_interrupt():
            while (given := connection.recv()) is not None:
                connection.send(_run(context, task, config, *given))
    except (KeyboardInterrupt, EOFError, OSError):
        pass


def run_here(task: HydraTask, config: DictConfig, number: int, overrides: list[str]) -> Outcome:
    """Run one job of a sweep in this process, its first."""
    return _run(_context(task, config), task, config, number, overrides)


def _context(task: HydraTask, config: DictConfig) -> HydraContext:
    return Composer(task.verb_name, task.flags).context(config)


def _run(
    context: HydraContext, task: HydraTask, config: DictConfig, number: int, overrides: list[str]
) -> Outcome:
    try:
        sweep_config = context.config_loader.load_sweep_config(config, overrides)
        with open_dict(sweep_config):
            sweep_config.hydra.job.id = sweep_config.hydra.job.num = number
        done = run_job(
            hydra_context=context,
            task_function=task,
            config=sweep_config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        outcome = done.return_value
        assert isinstance(outcome, Outcome)
        return outcome
    except Exception as error:  # before or after the work, such as a full disk
        return Outcome(FAILED, "", error=f"{type(error).__name__}: {one_line(error)}")


def redirect(said: Path) -> None:
    """Redirect the output of this process to a file, including that of a crash."""
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    faulthandler.enable(sys.stderr)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes started within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _gpus() -> list[str]:
    """Names of the GPUs that this process may use, for ``CUDA_VISIBLE_DEVICES``."""
    if not Path("/proc/driver/nvidia").exists() and not Path("/dev/nvidiactl").exists():
        return []  # torch is slow to import
    import torch

    count: Any = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(count)]
    return names[:count]
