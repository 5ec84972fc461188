"""Components: classes that a configuration chooses by name, each defined in one place.

A component is a settings class (:mod:`sed_cli.config.settings`) with a name. Its module lies in the
package of its kind and is found there: adding one takes a file, and no list names it. Components of
a user's own come from plugins (:mod:`sed_cli.config.plugins`) and are treated alike.
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
            fields of all of them; "" where there is none.
        key: the field of the class that holds its name; "" where several may act at once.
        package: where ours are: each of its modules is imported.
        role: what its settings mean for a run, whatever else they say of themselves.
        is_told_by_name: whether a name, or settings that are joined, are all that a run keeps of
            it: a plugin's of a built-in one's name would be taken for that.
        was_name: whether runs wrote a name where its settings stand now; with no more settings
            than that it still is one to the config hash.
        built_in: ours by name, as far as they are imported.
        added: those of plugins.
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
        """Components by name; a plugin's comes before a built-in one."""
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
"""Field of a plugin's component that has the name of a built-in one: a run keeps whose it was."""


@dataclass_transform(kw_only_default=True)
def component(kind: str, name: str, *, original: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class a component: a dataclass, known to configurations by its name.

    Args:
        kind: one of :data:`KINDS`, such as ``schedule``.
        name: which configurations choose it by.
        original: what runs used before its kind could be chosen, or that was among the first of
            those that are joined: such runs keep their config hash.

    Raises:
        ConfigError: if another plugin's component of the kind has the name, or a built-in one that
            is told by its name alone; or if the class lacks what a component has: a docstring, a
            help text for each field, a default within its range.
    """
    if kind not in KINDS:
        raise ConfigError([f"component kind {kind!r}: expected one of {', '.join(KINDS)}"])
    known = KINDS[kind]

    def declare(cls: type[T]) -> type[T]:
        before = name if original else NOTHING
        is_documented = bool((cls.__doc__ or "").strip())
        others = known.built_in if is_ours(cls) else known.added
        if not is_ours(cls):
            _import_all(known.package)  # to see which names are ours
            if name in known.built_in and known.is_told_by_name:
                others = known.built_in
            elif name in known.built_in and known.group:
                mark = setting(
                    "plugin",
                    "what defines it in the place of the built-in one",
                    choices=("plugin",),
                    before=DEFAULT,  # as in runs from before there was a built-in one
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
            faults.append(f"there is a {kind} {name} already, {_place(other)}: rename one")
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
    """What a class lacks to be a component."""
    faults = Faults()
    faults.require(
        re.fullmatch(r"\w+", name) is not None,
        f"the name {name!r}: expected letters, digits and underscores",
    )
    faults.require(
        name not in getattr(cls, "RESERVED", ()), f"the name {name!r} stands for something else"
    )
    faults.require(kind_of(cls) == kind, f"it is no {kind}: it inherits from no class of that kind")
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
    """Return all components of a kind by name: ours, in their ``ORDER``, then those of plugins."""
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
        ConfigError: if there is none of the name; it lists those there are.
    """
    known = components(kind)
    if name not in known:
        raise ConfigError(
            [
                f"{kind} {name!r} is unknown: there are {', '.join(known)}; one of your own comes "
                f"with plugins=[FILE.py]"
            ]
        )
    return known[name]


def joined(base: type[Any]) -> type[Any]:
    """The class with the fields of all components of a kind: those of a group that has them all.

    Args:
        base: what it is derived from; its ``JOINS`` names the kind.
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
    # Of the module in which other processes, that unpickle its objects, find it joined anew.
    namespace = {"__doc__": base.__doc__, "__module__": "sed_cli.config.joins"}
    return dataclasses.make_dataclass(
        base.__name__, made, bases=(base,), namespace=namespace, kw_only=True
    )


def _copied(each: dataclasses.Field[Any], is_original: bool) -> Any:
    metadata = dict(each.metadata)
    if not is_original and metadata.get("before", NOTHING) is NOTHING:
        # What came later, or a plugin adds, and a run does not use is no part of what the run is.
        metadata["before"] = default_of(each)
    return field(default=each.default, default_factory=each.default_factory, metadata=metadata)


def class_of(declared: type[Any], values: Mapping[str, Any]) -> type[Any]:
    """The class of a group's values: the component they name, or all components joined.

    Args:
        declared: the class that the field of the group is declared with.
        values: of the group.

    Raises:
        ConfigError: for a component that is unknown, or a built-in one in the place of a plugin's.
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
            [f"{kind} {name!r} is one of a plugin, not the built-in one of that name"]
        )
    return found


def original(declared: type[Any], task: str) -> dict[str, str]:
    """The key and name of what runs of a task had before it could be chosen; {}: nothing.

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
    """Kind, name and class of every component that is not ours."""
    return [(kind, name, cls) for kind, known in KINDS.items() for name, cls in known.added.items()]


def forget(module: str) -> None:
    """Drop the components that a module has defined."""
    for known in KINDS.values():
        for name, cls in list(known.added.items()):
            if cls.__module__ == module:
                del known.added[name]


def kind_of(config: type[Any]) -> str | None:
    """The kind whose base or component a class is, told by its key."""
    for base in config.__mro__:
        kind = base.__dict__.get("KIND")
        if kind is not None:
            return str(kind)
    return None


def is_ours(cls: type[Any]) -> bool:
    """Whether a component is one of the project's."""
    return cls.__module__.split(".")[0] == "sed_cli"


def _place(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class Names(Collection[str]):
    """The names that a setting may choose from: of the components of a kind, and some more.

    Args:
        kind: of the components.
        more: other names.
        where: an attribute of their classes that has to be true; "": all of them.
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
