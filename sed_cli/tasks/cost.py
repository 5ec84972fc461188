"""``sedtf train --dry-run``: estimate the cost of runs from a few updates of each."""

from __future__ import annotations

import heapq
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sed_cli.config.identity import flattened, keys_with
from sed_cli.config.provenance import choose_device, set_threads
from sed_cli.config.settings import Role
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.system.records import duration
from sed_cli.system.text import counted
from sed_cli.tasks.registry import task_named
from sed_cli.tasks.train import make_trainer
from sed_cli.training.state import seed_everything

_UPDATES = 5  # timed, after one untimed update that compiles and allocates
_LONGEST_S = 20.0  # limit for timing the updates


@dataclass(frozen=True)
class Speed:
    """Speed of a model on its data, as measured."""

    update_s: float
    validation_s: float
    n_batches: int  # per epoch

    def of(self, config: AnyTrainConfig, trained: int = 0) -> tuple[int, float]:
        """Updates and seconds left after ``trained`` epochs, for a run that does not stop early."""
        updates, epochs = self.n_batches * config.trainer.epochs, config.trainer.epochs
        if config.trainer.max_updates is not None:
            updates = min(updates, config.trainer.max_updates)
            epochs = -(-updates // self.n_batches)
        updates = max(updates - self.n_batches * trained, 0)
        epochs = max(epochs - trained, 0)
        return updates, updates * self.update_s + epochs * self.validation_s


def tell_cost(
    configs: Sequence[AnyTrainConfig],
    names: Sequence[str],
    *,
    parallel: int | None,
    threads: int | None = None,
    n_done: int = 0,
    trained: Sequence[int] = (),
) -> None:
    """Time each distinct model on its data, and print the estimated cost of all runs.

    Args:
        configs: one per run.
        names: names of the runs in the listing.
        parallel: number of runs at a time; None: all.
        threads: CPU threads per run if its configuration sets none; None: torch's choice.
        n_done: number of completed runs, mentioned in the output.
        trained: epochs that each run has already completed; if empty, none.

    Raises:
        UserError: if the data or the device of a run cannot be used.
    """
    groups: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        groups.setdefault(_alike(config), []).append(index)
    seconds = [0.0] * len(configs)
    behind = list(trained) or [0] * len(configs)
    _say("runs  updates  s/update  s/validation  time each   first of them")
    for members in groups.values():
        first = configs[members[0]]
        with set_threads(first.trainer.threads or threads):
            speed = measure(first)
        for index in members:
            seconds[index] = speed.of(configs[index], behind[index])[1]
        updates, longest_s = max(speed.of(configs[index], behind[index]) for index in members)
        _say(
            f"{len(members):4}  {updates:7}  {speed.update_s:8.3g}  {speed.validation_s:12.3g}  "
            f"{duration(longest_s):10}  {names[members[0]]}"
        )
    at_once = min(parallel or len(configs), len(configs))
    runs = f"{len(configs)} run{'s' if len(configs) > 1 else ''}"
    runs += f", {at_once} at a time" if at_once > 1 else ""
    done = f"; {n_done} more are already done" if n_done else ""
    _say(
        f"{runs}: training takes {duration(span(seconds, at_once))}, less if it stops early "
        f"({duration(sum(seconds))} of work){done}"
    )
    _say("Start-up, uncached features and the final evaluation are not included.")
    if n_first := sum(config.n_trained_first for config in configs):
        _say(f"Nor are {counted(n_first, 'teacher')}, each about a run without unlabelled data.")
    if any((config.trainer.devices or 1) > 1 for config in configs):
        _say("Each was timed in one process; with trainer.devices, the work is shared.")
    if at_once > 1:
        _say("Each was timed alone: parallel runs may slow one another down.")


def measure(config: AnyTrainConfig) -> Speed:
    """Time updates and one validation of an untrained model; only the cache is written."""
    device = choose_device(config.device)
    package = task_named(config.task)
    data = package.load_data(config)
    seed_everything(config.seed)
    task = package.make(config, data, device)
    trainer = make_trainer(config, task)
    updates = itertools.islice(itertools.cycle(trainer.updates(1)), 1 + _UPDATES)
    trainer.update(next(updates))
    started, n_updates = _now(device), 0
    for parts in updates:
        trainer.update(parts)
        n_updates += 1
        if _now(device) - started > _LONGEST_S:
            break
    update_s = (_now(device) - started) / n_updates
    started = _now(device)
    task.validate()
    return Speed(update_s, _now(device) - started, trainer.n_batches)


def span(seconds: Sequence[float], at_once: int) -> float:
    """Total duration of jobs that start in order, ``at_once`` at a time."""
    ends = [0.0] * max(at_once, 1)
    for job_s in seconds:
        heapq.heapreplace(ends, ends[0] + job_s)
    return max(ends)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _alike(config: AnyTrainConfig) -> str:
    """A key that is equal for configurations whose updates take equally long."""
    free = keys_with(Role.FREE)
    values: dict[str, Any] = {
        key: value for key, value in flattened(asdict(config)).items() if key not in free
    }
    return json.dumps(values, sort_keys=True)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
