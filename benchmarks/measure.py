"""Robust time and memory on a busy machine: interleaved repeats, medians, separate processes."""

from __future__ import annotations

import argparse
import csv
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sed_cli.training.memory import keep_freed_memory

Task = Callable[[], object]


def options(description: str) -> argparse.Namespace:
    """Parse the options shared by all benchmarks."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="small sizes only, few repeats")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--repeats", type=int, default=7, help="maximum rounds per figure")
    parser.add_argument("--budget", type=float, default=20.0, help="maximum seconds per figure")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor time, less disturbed by other processes; for one thread",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats = min(arguments.repeats, 3)
        arguments.budget = min(arguments.budget, 3.0)
    arguments.output.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()  # as training does
    torch.set_num_threads(arguments.threads)
    return arguments


def medians(
    tasks: Mapping[str, Task], *, repeats: int, budget: float, clock: str = "wall"
) -> dict[str, float]:
    """Time the tasks in turn, round after round, so that a busy period affects all of them.

    Args:
        tasks: by name.
        repeats: maximum number of rounds, after one that is not counted.
        budget: seconds per task; a task that takes half of it is timed once.
        clock: ``wall``, or ``cpu`` for processor time (of all threads together).

    Returns:
        Median seconds by name.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for name, task in tasks.items():
        first = _seconds(task, clock)  # compiles and allocates: counts only if that is negligible
        if first > budget / 2:
            times[name].append(first)
    for _ in range(repeats):
        for name, task in tasks.items():
            if sum(times[name]) < budget / 2:
                times[name].append(_seconds(task, clock))
    return {name: statistics.median(values) for name, values in times.items()}


def _seconds(task: Task, clock: str) -> float:
    now = time.process_time if clock == "cpu" else time.perf_counter
    gc.collect()
    gc.disable()  # a collection while timing would clean up after another task
    try:
        _synchronise()
        start = now()
        task()
        _synchronise()
        return now() - start
    finally:
        gc.enable()


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(make_tasks: Callable[..., tuple[Task, Task]], *arguments: Any) -> float:
    """Return the bytes that a task adds at its peak, measured in a separate process.

    ``make_tasks`` returns two tasks: a small one that loads libraries and compiled code, and the
    one to measure; the peak is counted from the state between them (Linux only; NaN elsewhere).
    """
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(sender, make_tasks, arguments))
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError:
        return float("nan")
    finally:
        process.join()


def _measure_peak(
    sender: Any, make_tasks: Callable[..., tuple[Task, Task]], arguments: Sequence[Any]
) -> None:
    torch.set_num_threads(1)
    small, task = make_tasks(*arguments)
    small()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    task()
    sender.send(_status("VmHWM") - before)


def _status(key: str) -> int:
    """Bytes that the kernel reports for this process under ``key``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def machine() -> str:
    """Describe the machine in general words."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    flags = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        flags = next((x for x in cpuinfo.read_text().splitlines() if x.startswith("flags")), "")
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "amx_bf16": "AMX"}
    widths = [name for flag, name in known.items() if f" {flag} " in f"{flags} "]
    return f"{os.cpu_count()} cores, {'/'.join(widths) or 'CPU'}; torch {torch.__version__}"


def write_table(path: Path, title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Write rows as CSV and as Markdown with the same name, and return the Markdown.

    Rows may have different columns.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    lines = [f"## {title}", "", f"Measured on {machine()}.", ""]
    lines += ["| " + " | ".join(names) + " |", "| " + " | ".join("---" for _ in names) + " |"]
    lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |" for row in rows]
    text = "\n".join(lines) + "\n"
    path.with_suffix(".md").write_text(text)
    return text


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)
