"""From the plain values recorded by a run to the typed configuration of its training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from sed_cli.config.registry import KINDS, class_of, kind_of, original
from sed_cli.config.settings import NOTHING, default_of
from sed_cli.config.values import literal
from sed_cli.config.verbs import AnyTrainConfig, root_of
from sed_cli.system.files import LONGEST_NAME


def build_training(values: Mapping[str, Any]) -> AnyTrainConfig:
    """Convert a checkpoint's ``config.yaml`` into a typed configuration.

    Settings that did not exist when the run was saved take the value equivalent to the old
    behaviour.

    Raises:
        ConfigError: for an unknown component, such as one of a plugin that is not named.
    """
    return _build_typed(root_of(dict(values).get("task")), values)


def config_of(values: Mapping[str, Any]) -> AnyTrainConfig:
    """Convert plain values read from a file into the configuration of a training, and check them.

    The location of its cache is dropped: a file must not determine where sedtf writes or
    deletes.

    Raises:
        ConfigError: for an unknown component.
        omegaconf.errors.OmegaConfBaseException, KeyError, TypeError, ValueError: if they are not a
        configuration.
    """
    config = build_training(values)
    if homes := list(path_faults(asdict(config))):
        raise ValueError("; ".join(homes))
    config.data.forget_cache()
    if faults := config.model_faults():
        raise ValueError("; ".join(faults))
    return config


def _build_typed(root: type[AnyTrainConfig], values: Mapping[str, Any]) -> AnyTrainConfig:
    from omegaconf import OmegaConf

    for each in fields(root):  # written by every version
        if each.name in ("feature", "model", "trainer") and not values[each.name]:
            raise ValueError(f"{each.name}: expected its settings")
    filled = root.with_newer_settings(_with_originals(root, values, root.task))
    schema = OmegaConf.structured(root)
    kind = root.DATA_SETS.get(str(values["data"]["kind"]))
    if kind is None:
        known = ", ".join(root.DATA_SETS)
        raise ValueError(f"data.kind={values['data']['kind']}: expected {known}")
    schema["data"] = OmegaConf.structured(kind)
    _fill_before(schema["data"], kind, values["data"])
    _choose_components(schema, root, filled)
    merged = OmegaConf.unsafe_merge(schema, literal(filled))
    return cast(AnyTrainConfig, OmegaConf.to_object(merged))


def _with_originals(owner: type[Any], values: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Name the components of runs from before they could be chosen."""
    filled = dict(values)
    for each, declared in _groups_in(owner):
        given, known = filled.get(each.name), original(declared, task)
        kind = kind_of(declared)
        if known and (each.name not in filled or given == each.metadata["before"]):
            filled[each.name] = known
        elif known and given is not None:
            filled[each.name] = {**known, **given}
        elif kind is not None and KINDS[kind].was_name and isinstance(given, str):
            filled[each.name] = {KINDS[kind].key: given}
        if kind is None or isinstance(filled.get(each.name), Mapping):
            filled[each.name] = _with_originals(declared, filled.get(each.name) or {}, task)
    return filled


def _groups_in(owner: type[Any]) -> Iterator[tuple[Field[Any], type[Any]]]:
    """Fields that hold settings or a component, except the data, with their classes."""
    hints = get_type_hints(owner)
    for each in fields(owner):
        hint = hints[each.name]
        if get_origin(hint) is UnionType:  # an optional choice
            hint = next(part for part in get_args(hint) if part is not NoneType)
        if isinstance(hint, type) and is_dataclass(hint) and each.name != "data":
            yield each, hint


def _choose_components(schema: Any, owner: type[Any], values: Mapping[str, Any]) -> None:
    """Replace base classes by the classes that the values name by their keys."""
    from omegaconf import OmegaConf

    for each, hint in _groups_in(owner):
        given = values.get(each.name) or {}
        if not given and default_of(each) is None:
            continue
        chosen = class_of(hint, given)
        if chosen is not hint or OmegaConf.is_missing(schema, each.name):
            schema[each.name] = OmegaConf.structured(chosen)
        _fill_before(schema[each.name], chosen, given)
        _choose_components(schema[each.name], chosen, dict(given))


def _fill_before(node: Any, cls: type[Any], values: Mapping[str, Any]) -> None:
    """Give newer settings the values equivalent to the old behaviour."""
    for each in fields(cls):
        before = each.metadata.get("before", NOTHING)
        if before is not NOTHING and each.name not in values:
            node[each.name] = before


def path_faults(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield impossible paths, as ``KEY=VALUE: reason``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from path_faults(value, f"{prefix}{key}.")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and key in _PATHS and (fault := _fault_of_path(text)):
                yield f"{prefix}{key}={text[:_SHOWN]}: {fault}"


def _fault_of_path(text: str) -> str | None:
    if text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError:
            return "there is no such user, so no such home folder"
    longest = max((len(os.fsencode(part)) for part in Path(text).parts), default=0)
    if longest > LONGEST_NAME:
        return f"a name of {longest} bytes; file names have at most {LONGEST_NAME}"
    return None


_SHOWN = 200  # characters of a path


def nested_faults(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield faults of plain settings that hold lists or mappings: OmegaConf accepts them."""
    hints = get_type_hints(type(config))
    for each in fields(config):
        value, key = getattr(config, each.name), f"{prefix}{each.name}"
        if is_dataclass(value):
            yield from nested_faults(value, f"{key}.")
        elif isinstance(value, list | dict) and _is_of_plain_values(hints[each.name]):
            parts = value.values() if isinstance(value, dict) else value
            if any(isinstance(part, list | dict) for part in parts):
                what = "one value per key" if isinstance(value, dict) else "single values"
                yield f"{key}={value}: expected {what}, without nested lists or mappings"


def _is_of_plain_values(hint: Any) -> bool:
    if get_origin(hint) is UnionType:  # an optional choice
        hint = next(part for part in get_args(hint) if part is not NoneType)
    part = get_args(hint)[-1:]
    return part != () and get_origin(part[0]) not in (list, dict) and part[0] is not Any


def empty_texts(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield faults of empty texts, which as paths would be the working folder."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from empty_texts(value, f"{prefix}{key}.")
        elif value == "" or (isinstance(value, list) and "" in value):
            yield empty_fault(f"{prefix}{key}")


def empty_fault(key: str) -> str:
    """The fault of a key without a value."""
    return f"{key}= is empty: expected a value; drop it, or give {key}=VALUE"


_PATHS = {
    *("checkpoint", "init", "input", "output_dir", "resume", "resume_sweep", "runs", "run", "dir"),
    *("recipe", "root", "bank", "bank_splits", "transition", "cache_dir"),
    *("path", "validation_path", "test_path", "annotations", "train", "validation", "test"),
    *("scores", "durations", "language", "teacher"),
}
