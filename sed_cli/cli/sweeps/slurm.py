"""``hydra/launcher=slurm``: the jobs of a sweep as one job array of a SLURM cluster.

Hydra's own launcher for submitit raises at the first job without a result, which loses the
results of all others, and waits forever for a killed job if the cluster keeps no accounting.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as HydraLauncher
from omegaconf import OmegaConf

from sed_cli.cli.task import FAILED, INTERRUPTED, Outcome
from sed_cli.errors import UserError
from sed_cli.system import queue as slurm

log = logging.getLogger(__name__)

SAID = ".submitit"
"""Folder inside a sweep with the submitted script and the output of its jobs."""


class SlurmLauncher(HydraLauncher):  # type: ignore[misc]  # Hydra's has no types
    """Submits a sweep as one job array, and collects the outcomes of its jobs."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit and wait; return all outcomes, including jobs that SLURM killed.

        Raises:
            UserError: if SLURM accepts no jobs, or already has jobs of this sweep.
        """
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        said = Path(str(self.config.hydra.sweep.dir)) / SAID
        slurm.check_not_queued(said)
        state = Singleton.get_state()
        jobs = self._submit(
            [
                (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
                for number, overrides in enumerate(job_overrides, start=initial_job_idx)
            ]
        )
        array = jobs[0].job_id.split("_")[0]
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        log.info("%s as SLURM job %s; its output: %s", count, array, said)
        places = {each.job_id: place for place, each in enumerate(jobs)}
        outcomes: dict[int, Outcome] = {}
        try:
            for job_id, how in slurm.watch({each.job_id: _result(each) for each in jobs}):
                outcomes[places[job_id]] = _outcome(jobs[places[job_id]], how)
        except KeyboardInterrupt:
            stopped = slurm.cancel([each.job_id for each in jobs])
            counts = ", ".join(f"{count} {state}" for state, count in stopped.items())
            log.warning("cancelled SLURM job %s (%s)", array, counts or "all had ended")
            raise
        return [
            JobReturn(list(overrides), status=JobStatus.COMPLETED, _return_value=outcomes[place])
            for place, overrides in enumerate(job_overrides)
        ]

    def _submit(self, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        from submitit.core.utils import FailedJobError

        if shutil.which("sbatch") is None:
            raise UserError(
                "hydra/launcher=slurm, but this machine has no sbatch: start the sweep on a login "
                "node of a cluster, or use another launcher"
            )
        try:
            return list(self._executor().map_array(self, *zip(*rows, strict=True)))
        except FailedJobError as error:
            lines = str(error).replace("sbatch: error: ", "").strip().splitlines()
            raise UserError(f"SLURM accepted no job: {'; '.join(lines)}") from error

    def _executor(self) -> Any:
        import submitit

        logging.getLogger("submitit").handlers.clear()  # standard output is for results
        settings = dict(self.params)
        executor = submitit.AutoExecutor(
            cluster="slurm",
            folder=settings.pop("submitit_folder"),
            slurm_max_num_timeout=settings.pop("max_num_timeout"),
        )
        general = set(OmegaConf.structured(BaseQueueConf).keys())
        executor.update_parameters(
            **{k if k in general else f"slurm_{k}": value for k, value in settings.items()}
        )
        return executor


def _result(submitted: Any) -> Path:
    return Path(submitted.paths.result_pickle)


def _outcome(submitted: Any, how: str) -> Outcome:
    """The outcome of a job, else its state in SLURM."""
    said = f"its output is in {submitted.paths.stderr}"
    if how != "COMPLETED":
        error = f"SLURM job {submitted.job_id} ended as {how}; {said}"
        return Outcome(INTERRUPTED, "", error=error)
    try:
        outcome = submitted.results()[0].return_value
        assert isinstance(outcome, Outcome)
        return outcome
    except Exception as error:  # before or after the work, such as files missing on that node
        lines = [line for line in str(error).splitlines() if line.strip("- ")]
        reason = next((line for line in reversed(lines) if "Error" in line), "no result")
        return Outcome(FAILED, "", error=f"{reason.strip()}; {said}")
