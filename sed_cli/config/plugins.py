"""Components of a user's own: from Python files that a command names, or installed packages.

A file is imported only because the command names it (``plugins=[FILE.py]``); what a run, checkpoint
or sweep has recorded never is. A package announces its components by an entry point of the group
``sedtf.components``: the name of a module that defines them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from sed_cli.config.registry import forget
from sed_cli.errors import UserError

ENTRY_POINTS = "sedtf.components"
_PACKAGE = "sedtf_plugins"  # what a file's module is called, so that processes find it by name
# Files in use, for processes that this one starts: they unpickle objects of plugins' classes.
_VARIABLE = "SEDTF_PLUGIN_FILES"


class _Finder(MetaPathFinder):
    """Imports the files in use by their modules' names, also in a process that was just started."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _PACKAGE:
            return ModuleSpec(fullname, None, is_package=True)
        for file in files_in_use():
            if fullname == _module_name(file):
                return importlib.util.spec_from_file_location(fullname, file)
        return None


def install() -> None:
    """Let the modules of plugins be imported by name."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def files_in_use() -> list[Path]:
    """Files whose components are known now."""
    return [Path(name) for name in os.environ.get(_VARIABLE, "").split(os.pathsep) if name]


def use(files: Sequence[str | Path]) -> list[Path]:
    """Make the components of some files known, and no others' but those of installed packages.

    Args:
        files: Python files; relative ones from the working folder.

    Returns:
        Their absolute paths.

    Raises:
        UserError: if a file is missing, or raises when it is imported.
    """
    wanted = [_found(file) for file in files]
    for file in files_in_use():
        name = _module_name(file)
        sys.modules.pop(name, None)
        forget(name)
    os.environ[_VARIABLE] = os.pathsep.join(map(str, wanted))
    importlib.invalidate_caches()
    return load()


def load() -> list[Path]:
    """Import the files in use, and return them; a process that was just started has to."""
    install()
    _load_installed()
    for file in files_in_use():
        _import(_module_name(file), f"plugins={file}")
    return files_in_use()


def keep_sources(files: Sequence[str], run_dir: Path) -> None:
    """Copy the files in use into a run folder, for the record: nothing reads them from there."""
    for file in files:
        folder = run_dir / "plugins"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / Path(file).name)


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def _load_installed() -> None:
    for point in entry_points(group=ENTRY_POINTS):
        _import(point.value, f"the installed package of the entry point {point.name}")


def _import(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except UserError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{what} cannot be imported: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error


def _found(file: str | Path) -> Path:
    path = Path(file).expanduser().absolute()
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"plugins={file}: no such Python file")
    return path


def _module_name(file: Path) -> str:
    place = hashlib.blake2b(str(file).encode(), digest_size=4).hexdigest()
    stem = re.sub(r"\W", "_", file.stem)
    return f"{_PACKAGE}.{stem}_{place}"
