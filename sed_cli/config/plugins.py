"""Custom components: from Python files that a command names, or installed packages.

A file is imported only if the command names it (``plugins=[FILE.py]``), never because a run,
checkpoint or sweep has recorded it. A package announces its components by an entry point of the
group ``sedtf.components``: the name of a module that defines them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from sed_cli.config.registry import KINDS, components, forget, plugin_components
from sed_cli.errors import UserError
from sed_cli.system.files import replacing

log = logging.getLogger(__name__)

ENTRY_POINTS = "sedtf.components"
FOLDER = "plugins"
"""Folder inside a run folder with the sources of its plugins."""

_PACKAGE = "sedtf_plugins"  # module name of a file, by which processes import it
# Files in use, for child processes that unpickle objects of plugins' classes.
_VARIABLE = "SEDTF_PLUGIN_FILES"
_sources: dict[Path, bytes] = {}  # the source that was executed, by file


class Plugin(NamedTuple):
    """A file whose components are registered."""

    file: Path
    sha256: str


class _PluginLoader(SourceFileLoader):
    """Executes a file, keeps the executed source, and leaves no compiled file beside it."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        _sources[Path(self.path)] = source
        code: CodeType = self.source_to_code(source, self.path)
        return code


class _PluginFinder(MetaPathFinder):
    """Imports the files in use by module name, also in a new process."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _PACKAGE:
            return ModuleSpec(fullname, None, is_package=True)
        for file in files_in_use():
            if fullname == _module_name(file):
                loader = _PluginLoader(fullname, str(file))
                return importlib.util.spec_from_file_location(fullname, file, loader=loader)
        return None


def files_in_use() -> list[Path]:
    """Files whose components are registered."""
    return [Path(name) for name in json.loads(os.environ.get(_VARIABLE) or "[]")]


def use(files: Sequence[str | Path]) -> list[Path]:
    """Register the components of these files, and of no others except installed packages.

    Args:
        files: Python files; relative ones from the working folder.

    Returns:
        Their absolute paths.

    Raises:
        UserError: if a file is missing, raises when it is imported, or defines no component.
    """
    wanted = list(dict.fromkeys(map(_found, files)))
    # Redefining a class would make existing objects no instances of it.
    if wanted != files_in_use() or any(_sources.get(f) != f.read_bytes() for f in wanted):
        for file in files_in_use():
            sys.modules.pop(_module_name(file), None)
            forget(_module_name(file))
            _sources.pop(file, None)
        importlib.invalidate_caches()
    os.environ[_VARIABLE] = json.dumps([str(file) for file in wanted])
    return [plugin.file for plugin in load()]


def load() -> list[Plugin]:
    """Import the files in use, and return them; new processes must call this.

    Raises:
        UserError: as :func:`use`.
    """
    for kind in KINDS:  # ours first, so that a name clash is blamed on the plugin
        components(kind)
    _load_installed()
    for file in files_in_use():
        name = _module_name(file)
        known = name in sys.modules
        _import(name, f"plugins={file}")
        if not known:
            _check(name, file)
    return [Plugin(file, hashlib.sha256(_sources[file]).hexdigest()) for file in files_in_use()]


def keep_sources(files: Sequence[str], run_dir: Path) -> list[dict[str, str]]:
    """Copy the sources of files in use into a run folder, for the record; nothing reads them there.

    Returns:
        Entry of each in ``run.json``: ``file``, ``sha256`` and ``copy``.
    """
    kept = []
    for file in map(Path, files):
        source = _sources[file]
        sha256 = hashlib.sha256(source).hexdigest()
        copy = run_dir / FOLDER / file.name
        # from another folder, or an earlier version
        if copy.exists() and copy.read_bytes() != source:
            copy = copy.with_stem(f"{file.stem}-{sha256[:8]}")
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as path:
            path.write_bytes(source)
        kept.append({"file": str(file), "sha256": sha256, "copy": f"{FOLDER}/{copy.name}"})
    return kept


def warn_of_changes(before: object, now: Sequence[Mapping[str, str]]) -> None:
    """Warn about files that have changed since the run was trained with them.

    Args:
        before: their entry in ``run.json``, unchecked.
        now: result of :func:`keep_sources`.
    """
    earlier: dict[str, set[str]] = {}
    for each in before if isinstance(before, list) else []:
        if isinstance(each, Mapping):
            name = Path(str(each.get("file"))).name
            earlier.setdefault(name, set()).add(str(each.get("sha256")))
    for each in now:
        name = Path(each["file"]).name
        if each["sha256"] not in earlier.get(name, {each["sha256"]}):
            log.warning(
                "plugins=%s has changed since this run was trained with it: the new source is "
                "used from now on; both are kept in %s/",
                each["file"],
                FOLDER,
            )


def replaced() -> list[str]:
    """One line per built-in component that a file in use replaces."""
    files = {_module_name(file): file for file in files_in_use()}
    return [
        f"plugins={files[cls.__module__]}: its {kind} {name} replaces the built-in one"
        for kind, name, cls in plugin_components()
        if cls.__module__ in files and name in KINDS[kind].built_in
    ]


def needed(values: Mapping[str, Any]) -> str:
    """A note on the files that recorded settings name and nothing imports; "" if there are none."""
    files = values.get("plugins")
    names = [str(file) for file in files] if isinstance(files, list) else []
    if not names:
        return ""
    return f"; it was trained with plugins=[{','.join(names)}]: add that to the command"


@cache
def _load_installed() -> None:
    for point in entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.name
        what = f"the installed package {package} (update or uninstall it)"
        before = plugin_components()
        _import(point.module, what)
        for kind, name, cls in plugin_components():
            if (kind, name, cls) not in before and name in KINDS[kind].built_in:
                raise UserError(  # the user has not named it, and would not notice
                    f"{what} cannot be used: {cls.__qualname__}: there is already a {kind} "
                    f"{name}; only a file named by plugins=[FILE.py] may replace it"
                )


def _import(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError):
            place = f"line {error.lineno}"
            reason = f"{type(error).__name__}: {error.msg}"
        else:
            place = _line_in(error, what)
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            reason = f"{kind}{error}"
        raise UserError(f"{what} cannot be used: {place}: {reason}") from error


def _line_in(error: BaseException, what: str) -> str:
    """The line of the plugin that led to the error, however deep in a library it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if what.endswith(frame.filename)]
    last = own[-1] if own else frames[-1]
    return f"line {last.lineno}" if own else f"{last.filename}, line {last.lineno}"


def _check(module: str, file: Path) -> None:
    """Reject a file without a component, or with fields of types that YAML cannot represent."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    own = [cls for _, _, cls in plugin_components() if cls.__module__ == module]
    if not own:
        raise UserError(
            f"plugins={file} defines no component: expected a class with "
            f"@component(KIND, NAME), where KIND is one of {', '.join(KINDS)}"
        )
    for cls in own:
        try:
            OmegaConf.structured(cls)
        except (OmegaConfBaseException, NameError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"plugins={file}: {cls.__qualname__}: {reason}") from error


def _found(file: str | Path) -> Path:
    try:
        path = Path(file).expanduser().absolute()
        is_file, exists = path.is_file(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, an unknown user, a NUL byte
        raise UserError(f"plugins={file}: no such file ({error})") from error
    if not exists:
        raise UserError(f"plugins={file}: no such file; expected a Python file")
    if not is_file or path.suffix != ".py":
        raise UserError(f"plugins={file}: expected a Python file, whose name ends in .py")
    return path


def _module_name(file: Path) -> str:
    place = hashlib.blake2b(str(file).encode(errors="surrogateescape"), digest_size=4).hexdigest()
    stem = re.sub(r"\W", "_", file.stem)
    return f"{_PACKAGE}.{stem}_{place}"


# On import: a new process unpickles before it does anything else.
if not any(type(finder).__name__ == _PluginFinder.__name__ for finder in sys.meta_path):
    sys.meta_path.append(_PluginFinder())
