"""Shortages of disk, memory, open files and processes, recognised by the errors they cause.

Libraries report them in their own errors and words, most of which look like defects.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from sed_cli.system.files import causes, full_disk
from sed_cli.system.text import one_line

_AMOUNT = re.compile(r"allocate ([\d.]+ ?[kMGTP]?i?B(?:ytes)?|\d+ bytes)")
# By torch on CPU and GPU, numba, C++, and the loader of libraries, which meet shortages first.
_NO_MEMORY = re.compile(
    r"not enough memory|out of memory|can't allocate memory|bad_alloc|failed to map segment|"
    r"cannot allocate(?! memory in static TLS)|unable to allocate",
    re.IGNORECASE,
)
_OF_GPU = re.compile(r"\bCUDA|\bGPU|\bMPS\b")
_NO_THREADS = "can't start new thread"
# By Python and most libraries; by the store through which processes of torch find each other.
_NO_FILES = re.compile("too many open files|failed to init uv loop", re.IGNORECASE)
_LOWER_MEMORY = {
    "train": "lower trainer.batch_size, data.sequence_length or the sizes of the model",
    "predict": "lower workers, or split long recordings",
    "synth": "lower workers or data.duration_s",
}
_ELSE_MEMORY = "close other programs, or raise the limit (ulimit -v, or that of the container)"


def shortage(error: BaseException | None, verb: str = "", place: Path | None = None) -> str:
    """Describe a shortage and its remedy in one line; "" for any other error.

    Args:
        error: with its causes.
        verb: that failed, for the settings that lower its needs.
        place: folder written to, if the error does not name it.
    """
    full = full_disk(error)
    if full is not None:
        where = full if full.parts else place
        of_where = f" of {where}" if where is not None else ""
        rest = "" if verb == "train" else ", or write elsewhere"
        return f"the disk{of_where} or its quota is full: free some space{rest}"
    for one in causes(error):
        number = one.errno if isinstance(one, OSError) else None
        if number == errno.EFBIG:
            named = isinstance(one, OSError) and one.filename
            file = named or (f"a file of {place}" if place is not None else "a file")
            return f"{file} exceeds the largest file size allowed: raise the limit (ulimit -f)"
        if number in (errno.EMFILE, errno.ENFILE) or _NO_FILES.search(str(one)):
            return (
                f"too many open files{_limit_of_files()}: raise the limit (ulimit -n 4096), or use "
                f"fewer workers"
            )
        if _NO_THREADS in str(one):
            return (
                "no further thread or process can be started: raise the limits (ulimit -u, "
                "ulimit -v, or those of the container), or use fewer workers and trainer.threads=1"
            )
        if isinstance(one, MemoryError) or number == errno.ENOMEM or _is_of_memory(one):
            return f"{_memory(one)}: {_lower(one, verb)}"
    return ""


def _is_of_memory(error: BaseException) -> bool:
    """Whether a library reports it: these words mean something else in sedtf's own messages."""
    is_theirs = isinstance(error, RuntimeError | ImportError | OSError)
    return is_theirs and bool(_NO_MEMORY.search(str(error)))


def _memory(error: BaseException) -> str:
    amount = _AMOUNT.search(str(error))
    tried = f" ({amount[1]} more requested)" if amount else ""
    device = " on the GPU" if _OF_GPU.search(f"{type(error).__name__} {error}") else ""
    return f"out of memory{device}{tried}"


def _lower(error: BaseException, verb: str) -> str:
    is_of_loader = isinstance(error, ImportError | OSError)
    ours = "" if is_of_loader else _LOWER_MEMORY.get(verb, "")
    return one_line(f"{ours}; else {_ELSE_MEMORY}" if ours else _ELSE_MEMORY)


def _limit_of_files() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return ""
    if os.name != "posix":
        return ""
    return f" (limit: {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
