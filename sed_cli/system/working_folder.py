"""Keep the working folder, which may be a stranger's, from acting on the command ``sedtf``.

Python starts the helpers of :mod:`multiprocessing` as ``python -c``, which imports modules of the
working folder before any others. And two libraries search it for settings: numba, for a folder of
compiled code, and matplotlib, earlier versions of which evaluate an expression.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_VARIABLE = "SEDTF_WORKING_FOLDER_IS_KEPT_OUT"  # for child processes
_SETTINGS = {"numba.core.config": ".numba_config.yaml", "matplotlib": "matplotlibrc"}
"""The modules that read settings, and the file that each opens in the working folder."""


def keep_out() -> None:
    """Let neither this process nor its children take modules or settings from the working folder.

    Call it before numba or matplotlib are imported. ``python -m sed_cli`` itself imports modules of
    the working folder, and so may its children.
    """
    if not _is_imported_from():
        os.environ["PYTHONSAFEPATH"] = "1"  # read by each new interpreter
    os.environ[_VARIABLE] = "1"
    _install()


def _is_imported_from() -> bool:
    try:
        return Path(sys.path[0]).resolve() == Path.cwd()
    except (OSError, IndexError):  # the folder was deleted
        return False


class _WithoutSettings(SourceFileLoader):
    """Executes a module that finds its settings of the working folder empty."""

    def exec_module(self, module: ModuleType) -> None:
        name = _SETTINGS[module.__name__]

        def opened(file: Any, *arguments: Any, **options: Any) -> Any:
            if file == name:  # it is not even opened: it may be a pipe
                return io.StringIO()
            return open(file, *arguments, **options)  # noqa: PTH123  # as the module asks

        module.__dict__["__builtins__"] = {**vars(builtins), "open": opened}
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _SETTINGS else None
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            spec.origin,
            loader=_WithoutSettings(fullname, spec.loader.path),
            submodule_search_locations=spec.submodule_search_locations,
        )


def _install() -> None:
    if not any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


if os.environ.get(_VARIABLE):  # in a child, before it imports what it works with
    _install()
