"""What a machine ran out of, told by the error that it led to: disk, memory, open files, processes.

Libraries tell of it in errors and words of their own, so that a person would take the most of them
for defects.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from sed_cli.system.files import causes, full_disk
from sed_cli.system.text import one_line

_AMOUNT = re.compile(r"allocate ([\d.]+ ?[kMGTP]?i?B(?:ytes)?|\d+ bytes)")
# Of torch on CPU and GPU, numba, C++, and the loader of libraries, which are the first to meet it.
_NO_MEMORY = re.compile(
    r"not enough memory|out of memory|can't allocate memory|bad_alloc|failed to map segment|"
    r"cannot allocate(?! memory in static TLS)|unable to allocate",
    re.IGNORECASE,
)
_OF_GPU = re.compile(r"\bCUDA|\bGPU|\bMPS\b")
_NO_THREADS = "can't start new thread"
_NO_FILES = "too many open files"
_LOWER_MEMORY = {
    "train": "lower trainer.batch_size, data.sequence_length or the sizes of the model",
    "predict": "lower workers, or divide a long recording",
    "synth": "lower workers or data.duration_s",
}
_ELSE_MEMORY = "close other programs, or allow more (ulimit -v, the limit of the container)"


def shortage(error: BaseException | None, verb: str = "", place: Path | None = None) -> str:
    """Tell in a line what there was too little of, and the remedy; "" for any other error.

    Args:
        error: with what it came from.
        verb: that met it, by which the settings are named that need less.
        place: that was written to, where the error of a full disk does not tell.
    """
    full = full_disk(error)
    if full is not None:
        where = full if full.parts else place
        of_where = f" of {where}" if where is not None else ""
        rest = "" if verb == "train" else ", or write elsewhere"
        return f"no room left on the disk{of_where}, or within its quota: make some{rest}"
    for one in causes(error):
        number = one.errno if isinstance(one, OSError) else None
        if number == errno.EFBIG:
            named = isinstance(one, OSError) and one.filename
            file = named or (f"a file of {place}" if place is not None else "a file")
            return f"{file} grew beyond the largest that is allowed: raise that (ulimit -f)"
        if number in (errno.EMFILE, errno.ENFILE) or _NO_FILES in str(one).lower():
            return (
                f"more files are open than the system allows{_limit_of_files()}: raise that "
                f"(ulimit -n 4096), or use fewer workers"
            )
        if _NO_THREADS in str(one):
            return (
                "no further thread or process can be started: allow more (ulimit -u, ulimit -v, "
                "the limit of the container), or use fewer workers and trainer.threads=1"
            )
        if isinstance(one, MemoryError) or number == errno.ENOMEM or _is_of_memory(one):
            return f"{_memory(one)}: {_lower(one, verb)}"
    return ""


def _is_of_memory(error: BaseException) -> bool:
    """Whether a library says so: of ours, a message that has these words means something else."""
    is_theirs = isinstance(error, RuntimeError | ImportError | OSError)
    return is_theirs and bool(_NO_MEMORY.search(str(error)))


def _memory(error: BaseException) -> str:
    amount = _AMOUNT.search(str(error))
    tried = f" ({amount[1]} more were asked for)" if amount else ""
    device = " of the GPU" if _OF_GPU.search(f"{type(error).__name__} {error}") else ""
    return f"the memory{device} is used up{tried}"


def _lower(error: BaseException, verb: str) -> str:
    is_of_loader = isinstance(error, ImportError | OSError)
    ours = "" if is_of_loader else _LOWER_MEMORY.get(verb, "")
    return one_line(f"{ours}, {_ELSE_MEMORY}" if ours else _ELSE_MEMORY)


def _limit_of_files() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return ""
    if os.name != "posix":
        return ""
    return f" ({resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
