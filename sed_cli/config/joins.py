"""Classes that join the components of a kind, importable by name for unpickling."""

from __future__ import annotations

from typing import Any

from sed_cli.config import plugins, training
from sed_cli.config.registry import joined


def __getattr__(name: str) -> Any:
    base = getattr(training, name, None)
    if base is None or not hasattr(base, "JOINS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    plugins.load()  # with components among the joined ones
    return joined(base)
