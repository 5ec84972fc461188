"""``sedtf status``: progress of the runs in a folder, on this or other machines."""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sed_cli.config.monitors import PREFIX, column_of, is_lower_better
from sed_cli.config.tools import StatusConfig
from sed_cli.errors import UserError
from sed_cli.system.records import (
    RUN,
    SWEEP,
    Plan,
    Planned,
    duration,
    is_alive,
    read_history,
    read_record,
    run_folders,
    run_settings,
    state,
)
from sed_cli.system.structured import why
from sed_cli.system.text import one_line, plain

_HEADER = ("status", "epochs", "best", "left", "run")
_ORDER = ("running", "completed", "failed", "interrupted", "waiting")


@dataclass(frozen=True, kw_only=True)
class StatusRow:
    """A run, or a job of a sweep that has not started yet.

    Args:
        name: relative to the folder of the command.
        status: ``running``, ``completed``, ``failed``, ``interrupted`` or ``waiting``.
        done: completed epochs.
        total: maximum epochs; None without epochs.
        epoch_s: seconds per epoch; None before the end of the first epoch.
        best: best value of the run's monitored metric, such as ``F1 0.812``.
        reason: why it failed, or was interrupted.
    """

    name: str
    status: str
    done: int = 0
    total: int | None = None
    epoch_s: float | None = None
    best: str = ""
    reason: str = ""


def show_status(config: StatusConfig) -> None:
    """Print the table, once or repeatedly.

    Raises:
        UserError: if there is no run below the folder.
    """
    place = Path(config.dir).expanduser()
    while True:
        lines = describe(place)
        if config.watch is not None and sys.stdout.isatty():
            sys.stdout.write("\x1b[H\x1b[2J")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        if config.watch is None:
            return
        time.sleep(config.watch)


def describe(place: Path) -> list[str]:
    """Lines of a table of all runs at or below a folder: sweeps first.

    Raises:
        UserError: if there is none.
    """
    if not place.is_dir():
        raise UserError(f"{place}: no such folder; name that of a sweep, or one with runs below")
    lines: list[str] = []
    listed: set[Path] = set()
    verbs: dict[Path, str] = {}
    for folder in sorted(path.parent for path in place.rglob(SWEEP)):
        try:
            plan = Plan.read(folder)
        except (OSError, ValueError) as error:
            lines += [f"{os.path.relpath(folder / SWEEP, place)} cannot be read ({why(error)})", ""]
            continue
        if plan is None:
            continue
        rows = [_row(folder / job.folder, place, job) for job in plan.jobs]
        listed |= {(folder / job.folder).resolve() for job in plan.jobs}
        verbs[folder.resolve()] = plan.verb
        unknown = max((plan.total or 0) - len(rows), 0)
        lines += [*_table(rows), _sum_of_sweep(folder, plan, rows, unknown), ""]
    others = [
        folder
        for folder in run_folders(place)
        if folder.resolve() not in listed and not _is_beside(folder, verbs)
    ]
    if others:
        rows = [_row(folder, place) for folder in others]
        lines += [*_table(rows), _counts(rows), ""]
    if not lines:
        raise UserError(f"{place}: no run or sweep found there or below")
    return lines[:-1]


def _is_beside(folder: Path, verbs: Mapping[Path, str]) -> bool:
    """Whether a folder inside a sweep is not one of its jobs, such as a comparison of them.

    This includes jobs that the resumed sweep no longer has.
    """
    verb = verbs.get(folder.resolve().parent)
    if verb is None:
        return False
    try:
        return (read_record(folder) or {}).get("verb") != verb
    except (OSError, ValueError):
        return False


def _row(folder: Path, place: Path, planned: Planned | None = None) -> StatusRow:
    name = os.path.relpath(folder, place)
    name = folder.name if name == "." else name
    total = planned.epochs if planned else None
    try:
        record = read_record(folder)
    except (OSError, ValueError) as error:
        return StatusRow(name=name, status="failed", reason=f"{RUN} cannot be read ({why(error)})")
    if record is None and planned is not None:
        return StatusRow(name=name, status="waiting", total=total)
    if record is None:
        return StatusRow(name=name, status="interrupted", reason="it never started")
    settings = run_settings(folder)
    trainer = settings.get("trainer") or {}
    config = folder / ".hydra" / "config.yaml"
    spoilt = "" if settings or not config.exists() else f".hydra/{config.name} cannot be read"
    history, trouble = _history(folder / "history.csv")
    seconds = [float(row["seconds"]) for row in history]
    status = state(folder / RUN, record)
    epochs = trainer.get("epochs", total)
    reason = "" if status in ("completed", "running") else str(record.get("error") or "")
    return StatusRow(
        name=name,
        status=status,
        done=len(history),
        total=epochs if isinstance(epochs, int) else total,
        epoch_s=statistics.median(seconds) if seconds else None,
        best=_best(history, str(trainer.get("monitor", "validation_f1"))),
        reason="; ".join(filter(None, (reason and one_line(reason), spoilt, trouble))),
    )


def _history(path: Path) -> tuple[list[dict[str, str]], str]:
    """Rows of epochs, and why they cannot be read."""
    try:
        return read_history(path), ""
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be read ({why(error)})"


def _best(history: Sequence[dict[str, str]], monitor: str) -> str:
    """The best value of the metric that selects the epoch."""
    values = [float(row.get(column_of(monitor)) or "nan") for row in history]
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return ""
    name = column_of(monitor).removeprefix(PREFIX)
    if name == "f1":  # for a sequence model it is the accuracy
        name = "accuracy" if "validation_perplexity" in history[0] else "F1"
        return f"{name} {max(values):.3f}"
    return f"{name} {min(values) if is_lower_better(monitor) else max(values):.4g}"


# ------------------------------------------------------------------------------- time left


def _left_s(row: StatusRow, others_s: float | None) -> float | None:
    """Remaining seconds of a run if it does not stop early; None if unknown."""
    if row.status not in ("running", "waiting", "interrupted"):
        return 0.0
    epoch_s = others_s if row.epoch_s is None else row.epoch_s
    if epoch_s is None or row.total is None:
        return None
    return max(row.total - row.done, 0) * epoch_s


def _median_epoch_s(rows: Sequence[StatusRow]) -> float | None:
    known = [row.epoch_s for row in rows if row.epoch_s is not None]
    return statistics.median(known) if known else None


def _sum_of_sweep(folder: Path, plan: Plan, rows: Sequence[StatusRow], unknown: int) -> str:
    """Summary of a sweep: its counts, whether it is active, and the remaining time."""
    words = _counts(rows)
    if unknown:
        words += f", {unknown} not chosen yet"
    if not unknown and all(row.status == "completed" for row in rows):
        return words
    process = plan.process
    if not process or not is_alive(process, folder / SWEEP):
        return f"{words}; no process works on it: continue with resume_sweep={folder}"
    usual_s = _median_epoch_s(rows)
    left = [_left_s(row, usual_s) for row in rows]
    known = [seconds for seconds in left if seconds is not None]
    if len(known) < len(left) or not known:
        return f"{words}; remaining time unknown until an epoch has ended"
    work_s = sum(known)
    if unknown:
        totals = [row.total for row in rows if row.total is not None]
        if usual_s is None or not totals:  # all failed in their first epoch
            return f"{words}; remaining time unknown until an epoch has ended"
        work_s += unknown * statistics.fmean(totals) * usual_s
    parallel = min(plan.parallel or len(rows), max(len(rows) + unknown, 1))
    return (
        f"{words}; {duration(max(work_s / parallel, *known))} left at most, without early stopping"
    )


def _counts(rows: Sequence[StatusRow]) -> str:
    counts = Counter(row.status for row in rows)
    known = [status for status in _ORDER if counts[status]]
    others = sorted(counts.keys() - set(_ORDER))
    return plain(
        f"{len(rows)} runs: " + ", ".join(f"{counts[key]} {key}" for key in [*known, *others])
    )


# -------------------------------------------------------------------------------- the table


def _table(rows: Sequence[StatusRow]) -> list[str]:
    usual_s = _median_epoch_s(rows)
    cells = [_HEADER, *(tuple(map(plain, _cells(row, usual_s))) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return [
        line
        for text, row in zip(lines, [None, *rows], strict=True)
        for line in ([text, f"    {row.reason}"] if row and row.reason else [text])
    ]


def _cells(row: StatusRow, usual_s: float | None) -> tuple[str, ...]:
    epochs = "" if row.total is None else f"{row.done}/{row.total}"
    left_s = _left_s(row, usual_s)
    left = duration(left_s) if left_s and row.status == "running" else ""
    return (row.status, epochs, row.best, left, row.name)
