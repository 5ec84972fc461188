"""Settings: dataclasses whose fields carry their default, unit, range and help, once.

A field's type check, range check, entry in ``docs/settings.md``, completion and help, and its
meaning for a run (see :class:`Role`) are derived from it. Nothing else may repeat them.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, field, fields, is_dataclass
from enum import Flag, auto
from typing import Any

from sed_cli.config.faults import Faults, is_usable

MISSING: Any = "???"  # OmegaConf's mark for a value that the user must give
NOTHING: Any = object()
DEFAULT: Any = object()
"""As ``before=``: the default reproduces the behaviour from before the setting existed."""


class Role(Flag):
    """Meaning of a setting for a run, beyond its value."""

    NONE = 0
    # Where or how fast the run is computed: not part of the experiment. It is not hashed,
    # `resume` lets it differ, `compare` hides it.
    PLACE = auto()
    # A path relative to the working folder; hashed as an absolute one; `resume` lets it differ.
    PATH = auto()
    # `resume` lets it differ: how long the run continues, or what follows its last epoch.
    RESUMABLE = auto()
    # No influence on the time of an update or a validation: `--dry-run` ignores it.
    FREE = auto()
    # Names another run: `compare` shows the settings of that one instead.
    SOURCE = auto()


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    unit: str = "",
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: Collection[str] = (),
    role: Role = Role.NONE,
    before: Any = NOTHING,
    chosen_by: str = "",
) -> Any:
    """Declare a field of a settings class.

    Args:
        default: a list or dict is copied for each object; without one the user must give a value.
        help: one line; lower case, no full stop.
        unit: such as ``s``, ``Hz``, ``frames``.
        at_least: lowest value. ``None`` is always allowed where the type is optional.
        above: a number that the value must exceed.
        at_most: highest value.
        below: a number that the value must not reach.
        choices: the allowed values; for a list, those of its items.
        role: meaning of the setting for a run.
        before: the value that reproduces the behaviour from before the setting existed, or
            :data:`DEFAULT` for the default: with it, runs keep their earlier config hash.
        chosen_by: the group that chooses the class with this field, such as ``sampler``: another
            value would name another class.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
        "below": below,
        "choices": choices,
        "role": role,
        "before": default if before is DEFAULT else before,
        "chosen_by": chosen_by,
    }
    if isinstance(default, list | dict) or is_dataclass(default):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


_IS_CHECKED: ContextVar[bool] = ContextVar("is_checked", default=True)


@contextmanager
def unchecked() -> Iterator[None]:
    """Build settings without checking them; all faults are collected afterwards."""
    token = _IS_CHECKED.set(False)
    try:
        yield
    finally:
        _IS_CHECKED.reset(token)


def is_checked() -> bool:
    """Whether settings should check themselves when they are created."""
    return _IS_CHECKED.get()


class Settings:
    """Base of settings classes: range checks derived from their fields."""

    def faults(self, prefix: str = "") -> list[str]:
        """All faults, in single values and in combinations.

        Args:
            prefix: of the keys in the messages, such as ``trainer.``.
        """
        return range_faults(self, prefix)


def default_of(each: Field[Any]) -> Any:
    """The default of a field; :data:`MISSING` if the user must give a value."""
    if each.default is not NO_DEFAULT:
        return each.default
    return MISSING if each.default_factory is NO_DEFAULT else each.default_factory()


def described(config: Any) -> str:
    """A component in words: the text of its class, and its values."""
    values = [f"{f.name} {getattr(config, f.name)}" for f in fields(config)[1:]]
    text = (type(config).__doc__ or type(config).__name__).splitlines()[0].rstrip(".")
    return f"{text}: {', '.join(values)}" if values else text


def role_of(each: Field[Any]) -> Role:
    """Meaning of a field for a run."""
    role = each.metadata.get("role", Role.NONE)
    assert isinstance(role, Role)
    return role


def range_faults(config: Any, prefix: str, declared: type[Any] | None = None) -> Faults:
    """Faults in values, each checked against the declaration of its field.

    Args:
        config: a settings object, or one with some of the fields of ``declared``.
        prefix: of the keys in the messages.
        declared: the class that declares the fields; ``None``: that of ``config``.
    """
    faults = Faults()
    for each in fields(declared or config):
        value, rule = getattr(config, each.name, None), each.metadata
        key = f"{prefix}{each.name}"
        if value is None or value == MISSING or not rule:
            continue
        if rule["chosen_by"] and value != each.default:
            faults.append(
                f"{key}={value}, but these are settings of {each.default}: choose it with "
                f"{rule['chosen_by'].replace('.', '/')}={value}"
            )
        parts = value if isinstance(value, list) else [value]
        if isinstance(value, int | float) and not is_usable(value):
            faults.append(f"{key}={value}: expected {_in_words(rule, list(_limits(rule)))}")
            continue
        if rule["choices"] and not all(part in rule["choices"] for part in parts):
            words = "any of" if isinstance(value, list) else "one of"
            faults.append(f"{key}={value}: expected {words} {', '.join(rule['choices'])}")
        limits = list(_limits(rule))
        if limits and not all(_within(number, limits) for number in parts):
            faults.append(f"{key}={value}: expected {_in_words(rule, limits)}")
    return faults


def _limits(rule: Any) -> Iterator[tuple[str, float, Any]]:
    words = {
        "at_least": ("at least", lambda value, limit: value >= limit),
        "above": ("a number above", lambda value, limit: value > limit),
        "at_most": ("at most", lambda value, limit: value <= limit),
        "below": ("less than", lambda value, limit: value < limit),
    }
    for name, (text, holds) in words.items():
        if rule[name] is not None:
            yield text, rule[name], holds


def _in_words(rule: Any, limits: list[tuple[str, float, Any]]) -> str:
    if not limits:
        return "a finite number of reasonable size"
    if rule["at_least"] is not None and rule["at_most"] is not None:
        return f"a number from {rule['at_least']} to {rule['at_most']}"
    return " and ".join(f"{words} {limit}" for words, limit, _ in limits)


def _within(number: Any, limits: list[tuple[str, float, Any]]) -> bool:
    # Written so that not-a-number counts as a fault.
    return is_usable(number) and all(holds(number, limit) for _, limit, holds in limits)
