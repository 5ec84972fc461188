"""``hydra/launcher=slurm``: Hydra's submitit launcher, for sweeps that outlive a lost job.

The stock launcher raises at the first job without a result, which loses the results of all others,
and waits for ever for a killed one where the cluster keeps no accounts. Hydra takes launchers from
this namespace only.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from omegaconf import OmegaConf, open_dict

from sed_cli import slurm
from sed_cli.errors import UserError

try:
    from hydra_plugins.hydra_submitit_launcher import submitit_launcher
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
except ImportError:  # an extra: sedtf[slurm]
    pass
else:
    log = logging.getLogger(__name__)
    _SAID = ".submitit"  # submitit's folder in that of a sweep

    class SlurmLauncher(submitit_launcher.SlurmLauncher):  # type: ignore[misc]
        """Submits a sweep as one job array, and brings home how each of its jobs ended."""

        def launch(
            self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
        ) -> Sequence[JobReturn]:
            """Submit, wait, and return a result for every job, also for those that SLURM killed."""
            sweep_dir = Path(str(self.config.hydra.sweep.dir))
            slurm.check_not_queued(sweep_dir / _SAID)
            sweep_dir.mkdir(parents=True, exist_ok=True)
            numbered = list(enumerate(job_overrides, start=initial_job_idx))
            for number, overrides in numbered:
                log.info("#%d: %s", number, " ".join(filter_overrides(overrides)))
            state = Singleton.get_state()
            rows = [
                (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
                for number, overrides in numbered
            ]
            jobs = self._submit(rows)
            array = jobs[0].job_id.split("_")[0]
            log.info("submitted as SLURM job %s; what its jobs say: %s", array, sweep_dir / _SAID)
            found = {job.job_id: index for index, job in enumerate(jobs)}
            returns: dict[int, JobReturn] = {}
            try:
                ended = slurm.watch({job.job_id: job.paths.result_pickle for job in jobs})
                for job_id, how in ended:
                    index = found[job_id]
                    returns[index] = self._returned(jobs[index], how, *numbered[index])
            except KeyboardInterrupt:
                stopped = slurm.cancel([job.job_id for job in jobs])
                counts = ", ".join(f"{count} {state}" for state, count in stopped.items())
                log.warning("cancelled SLURM job %s (%s)", array, counts or "all had ended")
                raise
            return [returns[index] for index in range(len(jobs))]

        def _submit(self, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
            """Submit a job a row.

            Raises:
                UserError: if SLURM does not take them, or is not there.
            """
            from submitit.core.utils import FailedJobError

            if shutil.which("sbatch") is None:
                raise UserError(
                    "hydra/launcher=slurm, but there is no sbatch on this machine: start the sweep "
                    "on a login node of the cluster, or use another launcher"
                )
            try:
                return list(self._executor().map_array(self, *zip(*rows, strict=True)))
            except FailedJobError as error:
                said = str(error).replace("sbatch: error: ", "").strip().splitlines()
                raise UserError(f"SLURM took no job: {'; '.join(said)}") from error

        def _executor(self) -> Any:
            import submitit

            logging.getLogger("submitit").handlers.clear()  # standard output is for results
            params = dict(self.params)
            executor = submitit.AutoExecutor(
                cluster="slurm",
                folder=params.pop("submitit_folder"),
                slurm_max_num_timeout=params.pop("max_num_timeout"),
            )
            general = set(OmegaConf.structured(BaseQueueConf).keys())
            executor.update_parameters(
                **{key if key in general else f"slurm_{key}": v for key, v in params.items()}
            )
            return executor

        def _returned(self, job: Any, how: str, number: int, overrides: Sequence[str]) -> JobReturn:
            """What a job has left, else a result that says how SLURM ended it."""
            from sed_cli.job import FAILED, INTERRUPTED

            said = f"; what it said is in {job.paths.stderr}"
            if how == "COMPLETED":
                try:
                    return job.results()[0]
                except Exception as error:  # the job failed before or after its work
                    last = str(error).strip().splitlines()[-1]
                    reason = f"{last}{said}"
                    return self._lost(FAILED, reason, number, overrides)
            return self._lost(
                INTERRUPTED, f"SLURM job {job.job_id} ended as {how}{said}", number, overrides
            )

        def _lost(
            self, status: int, reason: str, number: int, overrides: Sequence[str]
        ) -> JobReturn:
            from sed_cli.job import Outcome

            config = self.hydra_context.config_loader.load_sweep_config(
                self.config, list(overrides)
            )
            with open_dict(config.hydra.job):
                config.hydra.job.num = number
                config.hydra.job.id = f"job_id_for_{number}"
            folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
            outcome = Outcome(status, str(folder.absolute()), error=reason)
            return JobReturn(
                overrides=list(overrides),
                cfg=config,
                hydra_cfg=config,
                working_dir=str(folder),
                task_name=config.hydra.job.name,
                status=JobStatus.COMPLETED,
                _return_value=outcome,
            )
