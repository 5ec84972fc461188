"""Jobs in a SLURM queue: their states, cancelling, and handling of SLURM's signals.

submitit submits the jobs and returns their results. It gets the state of a job from ``sacct``,
which is empty if a cluster has no accounting: it would then wait forever for a killed job. So
this module uses ``squeue``, which works on every cluster.
"""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sed_cli.errors import SedtfError, UserError

log = logging.getLogger(__name__)

# States in which a job may yet run, run on or run again; see `man squeue`, JOB STATE CODES.
_ALIVE = frozenset(
    {
        *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING"),
        *("PREEMPTED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"),
        *("RESIZING", "RESV_DEL_HOLD", "STAGE_OUT"),
    }
)
_ASK_EVERY_S = 5.0  # a controller serves many users
_SHARED_DISK_S = 20.0  # a result may appear later than the end of its job
_CANCELS_WITHIN_S = 120.0  # KillWait is 30 s by default


class TimeIsUpError(SedtfError):
    """SLURM is about to end this job, and it was shut down gracefully."""


def queue() -> dict[str, str] | None:
    """States of the user's jobs by id, such as ``12_3: RUNNING``; None if SLURM does not answer.

    The reason for waiting follows the state: ``PENDING (Resources)``. Ended jobs stay for some
    minutes (``MinJobAge``), with their final state.
    """
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T (%r)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log.debug("squeue: %s", done.stderr.strip())
        return None
    # A job that runs again is listed once with its present state; the last word counts.
    states = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())
    return {
        job: state if state.startswith("PENDING") and "(None)" not in state else state.split()[0]
        for job, state in states.items()
    }


def watch(results: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Wait for jobs; yield each as it ends, with its id and final state.

    Args:
        results: by job id, the file that a job leaves when it ends gracefully.

    Yields:
        id and ``COMPLETED`` if the file exists, else the final state in SLURM, such as
        ``CANCELLED``, ``TIMEOUT``, ``NODE_FAIL`` or ``OUT_OF_MEMORY``; ``GONE`` if it knows no such
        job.
    """
    waiting, states, told = dict(results), dict.fromkeys(results, "PENDING"), ""
    over: dict[str, float] = {}  # when the end of a job without a result was first noticed
    asked = -math.inf
    answers = True
    while waiting:
        now = time.monotonic()
        if now - asked >= _ASK_EVERY_S:
            asked = now
            answered = _note_states(states, waiting, over)
            if answers and not answered:
                log.warning("SLURM does not answer (squeue); waiting for it, and for results")
            answers = answered
        for job, path in list(waiting.items()):
            if _exists(path):
                states[job] = "ENDED"  # successfully or not: that is in the result
                del waiting[job]
                yield job, "COMPLETED"
            elif now - over.get(job, math.inf) > _SHARED_DISK_S:
                del waiting[job]
                yield job, states[job]
        counts = Counter(states.values())
        line = ", ".join(f"{count} {_spoken(state)}" for state, count in sorted(counts.items()))
        if line != told:
            log.info("SLURM jobs: %s", line)
            told = line
        time.sleep(0.5)


def _note_states(states: dict[str, str], waiting: Iterable[str], over: dict[str, float]) -> bool:
    """Query the jobs, record when dead ones were found; return whether there was an answer."""
    answer = queue()
    if answer is None:
        return False
    for job in waiting:
        # Jobs of an array that never ran and never will are listed only under the array's number.
        known = answer.get(job) or answer.get(job.split("_")[0])
        states[job] = known or (states[job] if job in over else "GONE")
        if _is_alive(states[job]):
            over.pop(job, None)
        else:
            over.setdefault(job, time.monotonic())
    return True


def cancel(jobs: Sequence[str]) -> dict[str, int]:
    """Cancel queued and running jobs; return their counts by state; wait until they ended.

    Running trainings first get SIGTERM, so that they record the interruption.
    """
    alive = _alive(jobs)
    if not alive:
        return {}
    subprocess.run(["scancel", *alive], check=False, capture_output=True)
    deadline = time.monotonic() + _CANCELS_WITHIN_S
    while _alive(list(alive)) and time.monotonic() < deadline:
        time.sleep(1.0)
    return dict(Counter(state.split()[0].lower() for state in alive.values()))


def check_not_queued(folder: Path) -> None:
    """Refuse to submit a sweep again while its jobs are still in the queue.

    Args:
        folder: where submitit keeps a folder for each job of the sweep, named by its id.

    Raises:
        UserError: if there are any.
        SedtfError: if SLURM does not answer.
    """
    jobs = [
        path.name
        for path in folder.glob("*")
        # One that has written its result is about to end.
        if re.fullmatch(r"\d+(_\d+)?", path.name) and not any(path.glob("*_result.pkl"))
    ]
    if not jobs:
        return
    if queue() is None:
        raise SedtfError("SLURM does not answer (squeue): try again when it does")
    alive = sorted(_alive(jobs))
    if alive:
        raise UserError(
            f"{len(alive)} jobs of this sweep are still in SLURM's queue ({', '.join(alive[:4])}"
            f"{', ...' if len(alive) > 4 else ''}): wait for them, or scancel "
            f"{' '.join(sorted({job.split('_')[0] for job in alive}))} first"
        )


def in_job() -> bool:
    """Whether this process is a job of a sweep in a SLURM queue."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


@contextmanager
def ends_as_interrupted() -> Iterator[None]:
    """Let SLURM's signals end a job like Ctrl-C: records written, nothing lost.

    SIGUSR2 comes some time before the time limit (``hydra.launcher.signal_delay_s``), SIGTERM on
    ``scancel`` and on preemption. After the work has stopped, submitit's own handler runs:
    on SIGUSR2 it requeues the job (``hydra.launcher.max_num_timeout`` times).

    Raises:
        SystemExit: if the job was requeued, or is being cancelled.
        TimeIsUpError: if it will not run again.
    """
    if not in_job():
        yield
        return
    received: list[int] = []

    def interrupt(signum: int, frame: object) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    handlers: dict[int, Any] = {
        signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGUSR2)
    }
    try:
        yield
    except KeyboardInterrupt:
        for signum in handlers:
            signal.signal(signum, signal.SIG_IGN)
        if received[:1] == [signal.SIGUSR2]:
            _put_back(handlers[signal.SIGUSR2])
        raise SystemExit(130) from None
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _exists(path: Path) -> bool:
    """Whether a file exists, by listing its folder: network disks cache its absence."""
    return path.parent.is_dir() and path.name in os.listdir(path.parent)  # noqa: PTH208


def _put_back(submitit_handler: Callable[[int, object], None]) -> None:
    try:
        submitit_handler(signal.SIGUSR2, None)
    except Exception as error:
        limit = "SLURM's time limit is near"
        raise TimeIsUpError(f"{limit}: give more hydra.launcher.timeout_min") from error


def _alive(jobs: Sequence[str]) -> dict[str, str]:
    states = queue() or {}
    return {job: states[job] for job in jobs if _is_alive(states.get(job, "GONE"))}


def _spoken(state: str) -> str:
    name, space, reason = state.partition(" ")
    return f"{name.lower()}{space}{reason}"


def _is_alive(state: str) -> bool:
    return state.split()[0] in _ALIVE
