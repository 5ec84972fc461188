"""Plain values laid into the classes of settings, with the type checks of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar, cast

from sed_cli.config.registry import component_named
from sed_cli.config.training import SamplerConfig

T = TypeVar("T")


def build(schema: type[T], values: Mapping[str, Any], **objects: Any) -> T:
    """Turn a plain mapping into its dataclass, with the same type checks as the command line.

    Text such as ``${oc.env:HOME}`` stays text: what was read from a file asks for nothing.

    Args:
        schema: the dataclass.
        values: of its fields.
        objects: settings that are objects already, of its other fields.

    Raises:
        omegaconf.errors.OmegaConfBaseException: for an unknown key or a wrong type.
    """
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(OmegaConf.structured(schema), objects, literal(values))
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
        start = {key: start[key] for key in ("unit", "coin", "target_noise")}
    feedback = changes.get("feedback", base.feedback)
    if isinstance(feedback, str):
        feedback = component_named("feedback", feedback)()
    values = {key: value for key, value in {**start, **changes}.items() if key != "feedback"}
    return cast(SamplerConfig, build(chosen, values, feedback=feedback))
