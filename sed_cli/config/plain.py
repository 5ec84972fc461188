"""From plain mappings, such as the ``config.yaml`` of a checkpoint, to typed configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from sed_cli.config.groups import DATA_SETS, TOKEN_SETS
from sed_cli.config.registry import class_of, component_named
from sed_cli.config.settings import NOTHING
from sed_cli.config.training import SamplerConfig
from sed_cli.config.verbs import SequenceTrainConfig, TrainConfig

T = TypeVar("T")


def build(schema: type[T], values: Mapping[str, Any]) -> T:
    """Turn a plain mapping into its dataclass, with the same type checks as the command line.

    Text such as ``${oc.env:HOME}`` stays text: what was read from a file asks for nothing.

    Raises:
        omegaconf.errors.OmegaConfBaseException: for an unknown key or a wrong type.
    """
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(OmegaConf.structured(schema), literal(values))
    return cast(T, OmegaConf.to_object(merged))


def literal(values: Any) -> Any:
    """Write text of plain values so that OmegaConf takes it as it stands, ``${`` included.

    Raises:
        ValueError: for a key that names an object to be made.
    """
    if isinstance(values, Mapping):
        if "_target_" in values:
            raise ValueError(f"_target_: {values['_target_']}: settings make no objects")
        return {key: literal(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [literal(value) for value in values]
    if isinstance(values, str):
        return re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + r"\${", values)
    return values


def build_any_train_config(values: Mapping[str, Any]) -> TrainConfig | SequenceTrainConfig:
    """Turn what a checkpoint's ``config.yaml`` holds into a typed configuration.

    What a run was written without, since it did not exist then, takes the value that stands for it.

    Raises:
        ConfigError: for a component that is unknown, such as that of a plugin which is not named.
    """
    if dict(values).get("task") == "sequence":
        names = {"model": "language", "loss": "cross_entropy"}
        return _build_typed(SequenceTrainConfig, values, TOKEN_SETS, names)
    return build_train_config(values)


def build_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """Turn what a detector's ``config.yaml`` holds into a typed configuration."""
    return _build_typed(
        TrainConfig, values, DATA_SETS, {"model": "crnn", "loss": "bce", "feature": "logmel"}
    )


def _build_typed(
    root: type[T],
    values: Mapping[str, Any],
    data_sets: Mapping[str, type[Any]],
    names: Mapping[str, str],
) -> T:
    """Build a root; ``names`` are those of components that came to be chosen after version 0.1."""
    from omegaconf import OmegaConf

    filled = {
        **values,
        "model": {"kind": names["model"], **values["model"]},
        "trainer": {
            "loss": {"name": names["loss"]},
            "optimizer": {"name": "adam"},
            **values["trainer"],
        },
    }
    if "feature" in names:
        filled["feature"] = {"kind": names["feature"], **values["feature"]}
    schema = OmegaConf.structured(root)
    kind = data_sets.get(str(values["data"]["kind"]))
    if kind is None:
        raise ValueError(f"data.kind={values['data']['kind']}: expected {', '.join(data_sets)}")
    schema["data"] = OmegaConf.structured(kind)
    _fill_before(schema["data"], kind, values["data"])
    _choose_components(schema, root, filled)
    return cast(T, OmegaConf.to_object(OmegaConf.merge(schema, literal(filled))))


def _choose_components(schema: Any, owner: type[Any], values: Mapping[str, Any]) -> None:
    """Put the classes that values name by their keys in the place of their bases."""
    from omegaconf import OmegaConf

    hints = get_type_hints(owner)
    for each in fields(owner):
        hint = hints[each.name]
        if not (isinstance(hint, type) and is_dataclass(hint)) or each.name == "data":
            continue
        given = values.get(each.name) or {}
        chosen = class_of(hint, given)
        if chosen is not hint or OmegaConf.is_missing(schema, each.name):
            schema[each.name] = OmegaConf.structured(chosen)
        _fill_before(schema[each.name], chosen, given)
        _choose_components(schema[each.name], chosen, dict(given))


def _fill_before(node: Any, cls: type[Any], values: Mapping[str, Any]) -> None:
    """Give settings that came after the values were written what stands for the time before."""
    for each in fields(cls):
        before = each.metadata.get("before", NOTHING)
        if before is not NOTHING and each.name not in values and not isinstance(before, dict):
            node[each.name] = before


def unknown_homes(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths that begin with a home folder of nobody, ``KEY=VALUE: what is wrong``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from unknown_homes(value, f"{prefix}{key}.")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.startswith("~") and key in _PATHS:
                try:
                    Path(text).expanduser()
                except RuntimeError:
                    yield f"{prefix}{key}={text}: there is no such user, so no such home folder"


_PATHS = {
    *("checkpoint", "input", "output_dir", "resume", "resume_sweep", "runs", "run", "dir"),
    *("recipe", "root", "bank", "bank_splits", "transition", "cache_dir"),
    *("path", "validation_path", "test_path", "annotations", "train", "validation", "test"),
}


def vary_sampler(base: SamplerConfig, changes: Mapping[str, Any]) -> SamplerConfig:
    """Apply ``changes`` to a sampler.

    One of another schedule keeps what the draws count and decide; its curve starts from its
    schedule's defaults.

    Raises:
        ConfigError: if there is no such schedule.
    """
    schedule = changes.get("schedule", base.schedule)
    chosen = component_named("schedule", schedule)
    start = asdict(base)
    if schedule != base.schedule:
        start = {key: start[key] for key in ("unit", "coin", "feedback")}
    return cast(SamplerConfig, build(chosen, {**start, **changes}))
