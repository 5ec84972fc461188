"""``hydra/launcher=ray``: the jobs of a sweep as tasks of Ray, on this machine or on a cluster.

Hydra's own launcher for Ray needs an AWS client and an old cloudpickle, which conflict with
other libraries of this project; and a killed process ends its whole sweep.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sed_cli.cli.sweeps.local import SweepProgress, redirect, run_here
from sed_cli.cli.task import INTERRUPTED, HydraTask, Outcome

log = logging.getLogger(__name__)

SAID = ".ray"
"""Folder inside a sweep with the output of its jobs."""

_ENDS_WITHIN_S = 60.0  # for an update and saving the progress


class RayLauncher(Launcher):
    """Passes jobs to Ray, which runs as many at a time as it has resources for.

    Args:
        address: of a cluster, such as ``auto`` or ``ray://HOST:10001``; None: one is started on
            this machine for as long as the sweep takes.
        num_cpus: CPUs of each job, and its CPU threads.
        num_gpus: GPUs of each job; with fractions, jobs share one.
    """

    def __init__(
        self, address: str | None = None, num_cpus: float = 1, num_gpus: float = 0
    ) -> None:
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's context of the sweep."""
        self.task, self.config = task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs; return all outcomes, including killed jobs."""
        with redirect_stdout(sys.stderr):  # Ray reports dead workers there
            return self._launch(self._connect(), job_overrides, initial_job_idx)

    def _launch(
        self, ray: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        said = Path(str(self.config.hydra.sweep.dir)) / SAID
        log.info("%d jobs passed to Ray; their output: %s", len(job_overrides), said)
        work = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0)(_work)
        places = {
            work.remote(
                self.task,
                self.config,
                initial_job_idx + index,
                list(overrides),
                said,
                str(Path.cwd()),
            ): index
            for index, overrides in enumerate(job_overrides)
        }
        outcomes: dict[int, Outcome] = {}
        progress = SweepProgress(len(job_overrides), self._room(ray))
        waiting = list(places)
        try:
            while waiting:
                (done,), waiting = ray.wait(waiting, num_returns=1)
                outcomes[places[done]] = outcome = _outcome(ray, done)
                progress.note(outcome, job_overrides[places[done]])
        except KeyboardInterrupt:
            log.warning("waiting for the jobs to save their progress")
            for each in waiting:
                ray.cancel(each)
            ray.wait(waiting, num_returns=len(waiting), timeout=_ENDS_WITHIN_S)
            raise
        return [
            JobReturn(list(overrides), status=JobStatus.COMPLETED, _return_value=outcomes[index])
            for index, overrides in enumerate(job_overrides)
        ]

    def close(self) -> None:
        """Disconnect; a cluster started for the sweep is shut down."""
        import ray

        ray.shutdown()

    def _connect(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        import ray

        if not ray.is_initialized():
            own = {} if self.address else {"include_dashboard": False}
            ray.init(self.address, log_to_driver=False, logging_level="WARNING", **own)
        return ray

    def _room(self, ray: Any) -> int:
        """Jobs at a time."""
        there = ray.cluster_resources()
        needed = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        room = [there.get(what, 0) // each for what, each in needed.items() if each]
        return max(int(min(room, default=1)), 1)


def _outcome(ray: Any, done: Any) -> Outcome:
    """The outcome of a job, or of its process."""
    try:
        outcome = ray.get(done)
        assert isinstance(outcome, Outcome)
        return outcome
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = next((line for line in lines if "process" in line or "memory" in line), lines[0])
        return Outcome(INTERRUPTED, "", error=f"its process was lost: {why}")


def _work(
    task: HydraTask, config: DictConfig, number: int, overrides: list[str], said: Path, cwd: str
) -> Outcome:
    """Run a job in a process of Ray's, which may be on another machine."""
    with suppress(OSError):
        os.chdir(cwd)
    with suppress(OSError):
        said.mkdir(parents=True, exist_ok=True)
        redirect(said / f"{number}.txt")
    return run_here(task, config, number, overrides)
