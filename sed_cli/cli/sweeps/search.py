"""``hydra/sweeper=optuna``: each job's settings are chosen by earlier outcomes.

Hydra's own Optuna sweeper needs a release of 2022 and ends the study at its first failed trial; it
cannot resume a study either. It adds little to Optuna's ask and tell, which is implemented here.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf

from sed_cli.cli.checks import check_job
from sed_cli.cli.hydra import Composer
from sed_cli.cli.messages import say
from sed_cli.cli.sweeps.launching import counts_of
from sed_cli.cli.sweeps.names import is_plain, name_job
from sed_cli.cli.sweeps.plan import parse_task, planned_job
from sed_cli.cli.sweeps.sweep import Sweep, recorded
from sed_cli.cli.task import DONE, FAILED, INTERRUPTED, WAITING, Outcome
from sed_cli.errors import ConfigError, SedtfError, UserError
from sed_cli.system.records import Planned, is_inside
from sed_cli.system.structured import read_limited, why

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

STUDY = "study.log"
"""Optuna's journal in the folder of a sweep: trials and their outcomes."""

_FOLDER, _OVERRIDES = "folder", "overrides"  # of a trial, beside its parameters; and of a study
_LARGEST, _MOST_LINES = 64 * 2**20, 50_000  # of the journal: a trial takes about ten lines


def search(sweep: Sweep, composer: Composer, overrides: Sequence[str]) -> None:
    """Ask a study for settings, run them and report the outcomes, until there are enough trials.

    A failed trial is reported as failed and does not stop the others. An interrupted trial stays
    open in the study, and resumes from its last checkpoint when the sweep is resumed.

    Args:
        sweep: the active sweep.
        composer: of the verb.
        overrides: as given; those with several values, or an interval, are searched over.

    Raises:
        UserError: if there is nothing to search over.
        ConfigError: if the settings of the first trial are invalid.
    """
    settings = sweep.config.hydra.sweeper
    counts_of(settings, "sweeper", "n_trials", "n_jobs")
    parsed = parse_task(composer, sweep.config, overrides)
    space = {o.get_key_element(): _distribution(o) for o in parsed if o.is_sweep_override()}
    if not space:
        raise UserError("nothing to search over: give KEY=interval(LOW,HIGH), or KEY=a,b,c")
    fixed = [
        f"{o.get_key_element()}={o.get_value_element_as_str()}"
        for o in parsed
        if not o.is_sweep_override()
    ]
    study = _study(sweep.folder, settings)
    _check_own(study, sweep.folder, settings)
    _warn_of_others(study, set(fixed), space)
    sweep.plan.total = settings.n_trials
    n_jobs = settings.n_jobs or sweep.plan.parallel or 1
    _go_on(sweep, study, composer, fixed)
    while len(study.trials) < settings.n_trials:
        batch = []
        for _ in range(min(n_jobs, settings.n_trials - len(study.trials))):
            with _reading(sweep.folder, settings):
                trial = study.ask(space)
            row = [*fixed, *(f"{key}={value}" for key, value in trial.params.items())]
            taken = {path.name for path in sweep.folder.iterdir()} | {
                planned.folder for planned in sweep.plan.jobs
            }
            name = name_job(row, {key.lstrip("+~") for key in space}, taken)
            trial.set_user_attr(_FOLDER, name)
            trial.set_user_attr(_OVERRIDES, row)
            batch.append((trial.number, name, row))
        _run(sweep, study, composer, batch)
    with _reading(sweep.folder, settings):
        _write_best(sweep, study)


@contextmanager
def _reading(folder: Path, settings: Any) -> Iterator[None]:
    """Blame a study for errors of Optuna within the block: it may contain anything."""
    try:
        yield
    except SedtfError:
        raise
    except Exception as error:
        raise UserError(
            f"{settings.storage or folder / STUDY}: not a readable Optuna study, or one of another "
            f"search ({type(error).__name__}: {why(error)})"
        ) from error


def _warn_of_others(study: Study, fixed: set[str], space: Container[str]) -> None:
    """Warn if earlier trials of the study were run with other fixed settings."""
    others = set[str]()
    for trial in study.trials:
        row = trial.user_attrs.get(_OVERRIDES, fixed)
        row = [str(each) for each in row] if isinstance(row, list) else fixed
        others |= fixed ^ {each for each in row if each.split("=", 1)[0] not in space}
    if others:
        log.warning(
            "trials of this study were run with other settings (%s) but are compared "
            "nevertheless: for a separate study, name another folder",
            " ".join(sorted(others)),
        )


def _go_on(sweep: Sweep, study: Study, composer: Composer, fixed: Sequence[str]) -> None:
    """List the trials of a resumed study, and finish unfinished ones.

    Recorded trials are untrusted: they may only set values of the run that are part of the current
    command.

    Raises:
        UserError: for a trial that sets anything else.
    """
    from optuna.trial import TrialState

    begun = []
    for trial in study.trials:
        name, row = trial.user_attrs.get(_FOLDER), trial.user_attrs.get(_OVERRIDES)
        if name is None or row is None:  # killed between two lines of the journal
            if not trial.state.is_finished():
                study.tell(trial.number, state=TrialState.FAIL)
            continue
        _check_read(trial.number, name, row, fixed)
        if trial.state.is_finished():
            sweep.plan.jobs.append(Planned(name, row, ""))
        else:
            begun.append((trial.number, name, row))
    if begun or sweep.plan.jobs:
        log.info("%d trials are already finished, %d started", len(sweep.plan.jobs), len(begun))
    _run(sweep, study, composer, begun)


def _check_read(number: int, name: object, row: object, fixed: Sequence[str]) -> None:
    texts = row if isinstance(row, list) and all(isinstance(each, str) for each in row) else None
    if texts is None or not (isinstance(name, str) and is_inside(name)):
        raise UserError(f"trial {number} of the study was not written by sedtf")
    foreign = [each for each in texts if each not in fixed and not is_plain(each)]
    if foreign:
        raise UserError(
            f"trial {number} of the study would set {foreign[0]}, which is not given now: "
            f"a study may only set values of its runs; name another folder"
        )


def _run(
    sweep: Sweep, study: Study, composer: Composer, batch: Sequence[tuple[int, str, list[str]]]
) -> None:
    """Run trials in parallel and report the outcomes to the study."""
    numbers: dict[str, int] = {}
    left: list[Planned] = []
    for number, name, row in batch:
        numbers[name] = number
        try:
            planned = planned_job(name, row, check_job(composer, row)[0])
        except ConfigError as error:
            if not sweep.outcomes:  # the first of all: the user has to act
                _tell(study, number, Outcome(FAILED, name))
                raise
            planned = Planned(name, row, "")
            reason = "; ".join(error.faults)
            sweep.plan.jobs.append(planned)
            sweep.note(planned, Outcome(FAILED, name, error=reason))
            continue
        sweep.plan.jobs.append(planned)
        if recorded(sweep.folder / name).status != DONE:
            left.append(planned)
    sweep.plan.write(sweep.folder)
    sweep.run(left)
    for name, number in numbers.items():
        outcome = sweep.outcomes.get(name) or recorded(sweep.folder / name)
        sweep.outcomes[name] = outcome
        _tell(study, number, outcome)


def _tell(study: Study, number: int, outcome: Outcome) -> None:
    from optuna.trial import TrialState

    if outcome.status in (INTERRUPTED, WAITING):
        return
    if outcome.status != DONE or outcome.objective is None or math.isnan(outcome.objective):
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, outcome.objective)


def _study(folder: Path, settings: Any) -> Study:
    """Open the study of a sweep, or one in a database."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / STUDY
    if journal.exists() and not journal.is_file():
        raise UserError(f"{journal}: expected a file, got a folder, a pipe or a device")
    if journal.is_file():  # Optuna takes a minute for 100,000 trials
        read_limited(journal, _LARGEST, most_lines=_MOST_LINES)
    with warnings.catch_warnings(), _reading(folder, settings):
        warnings.simplefilter("ignore")  # experimental there, but pinned here
        storage = settings.storage or JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(
            storage=storage,
            study_name=settings.study_name or "sweep",
            direction="maximize",
            load_if_exists=True,
        )
        if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
            raise ValueError("it does not maximise one value")
        seed = settings.seed + len(study.trials)  # a resumed study must not try the same again
        study.sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if settings.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
    return study


def _check_own(study: Study, folder: Path, settings: Any) -> None:
    """Refuse a study in a database whose trials are in the folder of another sweep.

    Raises:
        UserError: if that folder exists.
    """
    owner = study.user_attrs.get(_FOLDER)
    owner = None if owner is None else str(owner)
    if (
        settings.storage is not None
        and owner not in (None, str(folder))
        and Path(str(owner)).is_dir()
    ):
        raise UserError(
            f"hydra.sweeper.storage={settings.storage} holds the study {study.study_name} of "
            f"{owner}: continue it with resume_sweep={owner}, or give another "
            f"hydra.sweeper.study_name"
        )
    study.set_user_attr(_FOLDER, str(folder))


def _distribution(override: Override) -> BaseDistribution:
    """Optuna's distribution for a key in Hydra's grammar."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log_scale = value.start or 0, value.end or 0, "log" in value.tags
        if type(low) is type(high) is int:  # as written
            return IntDistribution(int(low), int(high), log=log_scale)
        return FloatDistribution(float(low), float(high), log=log_scale)
    if isinstance(value, RangeSweep):
        start, stop, step = value.start or 0, value.stop or 0, value.step
        last = start + (math.ceil((stop - start) / step) - 1) * step
        if type(last) is int:
            return IntDistribution(int(start), int(last), step=int(step))
        return FloatDistribution(float(start), float(last), step=float(step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _write_best(sweep: Sweep, study: Study) -> None:
    """Write and print the best of all trials, if any completed."""
    try:
        best = study.best_trial
    except ValueError:
        return
    value = float(best.value)  # type: ignore[arg-type]  # of a finished trial
    values = {
        "name": "optuna",
        "best_evaluated_params": dict(best.params),
        "best_evaluated_result": value,
        "best_folder": str(best.user_attrs[_FOLDER]),
    }
    OmegaConf.save(OmegaConf.create(values), sweep.folder / "optimization_results.yaml")
    shown = " ".join(f"{key}={value}" for key, value in best.params.items())
    say(f"best of {len(study.trials)} trials: {value:.4f} by {shown}")
