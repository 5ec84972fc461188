"""The tasks that there are, by name: a package each, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from sed_cli.config.verbs import root_of
from sed_cli.tasks.package import TaskPackage

_PACKAGES = {
    "sed": "sed_cli.tasks.detection.package",
    "sequence": "sed_cli.tasks.sequence.package",
}


def task_named(name: Any) -> TaskPackage:
    """The task of a configuration's ``task``, or of that of a run; a detector's where none is."""
    return cast(TaskPackage, import_module(_PACKAGES[root_of(name).task]).TASK)


def all_tasks() -> list[TaskPackage]:
    """All tasks, in the order in which they are listed."""
    return [task_named(name) for name in _PACKAGES]
