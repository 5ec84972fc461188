"""From plain mappings, such as the ``config.yaml`` of a checkpoint, to typed configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from sed_cli.schema.groups import SamplerConfig
from sed_cli.schema.roots import SequenceTrainConfig, TrainConfig
from sed_cli.schema.tables import DATA_SETS, SAMPLERS, TOKEN_SETS

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
    """Turn what a checkpoint's ``config.yaml`` holds into a typed configuration."""
    if dict(values).get("task") == "sequence":
        return _build_typed(SequenceTrainConfig, values, TOKEN_SETS)
    return build_train_config(values)


def build_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """Turn what a detector's ``config.yaml`` holds into a typed configuration."""
    return _build_typed(TrainConfig, values, DATA_SETS)


def _build_typed(root: type[T], values: Mapping[str, Any], data_sets: Mapping[str, type]) -> T:
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(root)
    for group, kinds, key in (("sampler", SAMPLERS, "schedule"), ("data", data_sets, "kind")):
        kind = kinds.get(str(values[group][key]))
        if kind is None:
            raise ValueError(
                f"{group}.{key}={values[group][key]}: expected one of {', '.join(kinds)}"
            )
        schema[group] = OmegaConf.structured(kind)
    for name, kind in get_type_hints(root).items():
        if OmegaConf.is_missing(schema, name) and is_dataclass(kind):
            schema[name] = OmegaConf.structured(kind)
    return cast(T, OmegaConf.to_object(OmegaConf.merge(schema, literal(values))))


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

    One of another schedule keeps what the coins count and decide; its curve starts from its
    schedule's defaults.
    """
    schedule = changes.get("schedule", base.schedule)
    if schedule not in SAMPLERS:
        raise ValueError(f"schedule={schedule!r}: expected one of {', '.join(SAMPLERS)}")
    start = asdict(base)
    if schedule != base.schedule:
        start = {key: start[key] for key in ("unit", "coin", "feedback")}
    return build(SAMPLERS[schedule], {**start, **changes})
