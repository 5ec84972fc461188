"""From the plain values that a run wrote down to the typed configuration of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from sed_cli.config.registry import class_of, component_named
from sed_cli.config.settings import NOTHING
from sed_cli.config.values import literal
from sed_cli.config.verbs import AnyTrainConfig, root_of


def build_training(values: Mapping[str, Any]) -> AnyTrainConfig:
    """Turn what a checkpoint's ``config.yaml`` holds into a typed configuration.

    What a run was written without, since it did not exist then, takes the value that stands for it.

    Raises:
        ConfigError: for a component that is unknown, such as that of a plugin which is not named.
    """
    return _build_typed(root_of(dict(values).get("task")), values)


def config_of(values: Mapping[str, Any]) -> AnyTrainConfig:
    """Turn plain values that were read into the configuration of a training, and check them.

    Where its run kept a cache is left out, as nothing that is read may say where to write, or what
    to delete there.

    Raises:
        ConfigError: for a component that is unknown here.
        omegaconf.errors.OmegaConfBaseException, KeyError, TypeError, ValueError: if they are none.
    """
    config = build_training(values)
    if homes := list(unknown_homes(asdict(config))):
        raise ValueError("; ".join(homes))
    config.data.forget_cache()
    if faults := config.model_faults():
        raise ValueError("; ".join(faults))
    return config


def _build_typed(root: type[AnyTrainConfig], values: Mapping[str, Any]) -> AnyTrainConfig:
    from omegaconf import OmegaConf

    names, data_sets = root.BEFORE_CHOICE, root.DATA_SETS
    filled = {
        **values,
        "model": {"kind": names["model"], **values["model"]},
        "trainer": {
            "loss": {"name": names["loss"]},
            "optimizer": {"name": "adam"},
            "lr_schedule": {"name": "none"},
            **values["trainer"],
        },
    }
    if "feature" in names:
        filled["feature"] = {"kind": names["feature"], **values["feature"]}
    if "decoder" in names:
        evaluation = values.get("evaluation") or {}
        filled["evaluation"] = {**evaluation, "decoder": evaluation.get("decoder")}
        if filled["evaluation"]["decoder"] is None:
            filled["evaluation"]["decoder"] = {"name": names["decoder"]}
    schema = OmegaConf.structured(root)
    kind = data_sets.get(str(values["data"]["kind"]))
    if kind is None:
        raise ValueError(f"data.kind={values['data']['kind']}: expected {', '.join(data_sets)}")
    schema["data"] = OmegaConf.structured(kind)
    _fill_before(schema["data"], kind, values["data"])
    _choose_components(schema, root, filled)
    merged = OmegaConf.merge(schema, literal(filled))
    component_named("feedback", merged.sampler.feedback)  # a value chooses it, not a class
    return cast(AnyTrainConfig, OmegaConf.to_object(merged))


def _choose_components(schema: Any, owner: type[Any], values: Mapping[str, Any]) -> None:
    """Put the classes that values name by their keys in the place of their bases."""
    from omegaconf import OmegaConf

    hints = get_type_hints(owner)
    for each in fields(owner):
        hint = hints[each.name]
        if get_origin(hint) is UnionType and values.get(each.name):  # a choice that may be missing
            hint = next(part for part in get_args(hint) if part is not NoneType)
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
    *("checkpoint", "init", "input", "output_dir", "resume", "resume_sweep", "runs", "run", "dir"),
    *("recipe", "root", "bank", "bank_splits", "transition", "cache_dir"),
    *("path", "validation_path", "test_path", "annotations", "train", "validation", "test"),
}
