"""Components: classes that a configuration chooses by name, each defined in one place.

A component is a settings class (:mod:`sed_cli.config.settings`) with a name. Its module is
found in the package of its kind: a new component is a new file, and no list names it. Custom
components come from plugins (:mod:`sed_cli.config.plugins`) and are treated alike.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from sed_cli.config.faults import Faults
from sed_cli.config.settings import (
    DEFAULT,
    MISSING,
    NOTHING,
    Role,
    default_of,
    range_faults,
    setting,
)
from sed_cli.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A kind of component.

    Args:
        group: the config group that chooses one, such as ``trainer/loss``, or whose class joins the
            fields of all of them; "" for none.
        key: the field of the class that holds its name; "" if several can be active.
        package: package of the built-in ones; each of its modules is imported.
        role: overrides the role of its settings.
        is_told_by_name: whether a run records only its name or joined settings, so that a plugin's
            component with a built-in name could not be distinguished.
        was_name: whether earlier runs recorded only its name; without further settings the config
            hash still uses the name.
        built_in: imported built-in ones, by name.
        added: those of plugins, by name.
    """

    group: str
    key: str
    package: str
    role: Role = Role.NONE
    is_told_by_name: bool = False
    was_name: bool = False
    built_in: dict[str, type[Any]] = field(default_factory=dict, compare=False)
    added: dict[str, type[Any]] = field(default_factory=dict, compare=False)

    @property
    def found(self) -> dict[str, type[Any]]:
        """Components by name; a plugin's takes precedence over a built-in one."""
        return {**self.built_in, **self.added}


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "schedule": Kind("sampler", "schedule", "sed_cli.sampling.schedules"),
        "front_end": Kind("feature", "kind", "sed_cli.audio.front_ends"),
        "model": Kind("model", "kind", "sed_cli.models.kinds"),
        "feedback": Kind(
            "sampler/feedback",
            "name",
            "sed_cli.models.feedbacks",
            is_told_by_name=True,
            was_name=True,
        ),
        "clip_pooling": Kind("", "name", "sed_cli.models.poolings", is_told_by_name=True),
        "loss": Kind("trainer/loss", "name", "sed_cli.training.losses"),
        "optimizer": Kind("trainer/optimizer", "name", "sed_cli.training.optimizers"),
        "lr_schedule": Kind("trainer/lr_schedule", "name", "sed_cli.training.lr_schedules"),
        "decoder": Kind(
            "evaluation/decoder", "name", "sed_cli.decoding.decoders", Role.RESUMABLE | Role.FREE
        ),
        "format": Kind("", "name", "sed_cli.data.annotations.formats"),
        "logger": Kind("", "", "sed_cli.training.loggers"),
        "metric": Kind("", "name", "sed_cli.metrics.kinds"),
        "augmentation": Kind("augment", "", "sed_cli.data.augmentations", is_told_by_name=True),
    }
)


_ORIGINAL: set[type[Any]] = set()

DEFINED_BY = "defined_by"
"""Field of a plugin's component with a built-in name: it records the origin in a run."""


@dataclass_transform(kw_only_default=True)
def component(kind: str, name: str, *, original: bool = False) -> Callable[[type[T]], type[T]]:
    """Register a class as a component: a dataclass that configurations choose by its name.

    Args:
        kind: one of :data:`KINDS`, such as ``schedule``.
        name: by which configurations choose it.
        original: whether runs used it before its kind could be chosen, or it was among the first of
            the joined ones: such runs keep their config hash.

    Raises:
        ConfigError: if another plugin's component of the kind has the name, or a built-in one that
            is recorded only by name; or if the class lacks a docstring, the help text of a field or
            a default within its range.
    """
    if kind not in KINDS:
        raise ConfigError([f"component kind {kind!r}: expected one of {', '.join(KINDS)}"])
    known = KINDS[kind]

    def declare(cls: type[T]) -> type[T]:
        before = name if original else NOTHING
        is_documented = bool((cls.__doc__ or "").strip())
        others = known.built_in if is_ours(cls) else known.added
        if not is_ours(cls):
            _import_all(known.package)  # to know the built-in names
            if name in known.built_in and known.is_told_by_name:
                others = known.built_in
            elif name in known.built_in and known.group:
                mark = setting(
                    "plugin",
                    "source that replaces the built-in one",
                    choices=("plugin",),
                    before=DEFAULT,  # as in runs from before the built-in one existed
                )
                _add_field(cls, DEFINED_BY, mark)
        if known.key:
            chosen_by = setting(
                name,
                f"name of the {kind.replace('_', ' ')}",
                before=before,
                chosen_by=known.group.replace("/", "."),
            )
            _add_field(cls, known.key, chosen_by)
        made = dataclass(kw_only=True)(cls)
        faults = _faults_of(kind, name, made)
        if not is_documented:
            faults.append("it has no docstring, whose first line help and tables show")
        other = others.get(name)
        if other is not None and _place(other) != _place(made):
            faults.append(f"{_place(other)} already defines the {kind} {name}: rename one")
        if faults:
            raise ConfigError([f"{made.__qualname__}: {fault}" for fault in faults])
        (known.built_in if is_ours(made) else known.added)[name] = made
        if original:
            _ORIGINAL.add(made)
        return made

    return declare


def _add_field(cls: type[Any], name: str, declared: Any) -> None:
    cls.__annotations__ = {name: "str", **inspect.get_annotations(cls)}
    setattr(cls, name, declared)


def _faults_of(kind: str, name: str, cls: type[Any]) -> list[str]:
    """Why a class is not a valid component."""
    faults = Faults()
    faults.require(
        re.fullmatch(r"\w+", name) is not None,
        f"the name {name!r}: expected letters, digits and underscores",
    )
    faults.require(name not in getattr(cls, "RESERVED", ()), f"the name {name!r} is reserved")
    faults.require(
        kind_of(cls) == kind, f"it is not a {kind}: it does not inherit from a class of that kind"
    )
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    faults.require(not missing, f"it does not define {', '.join(missing)}")
    for each in dataclasses.fields(cls):
        faults.require(
            bool(each.metadata.get("help")) or default_of(each) == MISSING,
            f"{each.name} has no help: declare it as {each.name}: TYPE = setting(DEFAULT, HELP)",
        )
    defaults = {each.name: default_of(each) for each in dataclasses.fields(cls)}
    return [*faults, *range_faults(SimpleNamespace(**defaults), "default ", cls)]


def components(kind: str) -> dict[str, type[Any]]:
    """Return all components of a kind by name: built-in ones in their ``ORDER``, then plugins'."""
    known = KINDS[kind]
    _import_all(known.package)
    return dict(sorted(known.found.items(), key=_place_in_order))


def _place_in_order(item: tuple[str, type[Any]]) -> tuple[bool, int, str]:
    name, cls = item
    return not is_ours(cls), getattr(cls, "ORDER", 0), name


@cache
def _import_all(package: str) -> None:
    path = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(path, f"{package}."):
        importlib.import_module(module.name)


def component_named(kind: str, name: str) -> type[Any]:
    """Return a component.

    Raises:
        ConfigError: if the name is unknown; the message lists the known names.
    """
    known = components(kind)
    if name not in known:
        raise ConfigError(
            [
                f"{kind} {name!r} is unknown: expected one of {', '.join(known)}, or one of your "
                f"own with plugins=[FILE.py]"
            ]
        )
    return known[name]


def joined(base: type[Any]) -> type[Any]:
    """The class that joins the fields of all components of a kind, for a group that holds them all.

    Args:
        base: its base class, whose ``JOINS`` names the kind.
    """
    parts = tuple(components(base.JOINS).values())
    if (base, *parts) not in _JOINED:
        _JOINED[base, *parts] = _join(base, parts)
    return _JOINED[base, *parts]


_JOINED: dict[tuple[type[Any], ...], type[Any]] = {}


def _join(base: type[Any], parts: tuple[type[Any], ...]) -> type[Any]:
    owners: dict[str, type[Any]] = {}
    made = []
    for part in parts:
        hints = get_type_hints(part)
        for each in dataclasses.fields(part):
            if each.name in owners:
                raise ConfigError(
                    [f"{_place(part)} and {_place(owners[each.name])} both have {each.name}"]
                )
            owners[each.name] = part
            made.append((each.name, hints[each.name], _copied(each, part in _ORIGINAL)))
    # In the module that rebuilds it in other processes when they unpickle its objects.
    namespace = {"__doc__": base.__doc__, "__module__": "sed_cli.config.joins"}
    return dataclasses.make_dataclass(
        base.__name__, made, bases=(base,), namespace=namespace, kw_only=True
    )


def _copied(each: dataclasses.Field[Any], is_original: bool) -> Any:
    metadata = dict(each.metadata)
    if not is_original and metadata.get("before", NOTHING) is NOTHING:
        # Newer or plugin components that a run does not use are not part of its identity.
        metadata["before"] = default_of(each)
    return field(default=each.default, default_factory=each.default_factory, metadata=metadata)


def class_of(declared: type[Any], values: Mapping[str, Any]) -> type[Any]:
    """The class of a group's values: the component they name, or all components joined.

    Args:
        declared: the class that the field of the group is declared with.
        values: of the group.

    Raises:
        ConfigError: for an unknown component, or a built-in one in place of a plugin's.
    """
    if hasattr(declared, "JOINS"):
        return joined(declared)
    kind = kind_of(declared)
    if kind is None:
        return declared
    name = str(values[KINDS[kind].key])
    found = component_named(kind, name)
    if DEFINED_BY in values and is_ours(found):
        raise ConfigError(
            [f"{kind} {name!r} comes from a plugin, not the built-in one of that name"]
        )
    return found


def original(declared: type[Any], task: str) -> dict[str, str]:
    """Key and name of the component that runs of a task had before it could be chosen; {}: none.

    Args:
        declared: the class that the field of the component is declared with.
        task: of the run.
    """
    kind = kind_of(declared)
    if kind is None or not KINDS[kind].key:
        return {}
    components(kind)
    for name, cls in KINDS[kind].built_in.items():
        if cls in _ORIGINAL and issubclass(cls, declared) and getattr(cls, "TASK", task) == task:
            return {KINDS[kind].key: name}
    return {}


def plugin_components() -> list[tuple[str, str, type[Any]]]:
    """Kind, name and class of every component of a plugin."""
    return [(kind, name, cls) for kind, known in KINDS.items() for name, cls in known.added.items()]


def forget(module: str) -> None:
    """Drop the components that a module has defined."""
    for known in KINDS.values():
        for name, cls in list(known.added.items()):
            if cls.__module__ == module:
                del known.added[name]


def kind_of(config: type[Any]) -> str | None:
    """The kind of a class that is a base or component, by its key."""
    for base in config.__mro__:
        kind = base.__dict__.get("KIND")
        if kind is not None:
            return str(kind)
    return None


def is_ours(cls: type[Any]) -> bool:
    """Whether a component is built in."""
    return cls.__module__.split(".")[0] == "sed_cli"


def _place(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class Names(Collection[str]):
    """Names that a setting may choose: components of a kind, and additional ones.

    Args:
        kind: of the components.
        more: additional names.
        where: an attribute that their classes must set; "": all of them.
    """

    def __init__(self, kind: str, *more: str, where: str = "") -> None:
        self._kind, self._more, self._where = kind, more, where

    def __iter__(self) -> Iterator[str]:
        known = components(self._kind).items()
        yield from (name for name, cls in known if not self._where or getattr(cls, self._where))
        yield from self._more

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)


def is_settings(value: Any) -> bool:
    """Whether a value is an object of a settings class."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
