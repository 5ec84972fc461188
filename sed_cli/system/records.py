"""Records of runs and sweeps, and their status.

Light to import, and readable from another machine over a shared folder during the work.
"""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from sed_cli.errors import UserError
from sed_cli.system.files import write_json
from sed_cli.system.locks import is_at, take
from sed_cli.system.structured import (
    UnreadableError,
    read_history_text,
    read_json_object,
    read_settings,
)

RUN, SWEEP = "run.json", "sweep.json"

BEAT_S = 10.0
"""Interval at which a running process touches its file."""

_CLAIM = ".at_work"
_GIVES_WAY_S = 10.0

_SILENT_S = 120.0
"""Time without a touch after which a process elsewhere counts as gone; servers lag by a minute."""
_CLOCKS_DIFFER_S = 3600.0  # between two machines, with a wide margin


def run_folders(place: Path) -> Iterator[Path]:
    """Folders with a ``run.json``, or with Hydra's records of a run that failed earlier."""
    marks = {path.parent for path in place.rglob(RUN)}
    marks |= {path.parent.parent for path in place.rglob(".hydra/config.yaml")}
    yield from sorted(marks, key=_in_order)


def _in_order(folder: Path) -> list[tuple[int, int, str]]:
    """Sort ``10`` after ``9``, since jobs of a sweep may be numbered."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in folder.parts]


def history_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a ``history.csv``; empty if it does not exist yet or is unreadable."""
    with suppress(OSError, ValueError, csv.Error):
        return read_history(path)
    return []


def read_history(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``history.csv``.

    Raises:
        OSError: if it is missing or may not be read.
        UnreadableError: if it is not a table with a number in every named column.
    """
    text = read_history_text(path)
    try:
        table = csv.DictReader(io.StringIO(text, newline=""))
        if "epoch" not in (table.fieldnames or ()):
            raise ValueError("no column of epochs")
        rows = list(table)
        for row in rows:
            int(row["epoch"]), float(row["seconds"])
            {name: float(value or "nan") for name, value in row.items()}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UnreadableError(path, f"not a table of epochs ({error})") from error
    return rows


def run_settings(folder: Path) -> dict[str, Any]:
    """Settings of a run in Hydra's records: plain values, in which ``${...}`` is text.

    Groups of settings are mappings, or missing. Empty if nothing was written or it is
    unreadable.
    """
    try:
        values = read_settings(folder / ".hydra" / "config.yaml")
    except (OSError, ValueError):
        return {}
    groups = ("feature", "model", "sampler", "data", "augment", "trainer", "evaluation")
    spoilt = [key for key in groups if not isinstance(values.get(key) or {}, dict)]
    return {} if spoilt else values


def duration(seconds: float) -> str:
    """Format a duration: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


# ----------------------------------------------------------------------------- live processes


def this_process() -> dict[str, Any]:
    """Identification of this process, for :func:`is_alive`."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "since": _started(os.getpid()),
    }


def is_alive(process: Mapping[str, Any], path: Path) -> bool:
    """Whether the process that updates ``path`` is still active.

    Args:
        process: result of :func:`this_process` there. On this machine it is looked up; on another
            one only its touches of the file are known.
        path: the file.
    """
    if process.get("machine") != _machine():
        try:
            # One far in the future was written before the clock was set back: it tells nothing.
            return -_CLOCKS_DIFFER_S < time.time() - path.stat().st_mtime < _SILENT_S
        except OSError:
            return False
    try:
        pid = int(process["pid"])
        os.kill(pid, 0)
    except (ProcessLookupError, KeyError, TypeError, ValueError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return _started(pid) == process.get("since")  # else the number belongs to another process


def state(path: Path, values: Mapping[str, Any]) -> str:
    """Current status of a record: a process that died while ``running`` was interrupted."""
    status = values.get("status", "")
    if not isinstance(status, str):
        return "unknown"
    process = values.get("process", {"machine": None})
    if status == "running" and not (isinstance(process, dict) and is_alive(process, path)):
        return "interrupted"
    return status


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """Touch a file regularly within the block, as a heartbeat for other machines."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@cache
def _machine() -> str:
    """Identification of this boot or container, within which process numbers are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """Start of a process in kernel ticks; ``None`` without ``/proc``."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # a name may contain anything, even brackets
    # A zombie process is still listed.
    return None if fields[0] in "ZX" else fields[19]


# ------------------------------------------------------------------------- exclusive folders


class InUseError(UserError):
    """Another process is using a folder."""

    def __init__(self, owner: Mapping[str, Any]) -> None:
        known = "pid" in owner and "host" in owner
        self.who = f"process {owner['pid']} on {owner['host']}" if known else "another process"
        super().__init__(f"{self.who} is using it")


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Reserve a folder, created if necessary, for this process within the block.

    A hidden, locked file there names the owner. The lock ends with the process; without locks in a
    file system, the file counts while its process lives.

    Raises:
        InUseError: if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _CLAIM
    deadline = time.monotonic() + _GIVES_WAY_S
    while (file := _claim(path)) is None:
        owner = _owner(path)
        # Children of a killed process end by themselves, but not immediately.
        if (owner and is_alive(owner, path)) or time.monotonic() > deadline:
            raise InUseError(owner)
        time.sleep(0.05)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _claim(path: Path) -> BinaryIO | None:
    # Not through a link, whose target would be truncated.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    taken = take(file)
    if taken is None:
        owner = _owner(path)
        taken = not owner or owner == this_process() or not is_alive(owner, path)
    if taken and is_at(file, path):  # the previous owner may have deleted it in the meantime
        file.truncate()
        file.write(json.dumps(this_process()).encode())
        return file
    file.close()
    return None


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = read_json_object(path)
        return owner if isinstance(owner.get("pid"), int) else {}
    except (OSError, ValueError):
        return {}


# ---------------------------------------------------------------------------------- sweeps


@dataclass(frozen=True)
class Planned:
    """A planned job of a sweep."""

    folder: str  # below that of the sweep
    overrides: list[str]
    config_hash: str
    epochs: int | None = None  # maximum; None for jobs without epochs
    root: str | None = None  # of its data, not part of the hash


@dataclass
class Plan:
    """Contents of ``sweep.json``: all jobs of a sweep, including waiting ones."""

    verb: str
    command: list[str]  # the given overrides
    jobs: list[Planned]
    parallel: int | None = 1  # jobs at a time; None: all
    total: int | None = None  # total number of jobs, if they are chosen one by one
    status: str = "running"
    started: float = 0.0  # seconds since 1970
    process: dict[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write ``sweep.json``."""
        write_json(folder / SWEEP, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Plan | None:
        """Read the plan of a sweep; ``None`` if there is none.

        Raises:
            OSError: if it may not be read.
            UnreadableError: if it is not a plan, or its jobs are elsewhere.
        """
        path = folder / SWEEP
        try:
            values = read_json_object(path)
            jobs = [Planned(**job) for job in values.pop("jobs")]
            plan = cls(jobs=jobs, **values)
            plan._check()
        except FileNotFoundError:
            return None
        except (KeyError, TypeError) as error:
            raise UnreadableError(path, f"not a plan of a sweep ({error})") from error
        except UnreadableError:
            raise
        except ValueError as error:
            raise UnreadableError(path, f"not a plan of a sweep ({error})") from error
        return plan

    def _check(self) -> None:
        """Check types, and that jobs are inside the sweep, since the file is untrusted."""
        kinds = [
            (self.verb, str), (self.status, str), (self.command, list),
            (self.parallel, int | None), (self.total, int | None),
            (self.process, dict | None), (self.started, int | float),
        ]  # fmt: skip
        for each in self.jobs:
            kinds += [
                (each.folder, str), (each.config_hash, str), (each.overrides, list),
                (each.epochs, int | None), (each.root, str | None),
            ]  # fmt: skip
        for value, kind in kinds:
            if not isinstance(value, kind) or (isinstance(value, int) and abs(value) > 2**53):
                raise TypeError(f"{str(value)[:80]!r} where {kind} is expected")
        for each in self.jobs:
            if not is_inside(each.folder):
                raise ValueError(f"the job {each.folder!r} is not in its folder")


def is_inside(name: str) -> bool:
    """Whether a relative name stays below its folder."""
    path = PurePath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def read_record(folder: Path) -> dict[str, Any] | None:
    """Contents of ``run.json`` of a run folder; ``None`` if there is none.

    Raises:
        ValueError: if it is not a record.
    """
    try:
        return read_json_object(folder / RUN)
    except FileNotFoundError:
        return None


def note_end(folder: Path, status: str, error: str, **more: Any) -> None:
    """Record the outcome of a run that could not do so itself.

    Args:
        folder: of the run.
        status: such as ``interrupted``; one that the run has written itself stays.
        error: the reason.
        more: further entries if the run had not written anything.
    """
    try:
        record = read_record(folder)
    except ValueError:
        record = None
    if record is not None and record.get("status") != "running":
        return
    owner = (record or {}).get("process")
    if owner and owner != this_process() and is_alive(owner, folder / RUN):
        return  # another command has resumed it
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RUN, {**(record or more), "status": status, "error": error})


def names_of(overrides: Sequence[str]) -> list[str]:
    """Keys of overrides such as ``sampler.gamma=0.1`` or ``+new=1``."""
    return [override.split("=", 1)[0].lstrip("+~") for override in overrides]
