"""Optional packages: those of sedtf's extras, and of plugins."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

from sed_cli.errors import UserError


def missing(what: str, package: str, extra: str = "") -> list[str]:
    """A message if a package is not installed, without importing it.

    Args:
        what: needs it, such as a setting with its value.
        package: its import name.
        extra: of sedtf that installs it; "": it is installed by its own name.
    """
    there = sys.modules[package] if package in sys.modules else find_spec(package)
    return [_needs(what, package, extra)] if there is None else []


def imported(what: str, package: str, extra: str = "") -> ModuleType:
    """Import a package.

    Raises:
        UserError: with the message of :func:`missing`, if it is missing or does not work.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{_needs(what, package, extra)} ({error})") from error


def _needs(what: str, package: str, extra: str) -> str:
    install = f"'sedtf[{extra}]'" if extra else package
    return f"{what} needs {package}: pip install {install}"
