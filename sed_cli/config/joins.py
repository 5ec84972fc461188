"""Classes that join the components of a kind, by name: so that other processes unpickle them."""

from __future__ import annotations

from typing import Any

from sed_cli.config import plugins, training
from sed_cli.config.registry import joined


def __getattr__(name: str) -> Any:
    base = getattr(training, name, None)
    if base is None or not hasattr(base, "JOINS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    plugins.load()  # whose components are among those that are joined
    return joined(base)
