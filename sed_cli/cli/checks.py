"""Checks of overrides: mistyped groups, options and keys, and bad values.

Every fault is found before anything is written. Each is one line with the override, the
expected value and, if there is one, the nearest match.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import KeyValidationError, OmegaConfBaseException

from sed_cli.cli.hydra import FAULTS, Composer, keys_of, settings_of, use_config
from sed_cli.cli.verbs import Flags
from sed_cli.config.plain import empty_fault, empty_texts, nested_faults, path_faults
from sed_cli.config.registry import KINDS
from sed_cli.config.settings import unchecked
from sed_cli.errors import ConfigError
from sed_cli.system.extras import missing
from sed_cli.system.text import nearest, one_line

_TASK = "task"  # the group that determines the options of the others

# Options that need an extra: the required package, and the extra that installs it.
_EXTRAS = {
    ("hydra/launcher", "slurm"): ("submitit", "slurm"),
    ("hydra/launcher", "slurm_gpu"): ("submitit", "slurm"),
    ("hydra/launcher", "ray"): ("ray", "ray"),
    ("hydra/sweeper", "optuna"): ("optuna", "optuna"),
}


def check_names(composer: Composer, overrides: Sequence[str], flags: Flags) -> None:
    """Find mistyped groups, options and keys, and overrides that would be ignored silently.

    Raises:
        ConfigError: with all of them.
    """
    parsed = composer.parse(overrides)
    groups = composer.options_of_groups()
    faults = [empty_fault(each.key_or_group) for each in parsed if _is_empty(each)]
    if faults:
        raise ConfigError(faults)
    good: list[str] = []
    bad: set[str] = set()
    for override in _choosing(parsed, groups):
        group = override.key_or_group
        if fault := _group_fault(override, groups[group], flags):
            faults.append(fault)
            bad.add(group)
        else:
            good.append(_first_choice(override))
    try:
        composed = composer.compose_choices(good)
    except FAULTS as error:
        raise ConfigError(_unsuited(composer, groups, good) or [_explain(error)]) from error
    keys = set(keys_of(composed)) | set(groups)
    for override in parsed:
        name = override.key_or_group
        group = name.split(".")[0]
        # The keys of a group with an invalid option are unknown.
        if name in groups or override.is_delete() or group == "hydra" or group in bad:
            continue
        found = _key_faults(override, keys, composed)
        owner = _option_with(composer, name, good, groups) if found else None
        belongs = f"{override.input_line}: there is no key {name}; it belongs to {owner}"
        faults += [belongs] if owner else found
    if faults:
        raise ConfigError(faults)


def _is_empty(override: Override) -> bool:
    """Whether an override gives an empty text, alone or within a list."""
    if override.is_delete() or override.is_sweep_override():
        return False
    value = override.value()
    parts = value if isinstance(value, list) else [value]
    return any((part.text if isinstance(part, QuotedString) else part) == "" for part in parts)


def _option_with(
    composer: Composer,
    key: str,
    chosen: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> str | None:
    """Return the option of the key's group, or the task and option, that have the key."""
    group = key.split(".")[0]
    unsuited = []
    for option in groups.get(group, ()):
        choice = f"{group}={option}"
        composed = composer.compose_or_none([*chosen, choice])
        if composed is None:
            unsuited.append(choice)
        elif key in set(keys_of(composed)):
            return choice
    for task in _other_tasks(composer, chosen, groups):
        for choice in ("", *unsuited):
            choices = [task, choice] if choice else [task]
            composed = composer.compose_or_none(choices)
            if composed is not None and key in set(keys_of(composed)):
                return " ".join(choices)
    return None


def _unsuited(
    composer: Composer,
    groups: Mapping[str, Sequence[str]],
    choices: Sequence[str],
) -> list[str]:
    """Describe which options of groups need another task.

    Verbs without tasks have their own groups and options.
    """
    plain = composer.compose_or_none([])
    if plain is None:
        return []
    if _TASK not in plain:
        return _unknown_to_verb(composer, plain, groups, choices)
    # An experiment may name its task, and may be the choice that does not fit the given task.
    for named in (f"{_TASK}=", "experiment="), (f"{_TASK}=",):
        base = [choice for choice in choices if choice.startswith(named)]
        others = _other_tasks(composer, base, groups)
        if others:
            break
    else:
        return []
    (task,) = {f"{_TASK}={one}" for one in groups[_TASK]} - set(others)
    faults = []
    for choice in choices:
        if choice in base or _goes(composer, task, choice):
            continue
        if fitting := [one for one in others if _goes(composer, one, choice)]:
            group = choice.split("=")[0]
            options = [one for one in groups[group] if _goes(composer, task, f"{group}={one}")]
            there = f"{group}={', '.join(options)}" if options else f"no {group}"
            faults.append(f"{choice} needs {' or '.join(fitting)}; {task} has {there}")
    return faults


def _unknown_to_verb(
    composer: Composer,
    plain: DictConfig,
    groups: Mapping[str, Sequence[str]],
    choices: Sequence[str],
) -> list[str]:
    """Describe groups or options that a verb without tasks does not have."""
    known = [str(name) for name in plain.hydra.runtime.choices if "/" not in str(name)]
    faults = []
    for choice in choices:
        group = choice.split("=")[0]
        if group not in known:
            there = f"there are {', '.join(known)}" if known else "there are no groups"
            faults.append(f"{choice}: sedtf {composer.config_name} has no group {group}; {there}")
        elif composer.compose_or_none([choice]) is None:
            options = [f"{group}={one}" for one in groups[group]]
            fitting = [o for o in options if composer.compose_or_none([o]) is not None]
            faults.append(
                f"{choice} is not supported by sedtf {composer.config_name}; "
                f"there are {', '.join(fitting)}"
            )
    return faults


def _other_tasks(
    composer: Composer, choices: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the tasks that some choices exclude; none if the choices are incompatible."""
    composed = composer.compose_or_none(choices)
    if composed is None or _TASK not in composed:
        return []
    return [f"{_TASK}={one}" for one in groups[_TASK] if one != composed[_TASK]]


def _goes(composer: Composer, task: str, choice: str) -> bool:
    return composer.compose_or_none([task, choice]) is not None


def _choosing(parsed: Sequence[Override], groups: Container[str]) -> list[Override]:
    """Overrides that choose an option of a group."""
    return [override for override in parsed if override.key_or_group in groups]


def _first_choice(override: Override) -> str:
    value = next(override.sweep_string_iterator()) if override.is_sweep_override() else None
    chosen = override.get_value_element_as_str() if value is None else value
    return f"{override.key_or_group}={chosen}"


def _group_fault(override: Override, options: list[str], flags: Flags) -> str | None:
    group = override.key_or_group
    if override.is_add():
        return (
            f"{override.input_line}: {group} is a config group that always exists, and + would "
            f"add an unused key; write {(override.input_line or '').lstrip('+')}"
        )
    if group in ("hydra/launcher", "hydra/sweeper") and not flags.multirun:
        return f"{override.input_line}: it applies to the jobs of a sweep; add -m, or drop it"
    if override.is_delete():
        return f"{override.input_line}: {group} always exists; choose one of {', '.join(options)}"
    chosen: Iterator[Any] = iter(())
    if override.is_sweep_override():
        chosen = override.sweep_string_iterator()
    else:
        value = override.value()
        chosen = iter(value if isinstance(value, list) else [value])
    for option in ("null" if choice is None else str(choice) for choice in chosen):
        package, extra = _EXTRAS.get((group, option), ("sys", ""))
        if absent := missing(f"{group}={option}", package, extra):
            return absent[0]
        if option not in options:
            near = _nearest(option, options)
            own = "; add one of your own with plugins=[FILE.py]" if _is_component(group) else ""
            return (
                f"{group}={option}: no such option; expected one of {', '.join(options)}{near}{own}"
            )
    return None


def _is_component(group: str) -> bool:
    return any(kind.group == group for kind in KINDS.values())


def _key_faults(override: Override, keys: set[str], composed: DictConfig) -> list[str]:
    name = override.key_or_group
    if name in keys:
        return []
    parent = OmegaConf.select(composed, name.rsplit(".", 1)[0]) if "." in name else composed
    free = isinstance(parent, DictConfig) and OmegaConf.get_type(parent) is dict
    if free or name.split(".")[0] == "samplers":
        return (
            []
            if override.is_add() or override.is_force_add()
            else [
                f"{override.input_line}: there is no key {name} yet; to add it, write "
                f"+{override.input_line}"
            ]
        )
    candidates = sorted(key for key in keys if not key.startswith("hydra"))
    return [f"{override.input_line}: there is no key {name}{_nearest(name, candidates)}"]


def _nearest(word: str, candidates: Sequence[str]) -> str:
    """Suggest the candidate nearest to ``word``, or return ""."""
    near = nearest(word, candidates)
    if near is None and "." in word:
        end = word.rsplit(".", 1)[-1]
        near = next((each for each in candidates if each.rsplit(".", 1)[-1] == end), None)
    elif near is None:
        by_end = {each.rsplit(".", 1)[-1]: each for each in candidates}
        near = by_end.get(nearest(word, list(by_end)) or "")
    return f"; did you mean {near}?" if near else ""


def compose(
    composer: Composer, overrides: Sequence[str], mode: RunMode = RunMode.RUN
) -> DictConfig:
    """Compose a configuration.

    Raises:
        ConfigError: with the reason in one line, if it cannot be composed.
    """
    try:
        return composer.compose(overrides, mode)
    except FAULTS as error:
        groups = composer.options_of_groups()
        choices = [_first_choice(o) for o in _choosing(composer.parse(overrides), groups)]
        raise ConfigError(_unsuited(composer, groups, choices) or [_explain(error)]) from error


def _explain(error: BaseException) -> str:
    """The innermost reason of a composition error, without Hydra's paragraphs around it."""
    reasons = []
    cause: BaseException | None = error
    while cause is not None:
        reasons.append(cause)
        cause = cause.__cause__
    inner = next((e for e in reversed(reasons) if isinstance(e, OmegaConfBaseException)), None)
    if inner is None:
        return one_line(error)
    full_key = getattr(inner, "full_key", None)
    if str(full_key).startswith("data.merge.") and isinstance(inner, KeyValidationError):
        return (
            f"{full_key}: labels cannot be numbers on the command line: write old and new labels "
            f"into a table, data.relabel=FILE"
        )
    message = one_line(str(inner).split("\n")[0])
    if message.endswith("is not Optional"):
        message = "null is not allowed: give a value, or drop it"
    return f"{full_key}: {message}" if full_key else message


def check_job(
    composer: Composer, overrides: Sequence[str], named: frozenset[str] = frozenset()
) -> tuple[Any, DictConfig]:
    """Compose a job in full and run the checks of its classes.

    Args:
        composer: of the verb.
        overrides: of the job.
        named: keys that the user gave for this job; some keys of a grid may have no effect in some
            of its jobs.

    Returns:
        The typed configuration, and its source with Hydra's own settings.

    Raises:
        ConfigError: with all its faults.
    """
    composed = compose(composer, overrides)
    settings = settings_of(composed)
    missing = sorted(OmegaConf.missing_keys(settings))
    if missing:
        raise ConfigError([f"{key} is not set: give {key}=..." for key in missing])
    use_config(composed)
    with unchecked():
        config: Any = OmegaConf.to_object(settings)
    if nested := list(nested_faults(config)):  # other checks cannot compute with them
        raise ConfigError(nested)
    values = asdict(config)
    faults = [*empty_texts(values), *path_faults(values), *config.faults(named)]
    if faults:
        raise ConfigError(faults)
    return config, composed
