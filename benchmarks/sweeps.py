"""Sweeps: wall time relative to the ideal of all cores, and whether kills change the results.

    python -m benchmarks.sweeps --jobs 24 --output DIR

First an undisturbed sweep of small runs: its efficiency is the total seconds of the jobs over the
seconds of all cores while the command ran. Then the same sweep is killed (SIGKILL, the command or
one of its processes) at random moments and resumed until it is done; every configuration must exist
once, with the same scores to the last digit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sed_cli.comparison.runs import find_runs, group_runs
from sed_cli.system.pool import n_cores

_SMALL = (
    *("experiment=smoke", "device=cpu", "hydra/launcher=local"),
    *("evaluation.tune=false", "evaluation.bootstrap=0"),
)


@dataclass
class Efficiency:
    """Efficiency of a sweep, in seconds."""

    wall_s: float
    cpu_s: float  # of all its processes
    jobs_s: float  # from the start to the end of each job, added up
    workers: int

    @property
    def of_jobs(self) -> float:
        """Share of the workers' time in which they ran a job."""
        return self.jobs_s / (self.wall_s * self.workers)


def command(n_jobs: int, epochs: int, workers: int | None, *more: str) -> list[str]:
    """A sweep of small runs that differ in their seeds and rates."""
    seeds = ",".join(str(seed) for seed in range(n_jobs // 2))
    own = [f"hydra.launcher.workers={workers}"] if workers else []
    settings = (*_SMALL, f"trainer.epochs={epochs}", f"seed={seeds}", "sampler.gamma=0.05,0.2")
    return [sys.executable, "-m", "sed_cli", "train", "-m", *settings, *own, *more]


def undisturbed(arguments: list[str], folder: Path, workers: int) -> Efficiency:
    """Run a sweep to its end and time it."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([*arguments, f"output_dir={folder}"], check=True, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - started, os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return Efficiency(
        wall_s, cpu_s, sum(_seconds(path) for path in folder.rglob("run.json")), workers
    )


def _seconds(record: Path) -> float:
    """Duration of a job: from the first file that it wrote to the last."""
    first = (record.parent / ".hydra" / "config.yaml").stat().st_mtime
    return record.stat().st_mtime - first


def disturbed(arguments: list[str], folder: Path, expected_s: float, seed: int = 0) -> list[str]:
    """Run the same sweep with kills at random moments; return the processes killed."""
    draw, killed = random.Random(seed), []
    where = f"output_dir={folder}"
    while True:
        process = subprocess.Popen(
            [*arguments, where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + draw.uniform(0.1, 0.35) * expected_s
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is None and draw.random() < 0.5:
            workers = _workers(process.pid)
            if workers:
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed.append("worker")
            process.wait()
        elif process.poll() is None:
            process.kill()
            killed.append("sweep")
        code = process.wait()
        if (folder / "sweep.json").exists():
            where = f"resume_sweep={folder}"
        if code == 0:
            return killed


def _workers(parent: int) -> list[int]:
    """Processes that a sweep has started for its jobs."""
    found = subprocess.run(
        ["pgrep", "-P", str(parent), "-f", "spawn_main"], capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]


def scores(folder: Path) -> dict[str, Any]:
    """Scores of each configuration of a sweep, and all of its epochs except for their times."""
    found: dict[str, Any] = {}
    runs = find_runs([folder])
    for configuration in group_runs(runs):
        for run in configuration.runs:
            key = json.dumps([configuration.settings, run.seed], sort_keys=True, default=str)
            assert key not in found, f"{run.name}: this configuration occurs twice"
            assert run.trouble is None, f"{run.name}: {run.trouble}"
            metrics = json.loads((run.folder / "metrics.json").read_text())
            lines = (run.folder / "history.csv").read_text().splitlines()
            found[key] = (metrics, [line.rsplit(",", 1)[0] for line in lines])
    return found


def main() -> None:
    """Print both figures and save them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=n_cores())
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks/sweeps"))
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    arguments = parser.parse_args()
    line = command(arguments.jobs, arguments.epochs, arguments.workers)
    found = undisturbed(line, arguments.output / "undisturbed", arguments.workers)
    print(
        f"{arguments.jobs} jobs on {found.workers} processes: {found.wall_s:.1f} s, "
        f"{found.cpu_s:.1f} s of processor; at jobs {found.of_jobs:.0%} of the time"
    )
    killed = disturbed(line, arguments.output / "disturbed", found.wall_s, arguments.seed)
    same = scores(arguments.output / "undisturbed") == scores(arguments.output / "disturbed")
    print(f"killed {len(killed)} times ({', '.join(killed)}): scores equal: {same}")
    if not same or len(scores(arguments.output / "disturbed")) != arguments.jobs:
        sys.exit(1)


if __name__ == "__main__":
    main()
