"""Sweeps: their jobs, the remaining ones, and the outcomes."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from sed_cli.cli.checks import check_job, compose
from sed_cli.cli.folders import check_no_links, taken_folder
from sed_cli.cli.hydra import Composer
from sed_cli.cli.messages import log_to_stderr, say
from sed_cli.cli.overrides import quoted, value_of
from sed_cli.cli.sweeps.launching import counts_of, make_launcher, parallel_of
from sed_cli.cli.sweeps.local import LocalLauncher
from sed_cli.cli.sweeps.plan import check_free, parse_task, plan_jobs
from sed_cli.cli.sweeps.sweep import Sweep, recorded
from sed_cli.cli.task import DONE, HydraTask
from sed_cli.cli.verbs import Flags, Verb
from sed_cli.config.plain import path_faults
from sed_cli.errors import ConfigError, UserError
from sed_cli.system.records import SWEEP, Plan, beating, history_rows, this_process

log = logging.getLogger(__name__)


def run_sweep(
    composer: Composer,
    verb: Verb,
    overrides: Sequence[str],
    flags: Flags,
) -> int:
    """Run all jobs of a sweep, or those that an earlier one left undone; return the exit code.

    Raises:
        UserError: if the folder belongs to another sweep, or to an active one.
        ConfigError: if a job's settings are invalid; nothing has been run then.
    """
    command = list(overrides)
    resumed = value_of("resume_sweep", overrides)
    resumed = None if resumed == "null" else resumed
    overrides = [o for o in overrides if o.split("=", 1)[0] != "resume_sweep"]
    if resumed is not None:
        _check_path("resume_sweep", resumed)
        resumed = str(Path(resumed).expanduser())
        folder = Path(resumed)
        if not folder.is_dir():
            raise UserError(f"resume_sweep={resumed}: no such folder; name that of a sweep")
        overrides = [o for o in overrides if o.split("=", 1)[0] != "output_dir"]
        check_no_links(folder, f"resume_sweep={resumed}")
        overrides.append(f"output_dir={quoted(folder)}")
    master = compose(composer, overrides, RunMode.MULTIRUN)
    _check_path("output_dir", str(master.hydra.sweep.dir))
    folder = Path(str(master.hydra.sweep.dir)).absolute()
    check_free(folder, is_resumed=resumed is not None)
    context = composer.context(master)
    task = HydraTask(verb.name, flags)
    launcher = make_launcher(master, context, task)
    if isinstance(launcher, LocalLauncher):
        launcher.devices = max(launcher.devices, _most_devices(composer, master, overrides))
    plan = Plan(verb.name, command, [], parallel_of(master, launcher), started=time.time())
    sweep = Sweep(folder, master, launcher, plan)
    search = _search_of(master)
    size = counts_of(master.hydra.sweeper, "sweeper", "max_batch_size")
    if search is None:
        plan.jobs = plan_jobs(composer, master, overrides, folder)
    if flags.dry_run:
        _print_cost(plan, composer, launcher, folder)
        return DONE
    again = _again(verb, command, folder, flags)
    remedy = "wait for it, or end it" if resumed else "name another folder, or wait for it"
    with taken_folder(folder, remedy):
        # another may have started in the meantime
        check_free(folder, is_resumed=resumed is not None)
        code = _work(sweep, search, size, composer, overrides, context, again)
    if code != DONE and (search is None or sweep.is_open):
        say(f"run the remaining jobs with: {again}")
    return code


def _check_path(key: str, folder: str) -> None:
    if faults := list(path_faults({key: folder})):
        raise ConfigError(faults)


def _work(
    sweep: Sweep,
    search: Any,
    size: int | None,
    composer: Composer,
    overrides: Sequence[str],
    context: HydraContext,
    again: str,
) -> int:
    """Run the remaining jobs of a sweep in a reserved folder; return the exit code."""
    master, folder = sweep.config, sweep.folder
    sweep.plan.process = this_process()
    sweep.plan.write(folder)
    context.callbacks.on_multirun_start(config=master, config_name=composer.config_name)
    OmegaConf.save(master, folder / "multirun.yaml")
    ended = "interrupted"
    try:
        with beating(folder / SWEEP):
            if search is None:
                _run_grid(sweep, size)
            else:
                search(sweep, composer, overrides)
            code = sweep.summarise()
            ended = "completed" if code == DONE else "failed"
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            sweep.summarise()
        say(f"continue with: {again}")
        raise
    finally:
        getattr(sweep.launcher, "close", lambda: None)()
        sweep.end(ended)
    context.callbacks.on_multirun_end(config=master, config_name=composer.config_name)
    return code


def _again(verb: Verb, command: Sequence[str], folder: Path, flags: Flags) -> str:
    """The command that runs the remaining jobs of a sweep."""
    options = {
        "--config-dir": flags.config_dir,
        "--config-path": flags.config_path,
        "--config-name": flags.config_name,
    }
    given = [word for item in options.items() if item[1] for word in item]
    kept = [o for o in command if o.split("=", 1)[0] not in ("output_dir", "resume_sweep")]
    words = ["sedtf", verb.name, "-m", *map(str, given), *kept, f"resume_sweep={folder}"]
    return shlex.join(words)


def _print_cost(plan: Plan, composer: Composer, launcher: Launcher, folder: Path) -> None:
    from sed_cli.tasks.cost import tell_cost

    if not plan.jobs:
        raise UserError("--dry-run: Optuna's choices are not known; estimate a grid instead")
    left = [j for j in plan.jobs if recorded(folder / j.folder).status != DONE]
    if not left:
        raise UserError(f"{folder}: all {len(plan.jobs)} runs are already done")
    threads = launcher.threads_each if isinstance(launcher, LocalLauncher) else None
    with log_to_stderr():
        tell_cost(
            [check_job(composer, planned.overrides)[0] for planned in left],
            [planned.folder for planned in left],
            parallel=plan.parallel,
            threads=threads,
            n_done=len(plan.jobs) - len(left),
            trained=[len(history_rows(folder / each.folder / "history.csv")) for each in left],
        )


def _run_grid(sweep: Sweep, size: int | None) -> None:
    """Run the remaining jobs of a grid, at most ``size`` in parallel."""
    left = []
    for planned in sweep.plan.jobs:
        outcome = recorded(sweep.folder / planned.folder)
        if outcome.status == DONE:
            sweep.outcomes[planned.folder] = outcome
        else:
            left.append(planned)
    if len(left) < len(sweep.plan.jobs):
        log.info(
            "%d of %d jobs are already done", len(sweep.plan.jobs) - len(left), len(sweep.plan.jobs)
        )
    size = size or max(len(left), 1)
    for start in range(0, len(left), size):
        sweep.run(left[start : start + size])


def _search_of(master: DictConfig) -> Any:
    """Return the searcher, which chooses jobs by earlier outcomes; ``None`` for a grid."""
    target = str(master.hydra.sweeper._target_)
    if target.endswith(".BasicSweeper"):
        return None
    if target == "sed_cli.cli.sweeps.search.search":
        from sed_cli.cli.sweeps.search import search

        return search
    raise UserError(f"hydra/sweeper: {target} is not supported by sedtf: choose basic or optuna")


def _most_devices(composer: Composer, master: DictConfig, overrides: Sequence[str]) -> int:
    """The maximum of ``trainer.devices`` in a sweep over it, which no single config has."""
    swept = [
        value
        for override in parse_task(composer, master, overrides)
        if override.key_or_group == "trainer.devices" and override.is_discrete_sweep()
        for value in override.sweep_string_iterator()
    ]
    return max((int(value) for value in swept if value.isdigit()), default=1)
