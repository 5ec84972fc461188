"""An active sweep: records of its jobs, and their outcomes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from sed_cli.cli.messages import say
from sed_cli.cli.overrides import quoted
from sed_cli.cli.task import DONE, FAILED, INTERRUPTED, WAITING, Outcome
from sed_cli.errors import SedtfError
from sed_cli.system.records import RUN, Plan, Planned, note_end, read_record, state
from sed_cli.system.structured import why
from sed_cli.system.text import one_line, plain

log = logging.getLogger(__name__)


@dataclass
class Sweep:
    """An active sweep: its folder, its launcher, and the records of its jobs."""

    folder: Path
    config: DictConfig
    launcher: Launcher
    plan: Plan
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by folder of the job

    def run(self, jobs: Sequence[Planned]) -> None:
        """Run some of the planned jobs and record their outcomes, as far as known."""
        if not jobs:
            return
        place = (f"output_dir={quoted(self.folder)}",)
        given = [
            [*planned.overrides, *place, f"hydra.sweep.subdir={quoted(planned.folder)}"]
            for planned in jobs
        ]
        first = self.plan.jobs.index(jobs[0])
        try:
            returns = self.launcher.launch(given, initial_job_idx=first)
        except SedtfError:
            raise
        except Exception as error:  # the launcher failed: the records of its jobs are left
            log.warning("the launcher failed: %s", one_line(error))
            returns = []
        for index, planned in enumerate(jobs):
            known = None
            if index < len(returns):
                with suppress(Exception):  # Hydra raises what a job raised before its work
                    known = returns[index].return_value
            if isinstance(known, Outcome):
                self.note(planned, known)
            else:
                self.outcomes[planned.folder] = recorded(self.folder / planned.folder)

    def note(self, planned: Planned, outcome: Outcome) -> None:
        """Record the outcome of a job, also in its folder if it could not do so itself."""
        folder = self.folder / planned.folder
        if outcome.status == INTERRUPTED:
            written = recorded(folder)  # a process may be lost after finishing its work
            outcome = written if written.status == DONE else outcome
        if outcome.status != DONE:
            status = "interrupted" if outcome.status == INTERRUPTED else "failed"
            facts = {"verb": self.plan.verb, "config_hash": planned.config_hash}
            note_end(folder, status, outcome.error, **facts)
        self.outcomes[planned.folder] = replace(outcome, folder=str(folder))

    def summarise(self) -> int:
        """Print one line per job on standard output; 1 if any is not done."""
        for planned in self.plan.jobs:
            folder = self.folder / planned.folder
            outcome = self.outcomes.get(planned.folder) or recorded(folder)
            self.outcomes[planned.folder] = outcome
            objective = "" if outcome.objective is None else f"{outcome.objective:.4f}"
            words = {DONE: "done", INTERRUPTED: "interrupted", WAITING: "waiting"}
            status = words.get(outcome.status, "failed")
            settings = " ".join(planned.overrides)
            sys.stdout.write(plain("\t".join((status, objective, str(folder), settings))) + "\n")
            if outcome.error and outcome.status != WAITING:
                say(f"job {settings or planned.folder}: {outcome.error}")
        is_done = all(outcome.status == DONE for outcome in self.outcomes.values())
        return DONE if is_done else FAILED

    @property
    def is_open(self) -> bool:
        """Whether a job was interrupted, or never started."""
        cut = (INTERRUPTED, WAITING)
        return any(outcome.status in cut for outcome in self.outcomes.values())

    def end(self, status: str) -> None:
        """Record that this process is done with the sweep."""
        self.plan.status, self.plan.process = status, None
        self.plan.write(self.folder)


def recorded(folder: Path) -> Outcome:
    """Outcome of a job, by its records."""
    try:
        record = read_record(folder)
    except (OSError, ValueError) as error:
        return Outcome(FAILED, str(folder), error=f"{folder / RUN}: {why(error)}")
    if record is None:
        return Outcome(WAITING, str(folder), error="it never began")
    status = state(folder / RUN, record)
    if status == "completed":
        objective = record.get("objective")
        known = float(objective) if isinstance(objective, int | float) else None
        return Outcome(DONE, str(folder), known)
    code = FAILED if status == "failed" else INTERRUPTED
    return Outcome(code, str(folder), error=str(record.get("error") or status))
