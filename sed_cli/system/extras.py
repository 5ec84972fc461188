"""Packages that sedtf can do without: those of its extras, and of plugins."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

from sed_cli.errors import UserError


def missing(what: str, package: str, extra: str = "") -> list[str]:
    """A line where a package is not installed; nothing is imported.

    Args:
        what: needs it, such as a setting with its value.
        package: by the name that it is imported by.
        extra: of sedtf, that brings it; "": it is installed by its own name.
    """
    there = sys.modules[package] if package in sys.modules else find_spec(package)
    return [_needs(what, package, extra)] if there is None else []


def imported(what: str, package: str, extra: str = "") -> ModuleType:
    """Import a package.

    Raises:
        UserError: as :func:`missing` words it, if it is not there, or does not work here.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{_needs(what, package, extra)} ({error})") from error


def _needs(what: str, package: str, extra: str) -> str:
    install = f"'sedtf[{extra}]'" if extra else package
    return f"{what} needs {package}: pip install {install}"
