"""Compiling by numba, with a disk cache that several processes may fill at the same time.

The cache numbers its files and lists them in an index, without a lock: of two processes that
compile different signatures at once, both may take the same number, and the code of one is then
stored under the other's name. From there on results are wrong until the cache is cleared. So
only one process at a time compiles, or loads compiled code; calls of loaded code are not locked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from sed_cli.system import locks

Function = TypeVar("Function", bound=Callable[..., Any])

_LOCK = ".sedtf-compiling"  # beside the files of numba's cache
_threads = threading.RLock()
_is_held = False  # by this process; changed only while holding _threads


def compiled(function: Function) -> Function:
    """Compile to run without the GIL; ``contract`` only allows fused multiply-adds."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        dispatcher: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder: compiled in each process, some seconds
        return cast(Function, numba.njit(**options)(function))
    dispatcher.compile = one_at_a_time(
        dispatcher.compile, Path(dispatcher.stats.cache_path) / _LOCK
    )
    return cast(Function, dispatcher)


def one_at_a_time(compile_: Callable[[Any], Any], lock: Path) -> Callable[[Any], Any]:
    """Let one process and one thread at a time call ``compile_``, which may call itself.

    Args:
        compile_: of a numba dispatcher, which calls it once per signature.
        lock: file for it; if it cannot be created or locked, processes do not wait.
    """

    def guarded(signature: Any) -> Any:
        global _is_held
        with _threads:
            if _is_held:  # a function called by another one
                return compile_(signature)
            with ExitStack() as held:
                with suppress(OSError):
                    locks.wait_for(held.enter_context(lock.open("ab")))
                _is_held = True
                try:
                    return compile_(signature)
                finally:
                    _is_held = False

    return guarded
