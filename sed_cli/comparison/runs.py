"""Reading run folders: their settings, outcomes and scores."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from sed_cli.comparison.amounts import AMOUNTS, DRAWS
from sed_cli.comparison.learning import Learning, learning_of
from sed_cli.config.identity import flattened, keys_with
from sed_cli.config.plain import config_of
from sed_cli.config.settings import Role
from sed_cli.errors import CheckpointError, ConfigError, UserError
from sed_cli.metrics.totals import Totals
from sed_cli.system.hydra_records import choices_in, found_from, given_words, of_hydra
from sed_cli.system.records import RUN, names_of, read_record, run_folders, run_settings, state
from sed_cli.system.structured import read_json_object, read_settings, why
from sed_cli.tasks.registry import task_named
from sed_cli.training.checkpoint import CONFIG, read_config, resolve_checkpoint

SEED, FOLD, SET = "seed", "data.fold", "data.fingerprint"
GENERATED = "data.seed"  # seed of the soundscapes
_SHOWN = 8  # characters of a fingerprint
_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, CheckpointError,
)  # fmt: skip
MISSING = "-"  # shown for a key missing in a configuration


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder.

    Args:
        folder: its path.
        name: its listed name, relative to the folder that the user named.
        trouble: why it is not compared; ``None``: it completed and can be read.
        settings: all keys and values that identify the experiment, without its seed and its fold;
            empty if they could not be read.
        choices: the chosen option of each config group.
        given: keys and groups that the command line named.
        task: by its name.
        scores: by kind.
        started: when, as ISO 8601 text.
        root: folder of the recordings; ``None`` if they were generated.
        train_minutes: minutes of training audio; ``None`` if unknown.
        learning: its learning speed, see :mod:`sed_cli.comparison.learning`.
    """

    folder: Path
    name: str
    trouble: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    seed: int = 0
    fold: str | None = None
    task: str = "sed"
    scores: dict[str, Totals] = field(default_factory=dict)
    started: str = ""
    root: str | None = None
    train_minutes: float | None = None
    learning: Learning = field(default_factory=dict)


def find_runs(places: Sequence[str | Path]) -> list[Run]:
    """Read all runs of ``train`` and ``eval`` at or below the given folders.

    Raises:
        UserError: if a path is not a folder, or there is no run in any of them.
    """
    folders: dict[Path, str] = {}
    for place in map(Path, places):
        if not place.expanduser().is_dir():
            raise UserError(f"{place}: no such folder; expected run folders or a sweep")
        for folder in run_folders(place.expanduser()):
            folders.setdefault(folder.resolve(), str(folder))
    runs = [_read(Path(name), name) for name in folders.values()]
    found = _of_one_set([run for run in runs if run is not None])
    if not found:
        raise UserError(
            f"{', '.join(map(str, places))}: found no run of sedtf train or eval there or below; "
            f"name run folders, or the folder of a sweep"
        )
    return found


def _of_one_set(runs: Sequence[Run]) -> list[Run]:
    """Identify data sets by their folder if runs are trained on parts of one.

    The fingerprints of parts of a data set always differ, like those of folds. Runs whose parts are
    drawn by their own seed differ only in that seed.
    """
    cut = {
        run.root
        for run in runs
        if run.root is not None and any(run.settings.get(key) is not None for key in AMOUNTS)
    }
    same = [
        replace(run, settings={**run.settings, SET: run.root}) if run.root in cut else run
        for run in runs
    ]
    for key in (DRAWS, GENERATED):
        draws = {(run.seed, run.settings[key]) for run in same if key in run.settings}
        if all(len(set(each)) == len(draws) for each in zip(*draws, strict=True)):
            # data.train_seed=${seed}: the seed of the run by another name.
            same = [replace(run, settings=_without(run.settings, key)) for run in same]
    return same


def _without(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != key}


def _read(folder: Path, name: str) -> Run | None:
    """Read a run; ``None`` if it is from another verb."""
    try:
        record = _record(folder)
        if record["verb"] not in ("train", "eval"):
            return None
        settings, seed, fold, root = _settings(folder, record)
        run = Run(
            folder=folder,
            name=name,
            settings=settings,
            choices=_choices(folder, record),
            given=_given(folder),
            seed=seed,
            fold=fold,
            task=str(settings.get("task", "sed")),
            started=str(record.get("started", "")),
            root=root,
            train_minutes=_train_minutes(folder, record),
            learning=learning_of(_training_of(folder, record) or folder),
        )
    except _DAMAGED as error:
        return Run(folder=folder, name=name, trouble=f"cannot be read ({why(error)})")
    status = record["status"]
    if status != "completed":
        reason = f": {record['error']}" if record.get("error") else ""
        return replace(run, trouble=f"{status}{reason}")
    try:
        scores = task_named(run.task).scores(read_json_object(folder / "metrics.json"))
        for of_kind in scores.values():
            of_kind.figures()  # here, so that errors can name this file
        return replace(run, scores=scores)
    except FileNotFoundError:
        return replace(run, trouble="no metrics.json: it had no test split")
    except _DAMAGED as error:
        return replace(run, trouble=f"metrics.json: incomplete counts ({why(error)})")


def _record(folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    if record is None:  # it ended before its work started
        job = of_hydra(folder, "job")
        return {"verb": job.get("name", "train"), "status": "never started"}
    return {**record, "status": state(folder / RUN, record)}


# --------------------------------------------------------------------------------- settings


def _settings(
    folder: Path, record: Mapping[str, Any]
) -> tuple[dict[str, Any], int, str | None, str | None]:
    """All other keys and values, then seed and fold, and the folder of the recordings."""
    values = run_settings(folder)
    content = record.get("data_fingerprint")
    # of given scores: nothing was trained
    if record["verb"] == "eval" and not values.get("checkpoint"):
        flat = flattened(values)
    elif record["verb"] == "eval":
        flat = _of_evaluation(folder, values)
        if not values.get("data"):  # its fingerprint covers only one split
            content = _record(_trained_folder(folder)).get("data_fingerprint")
    elif values:
        flat = {**flattened(_with_defaults(values)), "split": "test"}
    else:
        flat = {**flattened(_trained_settings(folder)), "split": "test"}
    seed, fold = flat.pop(SEED, 0), flat.pop(FOLD, None)
    hidden = keys_with(Role.PLACE | Role.SOURCE)
    settings = {key: value for key, value in flat.items() if key not in hidden}
    root = None if flat.get("data.root") is None else str(flat["data.root"])
    if root is not None:
        # The same recordings in another folder count as the same. The fingerprints of folds always
        # differ, so that data sets with folds are identified by their folder.
        known = str(content)[:_SHOWN] if content and fold is None else root
        settings[SET] = known
    return settings, int(seed), None if fold is None else str(fold), root


def _train_minutes(folder: Path, record: Mapping[str, Any]) -> float | None:
    """Minutes of training audio; of an evaluation, those of its training."""
    trained = _training_of(folder, record)
    if trained is None:
        return None
    record = _record(trained)
    if not record.get("train_minutes"):  # an older run, or another task
        return None
    minutes = float(record["train_minutes"])
    if not 0 < minutes < math.inf:
        raise ValueError(f"train_minutes: {minutes}")
    return minutes


def _training_of(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """Folder of the training of a run or of its checkpoint; ``None`` for given scores."""
    if record["verb"] != "eval":
        return folder
    return _trained_folder(folder) if run_settings(folder).get("checkpoint") else None


def _trained_folder(evaluation: Path) -> Path:
    """Run folder of the training whose checkpoint was evaluated."""
    checkpoint = run_settings(evaluation)["checkpoint"]
    return resolve_checkpoint(found_from(evaluation, checkpoint)).parent.parent


def _with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in keys newer than the run, so that runs of different versions can be compared."""
    try:
        return asdict(config_of(values))
    except (ConfigError, OmegaConfBaseException, KeyError, TypeError, ValueError):
        return values  # unknown keys, or unknown components of a plugin


def _trained_settings(checkpoint: Path) -> dict[str, Any]:
    """Settings of the run of a checkpoint, unconverted if a plugin is unknown."""
    try:
        return asdict(read_config(checkpoint))
    except CheckpointError as error:
        if isinstance(error.__cause__, ConfigError):
            return read_settings(resolve_checkpoint(checkpoint) / CONFIG)
        raise


def _of_evaluation(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Settings of the training, overridden by those of the evaluation."""
    trained = _trained_settings(found_from(folder, values["checkpoint"]))
    own = {key: value for key, value in values.get("evaluation", {}).items() if value is not None}
    trained["evaluation"] |= own
    if values.get("data"):
        trained["data"] = values["data"]
    return {**flattened(trained), "split": values["split"]}


def _choices(folder: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Options of config groups; for an evaluation, including those of its training."""
    trained = {}
    if record["verb"] == "eval" and run_settings(folder).get("checkpoint"):
        trained = _choices(_trained_folder(folder), {"verb": "train"})
    return trained | choices_in(folder)


def _given(folder: Path) -> frozenset[str]:
    return frozenset(names_of(given_words(folder)))


# --------------------------------------------------------------------- what tells them apart


@dataclass(frozen=True)
class Configuration:
    """Runs that differ only in seed and fold."""

    settings: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def choices(self) -> dict[str, str]:
        """Options of config groups common to all its runs."""
        first = self.runs[0].choices
        return {
            group: option
            for group, option in first.items()
            if all(run.choices.get(group) == option for run in self.runs)
        }


def group_runs(runs: Iterable[Run]) -> list[Configuration]:
    """Group runs by configuration, in the order of discovery."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps(run.settings, sort_keys=True, default=str)
        groups.setdefault(key, []).append(run)
    return [Configuration(group[0].settings, tuple(group)) for group in groups.values()]


def differing(configurations: Sequence[Configuration]) -> list[str]:
    """All keys in which configurations differ."""
    keys = dict.fromkeys(key for each in configurations for key in each.settings)
    return [key for key in keys if len({_text(c.settings, key) for c in configurations}) > 1]


def columns(configurations: Sequence[Configuration]) -> dict[str, list[str]]:
    """The differences of configurations in few words: values by key or config group.

    The choice of a group's option, such as ``sampler=free_running``, stands for the keys that
    come with it; not for those that the command line gave as well.
    """
    given = {name for each in configurations for run in each.runs for name in run.given}
    groups = dict.fromkeys(group for each in configurations for group in each.choices)
    chosen: dict[str, list[str]] = {}
    for group in sorted(groups, key=lambda name: name != "experiment"):  # it includes others
        options = [each.choices.get(group, MISSING) for each in configurations]
        is_new = group in given or not any(_decides(chosen[g], options) for g in chosen)
        if len(set(options)) > 1 and is_new:
            chosen[group] = options
    shown = dict(chosen)
    for key in differing(configurations):
        values = [_text(each.settings, key) for each in configurations]
        stands_for_it = any(
            (group == "experiment" or f"{key}.".startswith(f"{group.replace('/', '.')}."))
            and _decides(options, values)
            for group, options in chosen.items()
        )
        if key in given or not stands_for_it:
            shown[key] = values
    return shown


def _decides(options: Sequence[str], values: Sequence[str]) -> bool:
    """Whether the option determines the value."""
    return len(set(zip(options, values, strict=True))) == len(set(options))


def _text(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key, MISSING)
    return "null" if value is None else str(value)
