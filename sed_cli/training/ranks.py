"""Starting and ending ranks: by torch's elastic launcher on one machine, else by ``torchrun``."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from tqdm import tqdm

from sed_cli.errors import CheckpointError, ConfigError, DataError, SedtfError, UserError
from sed_cli.system import torchrun
from sed_cli.system.distributed import rank
from sed_cli.system.pool import end_with_parent
from sed_cli.system.text import one_line

R = TypeVar("R")

log = logging.getLogger(__name__)

# Errors of other ranks when one is gone.
_LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
# While one rank labels or evaluates hours of recordings, the others wait. One that is gone is
# noticed at once, by its closed connection.
_LONGEST_WAIT = timedelta(days=1)
_INTERRUPTED = 130
_STOPS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_TALKATIVE = ("torch.distributed", "torch.multiprocessing")


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the process group of all ranks inside the block.

    Args:
        device: this rank's own.

    Raises:
        SedtfError: if another rank is gone.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("sedtf/group", torchrun.store()),
            rank=torchrun.rank(),
            world_size=torchrun.n_ranks(),
            timeout=_LONGEST_WAIT,
        )
        yield
    except Exception as error:
        if _is_loss(error):
            raise SedtfError(
                f"another process of this training is gone, as rank {rank()} found: "
                f"{one_line(error)}"
            ) from error
        raise
    dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this rank, if ``device`` is a GPU.

    Raises:
        UserError: if this machine has fewer GPUs than ranks.
    """
    if device.type != "cuda":
        return device
    local, n_local = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    check_devices(device, n_local)
    return torch.device("cuda", local)


def check_devices(device: torch.device, n_wanted: int) -> None:
    """Refuse more ranks than GPUs, if they run on GPUs.

    Raises:
        UserError: if there are more.
    """
    if device.type == "cuda" and torch.cuda.device_count() < n_wanted:
        raise UserError(
            f"trainer.devices={n_wanted}, but this machine has {torch.cuda.device_count()} CUDA "
            f"device(s): give at most that number, or device=cpu"
        )


def own_threads(threads: int | None, of_all: int) -> int:
    """Threads of this rank: the requested number, else an equal share on this machine."""
    n_local = int(os.environ["LOCAL_WORLD_SIZE"])
    return threads or max(1, min(torch.get_num_threads(), of_all // n_local))


def launch(function: Callable[..., R], *arguments: object, n_ranks: int, go_on: str) -> R:
    """Call a function in several processes, as ranks of one group; return the result of rank 0.

    The processes log like this one (those above rank 0 only errors), end when it ends, and none is
    left when this returns or raises.

    Args:
        function: an importable one.
        arguments: picklable ones.
        n_ranks: number of processes.
        go_on: advice if one of them is lost.

    Raises:
        SedtfError: from a rank, or if one was lost.
        KeyboardInterrupt: on Ctrl-C or SIGTERM.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with (
        tempfile.TemporaryDirectory(prefix="sedtf-ranks-") as folder,
        _interrupts_kept_from_ranks(),
        _quiet_launcher(),
    ):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=n_ranks,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            start_method="spawn",
        )
        call = _Call(function, arguments, Path(folder), _Log.of_root())
        try:
            results: dict[int, R] = elastic_launch(config, _run_rank)(call)
        except SignalException as error:
            raise KeyboardInterrupt from error
        except ChildFailedError as error:
            raise _reason(Path(folder), n_ranks, go_on) from error
        return results[0]


@dataclass(frozen=True)
class _Log:
    """Configuration of the root logger, picklable."""

    level: int
    handlers: tuple[tuple[str | None, logging.Formatter | None], ...]  # file, if it is one

    @classmethod
    def of_root(cls) -> _Log:
        root = logging.getLogger()
        return cls(
            root.level,
            tuple(
                (getattr(handler, "baseFilename", None), handler.formatter)
                for handler in root.handlers
                if type(handler) in (logging.StreamHandler, logging.FileHandler)
            ),
        )

    def apply(self, rank: int) -> None:
        root = logging.getLogger()
        root.setLevel(logging.ERROR if rank else self.level)
        for file, formatter in self.handlers:
            handler = (
                logging.FileHandler(file, encoding="utf-8")
                if file is not None
                else logging.StreamHandler(sys.stderr)
            )
            handler.setFormatter(formatter)
            root.addHandler(handler)


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Any]
    arguments: tuple[object, ...]
    folder: Path  # where ranks record their errors
    log: _Log


def _run_rank(call: _Call) -> Any:
    """Run the function in a rank."""
    own = int(os.environ["RANK"])
    threading.Thread(target=end_with_parent, daemon=True).start()
    _on_stop(_interrupt)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    call.log.apply(own)
    # Its usual lock is shared between processes, and a killed rank would leave it locked.
    tqdm.set_lock(threading.RLock())
    try:
        result = call.function(*call.arguments)
    except BaseException as error:
        _leave_word(call.folder / str(own), error)
        if isinstance(error, KeyboardInterrupt):
            # Otherwise the launcher would wait forever for a result.
            raise SystemExit(_INTERRUPTED) from None
        raise
    finally:
        _on_stop(signal.SIG_DFL)  # from here on nothing can be lost
    return None if own else result


def _on_stop(handler: Any) -> None:
    for name in _STOPS:
        signal.signal(getattr(signal, name), handler)


def _interrupt(signum: int, frame: object) -> None:
    """Interrupt once: a second signal would leave writes incomplete."""
    _on_stop(signal.SIG_IGN)
    raise KeyboardInterrupt


def _leave_word(path: Path, error: BaseException) -> None:
    """Record the error of a rank as plain values, which are safe to read for the parent."""
    word = {
        "time_s": time.time(),
        "is_loss": _is_loss(error.__cause__ or error),  # it only noticed that another one was gone
        "is_interrupt": isinstance(error, KeyboardInterrupt),
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "faults": error.faults if isinstance(error, ConfigError) else [],
        "os_error": (
            [error.errno, error.strerror, str(error.filename or "")]
            if isinstance(error, OSError)
            else None
        ),
        "text": str(error),
        "story": "".join(traceback.format_exception(error)),
    }
    path.write_text(json.dumps(word), encoding="utf-8")


def _error(word: dict[str, Any]) -> Exception:
    """Return the recorded error of a rank, as the nearest user-facing exception."""
    if word["os_error"]:
        return OSError(*word["os_error"])
    if word["faults"]:
        return ConfigError(word["faults"])
    known = {kind.__name__: kind for kind in (DataError, CheckpointError, UserError, SedtfError)}
    kind = next((known[name] for name in word["kinds"] if name in known), None)
    if kind is not None:
        return kind(word["text"])
    error = SedtfError(f"{word['kinds'][0]}: {word['text']}")
    # As what it came from it is seen for what it is, where memory ran out.
    error.__cause__ = (MemoryError if "MemoryError" in word["kinds"] else RuntimeError)(
        word["text"]
    )
    return error


def _is_loss(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)


def _reason(folder: Path, n_ranks: int, go_on: str) -> Exception:
    """Find the cause: an error of a rank, or a killed rank."""
    failures = {int(path.name): json.loads(path.read_text("utf-8")) for path in folder.iterdir()}
    own = {number: word for number, word in failures.items() if not word["is_loss"]}
    raised = [word for word in own.values() if not word["is_interrupt"]]
    if raised:
        first = min(raised, key=lambda word: word["time_s"])
        error = _error(first)
        error.add_note(f"in a rank:\n{first['story']}")
        return error
    killed = sorted(set(range(n_ranks)) - failures.keys())
    if killed:
        what = (
            f"rank {' and '.join(map(str, killed))}",
            "was killed, possibly by the system for lack of memory",
        )
    elif own:
        first_told = min(own, key=lambda number: own[number]["time_s"])
        what = f"rank {first_told}", "was terminated"
    else:
        what = "one", "is gone"
    return SedtfError(
        f"{what[0]} of the {n_ranks} processes of this training (from 0) {what[1]}: {go_on}"
    )


@contextlib.contextmanager
def _interrupts_kept_from_ranks() -> Iterator[None]:
    """Keep Ctrl-C from ranks that are still starting, which would print long tracebacks.

    They inherit the mask of the thread that starts them. While it is blocked there, a separate
    thread receives the signal, and Python still handles it in the main thread. The launcher changes
    signal handlers permanently, so they are restored.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    numbers = [getattr(signal, name) for name in _STOPS]
    handlers = {number: signal.getsignal(number) for number in numbers}
    done = threading.Event()
    taker = threading.Thread(target=done.wait, daemon=True)
    taker.start()
    resource_tracker.ensure_running()  # starting it only now unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        done.set()
        taker.join()


@contextlib.contextmanager
def _quiet_launcher() -> Iterator[None]:
    """Suppress the launcher's long report of an error that is reported here in one line."""
    loggers = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.startswith(_TALKATIVE)
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
