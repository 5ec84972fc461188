"""All tasks by name: one package each, imported on demand."""

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
    """The task for the key ``task`` of a configuration or a run; the detector if it is missing."""
    return cast(TaskPackage, import_module(_PACKAGES[root_of(name).task]).TASK)


def all_tasks() -> list[TaskPackage]:
    """All tasks, in listing order."""
    return [task_named(name) for name in _PACKAGES]
