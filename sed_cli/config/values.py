"""Conversion of plain values to settings classes, with the type checks of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar, cast

from sed_cli.config.registry import component_named
from sed_cli.config.training import SamplerConfig

T = TypeVar("T")


def build(schema: type[T], values: Mapping[str, Any], **objects: Any) -> T:
    """Convert a plain mapping to its dataclass, with the same type checks as the command line.

    Text such as ``${oc.env:HOME}`` stays text: values from a file must not be resolved.

    Args:
        schema: the dataclass.
        values: of its fields.
        objects: objects for its other fields.

    Raises:
        omegaconf.errors.OmegaConfBaseException: for an unknown key or a wrong type.
    """
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(OmegaConf.structured(schema), objects, literal(values))
    return cast(T, OmegaConf.to_object(merged))


def literal(values: Any) -> Any:
    """Escape text in plain values so that OmegaConf takes it literally, ``${`` included.

    Raises:
        ValueError: for a key that requests instantiation.
    """
    if isinstance(values, Mapping):
        if "_target_" in values:
            raise ValueError(f"_target_: {values['_target_']}: settings cannot instantiate objects")
        return {key: literal(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [literal(value) for value in values]
    if isinstance(values, str):
        return re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + r"\${", values)
    return values


def vary_sampler(base: SamplerConfig, changes: Mapping[str, Any]) -> SamplerConfig:
    """Apply ``changes`` to a sampler.

    With another schedule, unit and scope of the draws are kept; its curve starts from the
    schedule's defaults.

    Raises:
        ConfigError: for an unknown schedule.
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
