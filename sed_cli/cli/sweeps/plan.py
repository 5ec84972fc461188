"""The jobs of a sweep, matched with those in its folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from sed_cli.cli.checks import check_job
from sed_cli.cli.folders import check_unused
from sed_cli.cli.hydra import Composer, split_jobs
from sed_cli.cli.sweeps.names import name_job
from sed_cli.config.identity import config_hash
from sed_cli.errors import UserError
from sed_cli.system.records import (
    RUN,
    SWEEP,
    Plan,
    Planned,
    is_alive,
    read_record,
    run_folders,
    run_settings,
    state,
)
from sed_cli.system.structured import why

log = logging.getLogger(__name__)

_GIVES_WAY_S = 10.0  # the processes of a killed sweep end by themselves, but not immediately


def plan_jobs(
    composer: Composer, master: DictConfig, overrides: Sequence[str], folder: Path
) -> list[Planned]:
    """Check and name every combination; one in a resumed folder keeps its name."""
    parsed = parse_task(composer, master, overrides)
    drawn = [o.input_line for o in parsed if o.is_sweep_override() and not o.is_discrete_sweep()]
    if drawn:
        raise UserError(f"{', '.join(map(str, drawn))}: an interval needs hydra/sweeper=optuna")
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    rows = split_jobs(parsed)
    configs = [check_job(composer, row)[0] for row in rows]
    earlier = _earlier(folder)
    # The location of data does not change the experiment, unless the sweep is over locations.
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
        log.warning(
            "%s holds %d runs with other settings, which are kept unchanged", folder, others
        )
    return jobs


def parse_task(composer: Composer, master: DictConfig, overrides: Sequence[str]) -> list[Override]:
    """Parse overrides of the jobs: ``hydra.sweeper.params``, then those given."""
    params = master.hydra.sweeper.get("params") or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    parsed = [o for o in composer.parse(given) if not o.is_hydra_override()]
    return list({o.get_key_element(): o for o in parsed if o.key_or_group != "output_dir"}.values())


def planned_job(folder: str, overrides: Sequence[str], config: Any) -> Planned:
    """Record a job before it starts."""
    epochs = getattr(getattr(config, "trainer", None), "epochs", None)
    return Planned(folder, list(overrides), config_hash(config), epochs, _root(config))


def _root(config: Any) -> str | None:
    root = getattr(getattr(config, "data", None), "root", None)
    return None if root is None else str(Path(root).expanduser().absolute())


_Earlier = dict[tuple[str, str | None], list[str]]


def _earlier(folder: Path) -> _Earlier:
    """Names of the jobs in a sweep folder, by config hash and root of the data."""
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
    # without a plan, or from an earlier one
    for run in run_folders(folder) if folder.is_dir() else []:
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


def check_free(folder: Path, *, is_resumed: bool) -> None:
    """Refuse to run two sweeps in one folder, in parallel or in sequence."""
    plan = _plan_in(folder, is_resumed=is_resumed)
    if not is_resumed and not (folder / SWEEP).exists():
        check_unused(folder, "sweep")
    if plan is not None and not is_resumed:
        raise UserError(
            f"output_dir={folder} already holds a sweep: name another folder, or continue it with "
            f"resume_sweep={folder}"
        )
    if not is_resumed:
        return
    deadline = time.monotonic() + _GIVES_WAY_S
    while busy := _at_work(folder, plan):
        if time.monotonic() > deadline:
            raise UserError(
                f"resume_sweep={folder}: {busy[0]} is still running there"
                f"{f', and {len(busy) - 1} more' if busy[1:] else ''}: wait for it, or end it"
            )
        time.sleep(0.2)


def _plan_in(folder: Path, *, is_resumed: bool) -> Plan | None:
    """Read the plan of a sweep; a damaged one only prevents new sweeps."""
    try:
        return Plan.read(folder)
    except (OSError, ValueError) as error:
        if is_resumed:  # its runs are found without it
            log.warning(
                "%s cannot be read (%s): searching for its runs", folder / SWEEP, why(error)
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
