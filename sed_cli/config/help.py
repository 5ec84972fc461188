"""Options in the config groups of a verb, for its help."""

from __future__ import annotations

from typing import Any, get_type_hints

import yaml

from sed_cli.config.files import conf_dir, options_in
from sed_cli.config.groups import options
from sed_cli.config.training import LossConfig
from sed_cli.config.verbs import TASKS

_SYNTH = ("soundscapes",)  # everything it writes
_FIRST, *_OTHERS = TASKS  # the default task


def group_help(verb: str) -> str:
    """Config groups of a verb with their options, in Markdown."""
    root = yaml.safe_load((conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
    groups = [
        name
        for entry in root["defaults"]
        if isinstance(entry, dict)
        for name in entry
        if name != "schema" and not name.startswith(("schema/", "override"))
    ]
    lines = ["Config groups:", ""]
    for group in groups:
        shown = _SYNTH if verb == "synth" else _of_verb(verb, group, _of_task(group, _FIRST))
        lines.append(f"- `{group}`: {', '.join(shown)}")
    for task in _OTHERS if verb == "train" else ():
        lines += ["", f"With `task={task}`, these groups differ:", ""]
        own = {group: _of_task(group, task) for group in groups}
        lines += [f"- `{group}`: {', '.join(names)}" for group, names in own.items() if names]
    return "\n".join(lines)


def _of_verb(verb: str, group: str, names: list[str]) -> list[str]:
    if group != "experiment":
        return names
    fitting = [name for name in names if (name == "tutorial_curves") == (verb == "simulate")]
    folders = (f"{name.partition('/')[0]}/..." if "/" in name else name for name in fitting)
    return list(dict.fromkeys(folders))


def _of_task(group: str, task: str) -> list[str]:
    """Options of a group for one task; the default task gets all that no other task claims."""
    classes = options().get(group, {})
    files = options_in(group)
    owners = {
        name: other
        for other in _OTHERS
        for name in [*classes, *files]
        if _belongs(group, name, classes.get(name), other)
    }
    ordered = [*classes, *(name for name in files if name not in classes)]
    return [name for name in ordered if owners.get(name, _FIRST) == task]


def _belongs(group: str, name: str, cls: type[Any] | None, task: str) -> bool:
    """Whether an option is useful only for a task, by its class or the file it names."""
    if cls is not None and issubclass(cls, LossConfig):
        return task == cls.TASK
    of_task, of_first = (
        get_type_hints(TASKS[each]).get(group, type(None)) for each in (task, _FIRST)
    )
    if cls is not None and of_task != of_first:
        return issubclass(cls, of_task)
    chosen = yaml.safe_load((conf_dir() / "task" / f"{task}.yaml").read_text(encoding="utf-8"))
    return group == "trainer" and {f"override /{group}": name} in chosen["defaults"]
