"""Sweeps: what jobs there are, which of them are left to do, and how each ended."""

from __future__ import annotations

import importlib
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from sed_cli import cli as job
from sed_cli.cli.folders import check_no_links, check_unused
from sed_cli.cli.sweeps.local import LocalLauncher
from sed_cli.cli.sweeps.names import name_job
from sed_cli.config.identity import config_hash
from sed_cli.errors import SedtfError, UserError
from sed_cli.system.records import (
    RUN,
    SWEEP,
    Plan,
    Planned,
    beating,
    history_rows,
    is_alive,
    note_end,
    read_record,
    run_folders,
    run_settings,
    state,
    this_process,
)
from sed_cli.system.structured import why

log = logging.getLogger(__name__)

_GIVES_WAY_S = 10.0  # the processes of a sweep that was killed end by themselves, but not at once
_LAUNCHERS = (
    "sed_cli.cli.sweeps.local.LocalLauncher",
    "sed_cli.cli.sweeps.slurm.SlurmLauncher",
    "sed_cli.cli.sweeps.ray.RayLauncher",
)


@dataclass
class Sweep:
    """A sweep at work: its folder, its launcher, and what is known of its jobs."""

    folder: Path
    config: DictConfig
    launcher: Launcher
    plan: Plan
    outcomes: dict[str, job.Outcome] = field(default_factory=dict)  # by folder of the job

    def run(self, jobs: Sequence[Planned]) -> None:
        """Run some of the planned jobs and note how each ended, as far as can be known."""
        if not jobs:
            return
        place = (f"output_dir={job.quoted(self.folder)}",)
        given = [
            [*planned.overrides, *place, f"hydra.sweep.subdir={job.quoted(planned.folder)}"]
            for planned in jobs
        ]
        first = self.plan.jobs.index(jobs[0])
        try:
            returns = self.launcher.launch(given, initial_job_idx=first)
        except SedtfError:
            raise
        except Exception as error:  # the launcher gave up: what its jobs wrote down is left
            log.warning("the launcher failed: %s", job.one_line(error))
            returns = []
        for index, planned in enumerate(jobs):
            known = None
            if index < len(returns):
                with suppress(Exception):  # Hydra raises what a job raised before its work
                    known = returns[index].return_value
            if isinstance(known, job.Outcome):
                self.note(planned, known)
            else:
                self.outcomes[planned.folder] = recorded(self.folder / planned.folder)

    def note(self, planned: Planned, outcome: job.Outcome) -> None:
        """Take down how a job ended, in its folder too where it could not do so itself."""
        folder = self.folder / planned.folder
        if outcome.status == job.INTERRUPTED:
            written = recorded(folder)  # a process may be lost when its work is done
            outcome = written if written.status == job.DONE else outcome
        if outcome.status != job.DONE:
            status = "interrupted" if outcome.status == job.INTERRUPTED else "failed"
            facts = {"verb": self.plan.verb, "config_hash": planned.config_hash}
            note_end(folder, status, outcome.error, **facts)
        self.outcomes[planned.folder] = replace(outcome, folder=str(folder))

    def summarise(self) -> int:
        """Print a line a job on standard output; 1 if any is not done."""
        for planned in self.plan.jobs:
            folder = self.folder / planned.folder
            outcome = self.outcomes.get(planned.folder) or recorded(folder)
            self.outcomes[planned.folder] = outcome
            objective = "" if outcome.objective is None else f"{outcome.objective:.4f}"
            words = {job.DONE: "done", job.INTERRUPTED: "interrupted", job.WAITING: "waiting"}
            status = words.get(outcome.status, "failed")
            settings = " ".join(planned.overrides)
            sys.stdout.write("\t".join((status, objective, str(folder), settings)) + "\n")
            if outcome.error and outcome.status != job.WAITING:
                job.say(f"job {settings}: {outcome.error}")
        is_done = all(outcome.status == job.DONE for outcome in self.outcomes.values())
        return job.DONE if is_done else job.FAILED

    @property
    def is_open(self) -> bool:
        """Whether a job was cut short, or never began."""
        cut = (job.INTERRUPTED, job.WAITING)
        return any(outcome.status in cut for outcome in self.outcomes.values())

    def end(self, status: str) -> None:
        """Write down that this process is done with the sweep."""
        self.plan.status, self.plan.process = status, None
        self.plan.write(self.folder)


def recorded(folder: Path) -> job.Outcome:
    """How a job ended, by what it wrote down."""
    try:
        record = read_record(folder)
    except (OSError, ValueError) as error:
        return job.Outcome(job.FAILED, str(folder), error=f"{folder / RUN}: {why(error)}")
    if record is None:
        return job.Outcome(job.WAITING, str(folder), error="it never began")
    status = state(folder / RUN, record)
    if status == "completed":
        objective = record.get("objective")
        known = float(objective) if isinstance(objective, int | float) else None
        return job.Outcome(job.DONE, str(folder), known)
    code = job.FAILED if status == "failed" else job.INTERRUPTED
    return job.Outcome(code, str(folder), error=str(record.get("error") or status))


# ------------------------------------------------------------------------------- the command


def run_sweep(
    hydra: Hydra,
    verb: job.Verb,
    config_name: str,
    overrides: Sequence[str],
    flags: job.Flags,
) -> int:
    """Run all jobs of a sweep, or those that an earlier one has left undone; return exit code.

    Raises:
        UserError: if the folder belongs to another sweep, or one that is still at work.
        ConfigError: if a job's settings are at fault; nothing has been done then.
    """
    command = list(overrides)
    resumed = job.value_of("resume_sweep", overrides)
    resumed = None if resumed in ("null", "") else resumed
    overrides = [o for o in overrides if o.split("=", 1)[0] != "resume_sweep"]
    if resumed is not None:
        with suppress(RuntimeError):  # of no such user
            resumed = str(Path(resumed).expanduser())
        folder = Path(resumed)
        if not folder.is_dir():
            raise UserError(f"resume_sweep={resumed}: no such folder; name that of a sweep")
        overrides = [o for o in overrides if o.split("=", 1)[0] != "output_dir"]
        check_no_links(folder, f"resume_sweep={resumed}")
        overrides.append(f"output_dir={job.quoted(folder)}")
    master = hydra.compose_config(config_name, list(overrides), RunMode.MULTIRUN)
    folder = Path(str(master.hydra.sweep.dir)).absolute()
    _check_free(folder, is_resumed=resumed is not None)
    callbacks = job.make_callbacks(master)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    task = job.Task(verb.name, flags)
    launcher = make_launcher(master, context, task)
    check = job.Checker(verb, hydra, config_name)
    if isinstance(launcher, LocalLauncher):
        launcher.devices = max(launcher.devices, _most_devices(check, master, overrides))
    plan = Plan(verb.name, command, [], parallel_of(master, launcher), started=time.time())
    sweep = Sweep(folder, master, launcher, plan)
    search = _search_of(master)
    if search is None:
        plan.jobs = plan_jobs(check, master, overrides, folder)
    if flags.dry_run:
        _tell_cost(plan, check, launcher, folder)
        return job.DONE
    again = _again(verb, command, folder, flags)
    remedy = "wait for it, or end it" if resumed else "name another folder, or wait for it"
    with job.taken_folder(folder, remedy):
        _check_free(folder, is_resumed=resumed is not None)  # another may have come meanwhile
        code = _work(sweep, search, check, overrides, callbacks, again)
    if code != job.DONE and (search is None or sweep.is_open):
        job.say(f"run what is not done with: {again}")
    return code


def _work(
    sweep: Sweep,
    search: Any,
    check: job.Checker,
    overrides: Sequence[str],
    callbacks: Callbacks,
    again: str,
) -> int:
    """Run what is left of a sweep whose folder is this command's own; return the exit code."""
    master, folder = sweep.config, sweep.folder
    sweep.plan.process = this_process()
    sweep.plan.write(folder)
    callbacks.on_multirun_start(config=master, config_name=check.config_name)
    OmegaConf.save(master, folder / "multirun.yaml")
    ended = "interrupted"
    try:
        with beating(folder / SWEEP):
            if search is None:
                _run_grid(sweep)
            else:
                search(sweep, check, overrides)
            code = sweep.summarise()
            ended = "completed" if code == job.DONE else "failed"
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            sweep.summarise()
        job.say(f"go on with: {again}")
        raise
    finally:
        getattr(sweep.launcher, "close", lambda: None)()
        sweep.end(ended)
    callbacks.on_multirun_end(config=master, config_name=check.config_name)
    return code


def _again(verb: job.Verb, command: Sequence[str], folder: Path, flags: job.Flags) -> str:
    """The command that runs what a sweep has left undone."""
    options = {
        "--config-dir": flags.config_dir,
        "--config-path": flags.config_path,
        "--config-name": flags.config_name,
    }
    given = [word for item in options.items() if item[1] for word in item]
    kept = [o for o in command if o.split("=", 1)[0] not in ("output_dir", "resume_sweep")]
    words = ["sedtf", verb.name, "-m", *map(str, given), *kept, f"resume_sweep={folder}"]
    return shlex.join(words)


def _tell_cost(plan: Plan, check: job.Checker, launcher: Launcher, folder: Path) -> None:
    from sed_cli.tasks.cost import tell_cost

    if not plan.jobs:
        raise UserError("--dry-run: what optuna will choose is not known; ask for a grid of it")
    left = [j for j in plan.jobs if recorded(folder / j.folder).status != job.DONE]
    if not left:
        raise UserError(f"{folder}: all {len(plan.jobs)} runs are done already")
    threads = launcher.threads_each if isinstance(launcher, LocalLauncher) else None
    with job.log_to_stderr():
        tell_cost(
            [check(planned.overrides) for planned in left],
            [planned.folder for planned in left],
            parallel=plan.parallel,
            threads=threads,
            n_done=len(plan.jobs) - len(left),
            trained=[len(history_rows(folder / each.folder / "history.csv")) for each in left],
        )


def _run_grid(sweep: Sweep) -> None:
    left = []
    for planned in sweep.plan.jobs:
        outcome = recorded(sweep.folder / planned.folder)
        if outcome.status == job.DONE:
            sweep.outcomes[planned.folder] = outcome
        else:
            left.append(planned)
    if len(left) < len(sweep.plan.jobs):
        log.info(
            "%d of %d jobs are done already", len(sweep.plan.jobs) - len(left), len(sweep.plan.jobs)
        )
    size = counts_of(sweep.config.hydra.sweeper, "sweeper", "max_batch_size") or max(len(left), 1)
    for start in range(0, len(left), size):
        sweep.run(left[start : start + size])


def _search_of(master: DictConfig) -> Any:
    """Return what chooses jobs by how earlier ones ended; ``None`` for a grid."""
    target = str(master.hydra.sweeper._target_)
    if target.endswith(".BasicSweeper"):
        return None
    if target == "sed_cli.cli.sweeps.search.search":
        from sed_cli.cli.sweeps.search import search

        return search
    raise UserError(f"hydra/sweeper: {target} is none that sedtf can drive: choose basic or optuna")


def counts_of(settings: DictConfig, of: str, *keys: str) -> int | None:
    """Check counts that Hydra has no types for, and return the last; None where it is not given.

    Raises:
        UserError: for one that is no whole number above 0.
    """
    value = None
    for key in keys:
        value = settings.get(key)
        if value is not None and (type(value) is not int or not 1 <= value < 2**31):
            raise UserError(f"hydra.{of}.{key}={value}: expected a whole number above 0, or null")
    return value


def make_launcher(config: DictConfig, context: HydraContext, task: job.Task) -> Launcher:
    """Make the launcher that the configuration names: ours, or one of Hydra's plugins."""
    settings = dict(config.hydra.launcher)
    counts_of(config.hydra.launcher, "launcher", "workers", "threads")
    target = str(settings.pop("_target_"))
    if target not in _LAUNCHERS:
        return Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task, config=config
        )
    module, _, name = target.rpartition(".")
    launcher: Launcher = getattr(importlib.import_module(module), name)(**settings)
    launcher.setup(hydra_context=context, task_function=task, config=config)
    return launcher


def parallel_of(config: DictConfig, launcher: Launcher) -> int | None:
    """Jobs that a launcher runs at a time; ``None`` where that is not known."""
    if isinstance(launcher, LocalLauncher):
        return launcher.parallel
    if str(config.hydra.launcher._target_).endswith(".BasicLauncher"):
        return 1
    value = config.hydra.launcher.get("array_parallelism")
    return None if value is None else int(value)


# ------------------------------------------------------------------------------- what is left


def plan_jobs(
    check: job.Checker, master: DictConfig, overrides: Sequence[str], folder: Path
) -> list[Planned]:
    """Check and name every combination; one that a resumed folder holds keeps its name there."""
    parsed = parse_task(check, master, overrides)
    drawn = [o.input_line for o in parsed if o.is_sweep_override() and not o.is_discrete_sweep()]
    if drawn:
        raise UserError(f"{', '.join(map(str, drawn))}: an interval takes hydra/sweeper=optuna")
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    rows = BasicSweeper.split_arguments(parsed, None)[0]
    configs = [check(row) for row in rows]
    earlier = _earlier(folder)
    # Where data lie makes no other experiment, unless that is what is, or was, swept over.
    roots = {_root(config) for config in configs}
    by_root = len(roots) > 1 or len({root for _, root in earlier} - {None}) > 1
    if not by_root:
        earlier = _whatever_root(earlier)
    taken = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    jobs = []
    for row, config in zip(rows, configs, strict=True):
        key = (config_hash(config), _root(config) if by_root else None)
        found = earlier.get(key)
        name = found.pop(0) if found else name_job(row, swept, taken)
        taken.add(name)
        jobs.append(planned_job(name, row, config))
    others = sum(map(len, earlier.values()))
    if others:
        log.warning("%s holds %d runs of other settings: they are left alone", folder, others)
    return jobs


def parse_task(check: job.Checker, master: DictConfig, overrides: Sequence[str]) -> list[Override]:
    """Parse what acts on the jobs: ``hydra.sweeper.params``, then what was given."""
    params = master.hydra.sweeper.get("params") or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    parsed = [o for o in job.parse(check.hydra, given) if not o.is_hydra_override()]
    return list({o.get_key_element(): o for o in parsed if o.key_or_group != "output_dir"}.values())


def _most_devices(check: job.Checker, master: DictConfig, overrides: Sequence[str]) -> int:
    """The most that ``trainer.devices`` comes to where it is swept over, which no master tells."""
    swept = [
        value
        for override in parse_task(check, master, overrides)
        if override.key_or_group == "trainer.devices" and override.is_discrete_sweep()
        for value in override.sweep_string_iterator()
    ]
    return max((int(value) for value in swept if value.isdigit()), default=1)


def planned_job(folder: str, overrides: Sequence[str], config: Any) -> Planned:
    """Note what is known of a job before it begins."""
    epochs = getattr(getattr(config, "trainer", None), "epochs", None)
    return Planned(folder, list(overrides), config_hash(config), epochs, _root(config))


def _root(config: Any) -> str | None:
    root = getattr(getattr(config, "data", None), "root", None)
    return None if root is None else str(Path(root).expanduser().absolute())


_Earlier = dict[tuple[str, str | None], list[str]]


def _earlier(folder: Path) -> _Earlier:
    """Names of the jobs that a folder of a sweep holds, by config hash and root of the data."""
    found: _Earlier = {}
    named: set[str] = set()

    def note(name: str, config_hash: str, root: object) -> None:
        if name not in named:
            named.add(name)
            where = str(Path(str(root)).expanduser().absolute()) if root else None
            found.setdefault((config_hash, where), []).append(name)

    plan = _plan_in(folder, is_resumed=True)
    for planned in plan.jobs if plan else []:
        note(planned.folder, planned.config_hash, planned.root)
    for run in run_folders(folder) if folder.is_dir() else []:  # of no plan, or of an earlier one
        name = run.relative_to(folder).as_posix()
        if name in named:
            continue
        with suppress(ValueError, OSError):
            config_hash = (read_record(run) or {}).get("config_hash")
            if config_hash:
                data = run_settings(run).get("data") or {}
                note(name, str(config_hash), data.get("root"))
    return found


def _whatever_root(earlier: _Earlier) -> _Earlier:
    merged: _Earlier = {}
    for (experiment, _), names in earlier.items():
        merged.setdefault((experiment, None), []).extend(names)
    return merged


def _check_free(folder: Path, *, is_resumed: bool) -> None:
    """Refuse to run two sweeps in one folder, at the same time or one after the other."""
    plan = _plan_in(folder, is_resumed=is_resumed)
    if not is_resumed and not (folder / SWEEP).exists():
        check_unused(folder, "sweep")
    if plan is not None and not is_resumed:
        raise UserError(
            f"output_dir={folder} holds a sweep already: name another folder, or go on with it by "
            f"resume_sweep={folder}"
        )
    if not is_resumed:
        return
    deadline = time.monotonic() + _GIVES_WAY_S
    while busy := _at_work(folder, plan):
        if time.monotonic() > deadline:
            raise UserError(
                f"resume_sweep={folder}: {busy[0]} is still at work there"
                f"{f', and {len(busy) - 1} more' if busy[1:] else ''}: wait for it, or end it"
            )
        time.sleep(0.2)


def _plan_in(folder: Path, *, is_resumed: bool) -> Plan | None:
    """Read the plan of a sweep; one that is damaged stands in the way of another sweep alone."""
    try:
        return Plan.read(folder)
    except (OSError, ValueError) as error:
        if is_resumed:  # its runs are found without
            log.warning(
                "%s cannot be read (%s): its runs are looked for", folder / SWEEP, why(error)
            )
            return None
        raise UserError(
            f"output_dir={folder} holds a sweep.json that cannot be read ({why(error)}): "
            f"name another folder"
        ) from error


def _at_work(folder: Path, plan: Plan | None) -> list[str]:
    busy = []
    if plan is not None and plan.process and is_alive(plan.process, folder / SWEEP):
        process = plan.process
        busy.append(f"process {process.get('pid')} on {process.get('host')}")
    for run in run_folders(folder):
        with suppress(OSError, ValueError):
            record = read_record(run) or {}
            if state(run / RUN, record) == "running":
                busy.append(f"the run {run.name}")
    return busy
