"""What overrides choose: components by their names, and the plugins that define some of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sed_cli.config.registry import KINDS

_WORD = re.compile(r"[\w,]+")


def with_choices(overrides: Sequence[str]) -> list[str]:
    """Write overrides that name a component as choices of its config group.

    ``sampler.schedule=linear`` is ``sampler=linear``, ``trainer.loss=bce`` is ``trainer/loss=bce``,
    and ``trainer.loss={name: focal, gamma: 3}`` that and ``trainer.loss.gamma=3``.
    """
    keys = {}
    for kind in KINDS.values():
        if not kind.key:
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
        if group is not None and _WORD.fullmatch(value):
            chosen[group] = value
        elif group is not None and value.startswith("{") and (parts := dict(_parts(value))):
            chosen[group] = parts.pop("name", "")
            rest += [f"{key}.{name}={part}" for name, part in parts.items()]
        else:
            rest.append(override)
    # The name of a component says more than an option of its group.
    rest = [override for override in rest if override.partition("=")[0] not in chosen]
    return [*(f"{group}={name}" for group, name in chosen.items() if name), *rest]


def _parts(mapping: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a flat ``{key: value, ...}``."""
    for part in mapping.strip("{}").split(","):
        key, colon, value = part.partition(":")
        if colon:
            yield key.strip(), value.strip()


def without_plugins(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part overrides from the files that ``plugins=`` names: a list, or one."""
    kept = [override for override in overrides if override.partition("=")[0] != "plugins"]
    values = [override.partition("=")[2] for override in overrides if override not in kept]
    if not values:
        return kept, []
    names = values[-1].strip().removeprefix("[").removesuffix("]").split(",")
    return kept, [name.strip().strip("'\"") for name in names if name.strip() not in ("", "null")]
