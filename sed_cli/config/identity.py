"""Identity of an experiment, derived from the roles of its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sed_cli.config.groups import ROOTS, bases, options
from sed_cli.config.registry import KINDS, is_settings, kind_of
from sed_cli.config.settings import NOTHING, Role, role_of


def config_hash(config: Any) -> str:
    """Hash of a resolved configuration; runs with the same hash are the same experiment."""
    text = json.dumps(identity(config), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def identity(config: Any) -> dict[str, Any]:
    """The settings that identify an experiment; later additions count only if they are used."""
    values = {}
    for each in fields(config):
        value, before = getattr(config, each.name), each.metadata.get("before", NOTHING)
        if Role.PLACE in role_of(each) or value == before:
            continue
        if is_settings(value):
            kind, value = kind_of(type(value)), identity(value)
            if value == {} and kind is not None and KINDS[kind].key:  # as before it could be chosen
                continue
            if kind is not None and KINDS[kind].was_name and [*value] == [KINDS[kind].key]:
                value = value[KINDS[kind].key]
        elif Role.PATH in role_of(each) and isinstance(value, str):
            value = str(Path(value).expanduser().absolute())  # independent of the working folder
        values[each.name] = value
    return values


def keys_with(role: Role) -> frozenset[str]:
    """Dotted keys of all settings with one of the given roles."""
    of_kind = {kind.group: kind.role for kind in KINDS.values()}
    groups = [("", ROOTS), *options().items(), *bases().items()]
    return frozenset(
        f"{prefix}.{each.name}".lstrip(".")
        for group, classes in groups
        for prefix in [group.removeprefix("schema").replace("/", ".").strip(".")]
        for cls in classes.values()
        for each in fields(cls)
        if (role_of(each) | of_kind.get(group, Role.NONE)) & role
    )


def paths_of(data: Any) -> list[str]:
    """Keys of data whose text values are paths relative to the working folder."""
    return [each.name for each in fields(data) if Role.PATH in role_of(each)]


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested keys: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
