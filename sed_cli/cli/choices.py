"""Choices in overrides: components by name, and the plugins that define them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from sed_cli.config.registry import KINDS
from sed_cli.errors import UserError

_CHOICE = re.compile(r"""['"]?(\w+)['"]?|choice\(([\w,\s]+)\)|([\w,]+)""")


def with_choices(overrides: Sequence[str]) -> list[str]:
    """Write overrides that name a component as choices of its config group.

    ``sampler.schedule=linear`` is ``sampler=linear``, ``trainer.loss=bce`` is ``trainer/loss=bce``,
    and ``trainer.loss={name: focal, gamma: 3}`` that and ``trainer.loss.gamma=3``.
    """
    keys = {}
    for kind in KINDS.values():
        if not (kind.group and kind.key):
            continue
        dotted = kind.group.replace("/", ".")
        keys[f"{dotted}.{kind.key}"] = kind.group
        if "/" in kind.group:
            keys[dotted] = kind.group
    chosen: dict[str, str] = {}
    rest: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        group = keys.get(key)
        if group is not None and (found := _CHOICE.fullmatch(value)):
            chosen[group] = re.sub(r"\s", "", found[1] or found[2] or found[3])
        elif group is not None and value.startswith("{") and (parts := _parts(value)):
            chosen[group] = parts.pop("name", "")
            rest += [f"{key}.{name}={part}" for name, part in parts.items()]
        else:
            rest.append(override)
    # The name of a component is more specific than an option of its group.
    rest = [override for override in rest if override.partition("=")[0] not in chosen]
    return [*(f"{group}={name}" for group, name in chosen.items() if name), *rest]


def _parts(mapping: str) -> dict[str, str]:
    """Keys and values of a ``{key: value, ...}``, as text; empty if it cannot be read."""
    parsed = _parsed(f"x={mapping}")
    values = parsed.value() if parsed is not None else None
    if not isinstance(values, dict):
        return {}
    return {str(key): Override._get_value_element_as_str(part) for key, part in values.items()}


def without_plugins(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate overrides from the files named by ``plugins=``: a list, or one file.

    Raises:
        UserError: for a value that is neither, or a sweep over values.
    """
    kept, files = [], []
    for override in overrides:
        key, _, value = override.partition("=")
        if key.lstrip("+") == "plugins":
            files = _files(value)
        else:
            kept.append(override)
    return kept, files


def _files(value: str) -> list[str]:
    if _is_file(value):  # literally, with commas and quotes
        return [value]
    parsed = _parsed(f"plugins={value}")
    if parsed is None:
        raise UserError(
            f"plugins={value} cannot be read: expected plugins=[FILE.py]; quote a path with "
            f"special characters: \"plugins=['my file.py']\""
        )
    if parsed.is_sweep_override():
        raise UserError(
            f"plugins={value}: all jobs of a sweep have the same plugins; write "
            f"plugins=[{value}] to use them all"
        )
    given: Any = parsed.value()
    listed = given if isinstance(given, list) else [given]
    return [
        each.text if isinstance(each, QuotedString) else str(each)
        for each in listed
        if each not in (None, "")
    ]


def _is_file(value: str) -> bool:
    try:
        return Path(value).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
