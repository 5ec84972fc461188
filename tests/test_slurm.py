"""Sweeps on a real SLURM: a cluster of one node, started for these tests."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sed_cli.system import queue as slurm
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf
from tests.slurm_cluster import missing_commands, one_node_cluster

_LONG = ("trainer.epochs=60", "trainer.patience=1000")  # about 10 s: enough time to interrupt
_LIMIT = "PENDING (JobArrayTaskLimit)"
_JOB_STARTS_WITHIN_S = 180.0  # the machine may be busy

Submit = Callable[..., "Sweep"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster that sbatch and the other commands use while the tests of this file run."""
    missing = missing_commands()
    if missing:
        pytest.skip(f"no SLURM here (no {', '.join(missing)}): apt-get install slurm-wlm munge")
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("no submitit here: pip install 'sedtf[slurm]'")
    with one_node_cluster(n_gpus=2) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def submit(cluster: None, tmp_path: Path) -> Iterator[Submit]:
    """Start sweeps in the folder of the test; all are stopped at its end."""
    sweeps: list[Sweep] = []

    def start(*overrides: str) -> Sweep:
        sweeps.append(Sweep(tmp_path, *overrides))
        return sweeps[-1]

    yield start
    for sweep in sweeps:
        sweep.kill()
    jobs = subprocess.check_output(["squeue", "--me", "--noheader", "--format=%A"], text=True)
    slurm.cancel(jobs.split())


class Sweep:
    """A sweep on the cluster, in a separate process, as a user would start it."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder / "sweep"
        command = [sys.executable, "-m", "sed_cli", "train", "-m", "hydra/launcher=slurm"]
        settings = (*TINY, *TINY_SOUNDSCAPES, *overrides)
        if not any(word.startswith("resume_sweep=") for word in overrides):
            settings = (*settings, f"output_dir={self.folder}")
        self._process = subprocess.Popen(
            [*command, *settings],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = self.results = ""

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        self.results, self.said = self._process.communicate(timeout=300)
        return self._process.returncode

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def kill(self) -> None:
        """Simulate a closed terminal."""
        self._process.kill()
        self._process.communicate()

    def runs(self) -> dict[str, Path]:
        """Run folders by their SLURM job id, such as ``3_0``."""
        found = {}
        for path in self.folder.glob("*/.hydra/hydra.yaml"):
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not settings:  # it is being written
                continue
            found[str(settings["hydra"]["job"]["id"])] = path.parent.parent
        return found

    def wait_for_epochs(self, count: int, n_runs: int) -> dict[str, Path]:
        """Wait until ``n_runs`` runs have trained ``count`` epochs; return those."""
        deadline = time.monotonic() + _JOB_STARTS_WITHIN_S
        while time.monotonic() < deadline:
            runs = {job: run for job, run in self.runs().items() if len(history(run)) >= count}
            if len(runs) >= n_runs:
                return runs
            time.sleep(0.2)
        pytest.fail(f"{n_runs} runs did not train {count} epochs in {_JOB_STARTS_WITHIN_S} s")


def history(run: Path) -> list[dict[str, str]]:
    path = run / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def learnt(run: Path) -> list[dict[str, str]]:
    """History without times."""
    return [{key: row[key] for key in row if key != "seconds"} for row in history(run)]


def status(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text(encoding="utf-8"))["status"])


def states(array: str) -> dict[str, str]:
    """States of the jobs of an array, once none is about to end."""
    deadline = time.monotonic() + _JOB_STARTS_WITHIN_S
    while time.monotonic() < deadline:
        known = slurm.queue() or {}
        found = {job: state for job, state in known.items() if job.split("_")[0] == array}
        if not set(found.values()) & {"RUNNING", "COMPLETING"}:
            return found
        time.sleep(0.5)
    pytest.fail(f"the jobs do not end: {found}")


def learning_rate(run: Path) -> float:
    """The learning rate of a job."""
    words = yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    return float(next(word for word in words if word.startswith("trainer.lr=")).split("=")[1])


@pytest.mark.slow
def test_one_failing_job_of_six_leaves_the_others_whole(
    submit: Submit, tmp_path: Path, sedtf: Sedtf
) -> None:
    sweep = submit("trainer.lr=0.001,0.002,0.003,0.004,0.005,1e30")
    assert sweep.end() == 1, sweep.said

    runs = sweep.runs()
    assert len(runs) == 6
    array = min(runs).split("_")[0]
    assert states(array) == dict.fromkeys(runs, "COMPLETED")

    failed = [run for run in runs.values() if status(run) == "failed"]
    assert [learning_rate(run) for run in failed] == [1e30]
    rows = [line.split("\t") for line in sweep.results.splitlines()]
    assert [row[0] for row in rows] == ["done"] * 5 + ["failed"]
    assert [Path(row[2]) for row in rows] == sorted(runs.values())
    (line,) = [line for line in sweep.said.splitlines() if "lower trainer.lr" in line]
    assert failed[0].name in line

    for run in set(runs.values()) - set(failed):
        assert status(run) == "completed"
        assert len(history(run)) == 2  # epochs of trainer=smoke
        for name in ("metrics.json", "events.tsv", "train.log", "checkpoints/best/config.yaml"):
            assert (run / name).is_file(), f"{run.name} has no {name}"

    # Only the sweep's folder, which also contains the output of the jobs.
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    for job in runs:
        assert (sweep.folder / ".submitit" / job / f"{job}_0_log.err").is_file()

    assert sedtf("compare", str(sweep.folder), "output_dir=table") == 0
    table = json.loads((tmp_path / "table" / "comparison.json").read_text(encoding="utf-8"))
    assert len(table["rows"]) == 5
    assert [Path(left["folder"]) for left in table["left_out"]] == failed


@pytest.mark.slow
def test_a_job_that_is_put_back_continues_as_if_nothing_had_been(
    submit: Submit, tmp_path: Path, sedtf: Sedtf
) -> None:
    sweep = submit(*_LONG, "seed=0,1", "hydra.launcher.max_num_timeout=1")
    warned, requeued = sorted(sweep.wait_for_epochs(5, n_runs=2))
    subprocess.run(["scancel", "--signal=USR2", warned], check=True)  # its time is nearly up
    subprocess.run(["scontrol", "requeue", requeued], check=True)  # as on preemption
    assert sweep.end() == 0, sweep.said
    for seed, job in enumerate((warned, requeued)):
        said = subprocess.check_output(["scontrol", "show", "job", job], text=True)
        assert "Restarts=1 " in said
        run, undisturbed = sweep.runs()[job], f"undisturbed{seed}"
        settings = (*TINY, *TINY_SOUNDSCAPES, *_LONG, f"seed={seed}")
        assert sedtf("train", *settings, f"output_dir={undisturbed}") == 0
        assert status(run) == "completed"
        assert learnt(run) == learnt(tmp_path / undisturbed)


@pytest.mark.slow
def test_a_cancelled_job_is_reported_and_resumed_with_its_sweep(
    submit: Submit, tmp_path: Path, sedtf: Sedtf
) -> None:
    sweep = submit(*_LONG, "seed=0,1")
    cancelled = min(sweep.wait_for_epochs(5, n_runs=2))
    subprocess.run(["scancel", cancelled], check=True)
    assert sweep.end() == 1
    assert f"SLURM job {cancelled} ended as CANCELLED" in sweep.said
    run = sweep.runs()[cancelled]
    assert status(run) == "interrupted"
    n_epochs = len(history(run))
    assert n_epochs < 60
    assert "completed" in {status(other) for other in sweep.runs().values()}

    resumed = submit(*_LONG, "seed=0,1", f"resume_sweep={sweep.folder}")
    assert resumed.end() == 0, resumed.said
    assert {status(other) for other in sweep.runs().values()} == {"completed"}
    assert sedtf("train", *TINY, *TINY_SOUNDSCAPES, *_LONG, "seed=0", "output_dir=undisturbed") == 0
    assert learnt(run) == learnt(tmp_path / "undisturbed")


@pytest.mark.slow
def test_ctrl_c_takes_the_jobs_out_of_the_queue(submit: Submit, tmp_path: Path) -> None:
    sweep = submit(*_LONG, "seed=0,1,2", "hydra.launcher.array_parallelism=1")
    (first,) = sweep.wait_for_epochs(5, n_runs=1)
    array = first.split("_")[0]
    waiting = {job: state for job, state in (slurm.queue() or {}).items() if job != first}
    assert waiting.items() >= dict.fromkeys([f"{array}_1", f"{array}_2"], _LIMIT).items()
    assert sweep.interrupt() == 130
    assert f"cancelled SLURM job {array} (1 running, 2 pending)" in sweep.said
    assert set(states(array).values()) == {"CANCELLED"}
    assert {job: status(run) for job, run in sweep.runs().items()} == {first: "interrupted"}
    assert [line.split("\t")[0] for line in sweep.results.splitlines()] == [
        "interrupted",
        "waiting",
        "waiting",
    ]


@pytest.mark.slow
def test_a_sweep_that_still_waits_in_the_queue_is_not_submitted_again(submit: Submit) -> None:
    held = ("seed=0,1", "+hydra.launcher.additional_parameters.hold=true")
    sweep = submit(*held)
    deadline = time.monotonic() + _JOB_STARTS_WITHIN_S
    while "PENDING (JobHeldUser)" not in (slurm.queue() or {}).values():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sweep.kill()  # the terminal is gone; the jobs continue
    again = submit(*held, f"resume_sweep={sweep.folder}")
    assert again.end() == 2
    assert "2 jobs of this sweep are still in SLURM's queue" in again.said


@pytest.mark.slow
def test_what_slurm_does_not_take_is_reported_in_one_line(submit: Submit) -> None:
    sweep = submit("seed=0,1", "hydra.launcher.partition=nowhere")
    assert sweep.end() == 2
    (line,) = [line for line in sweep.said.splitlines() if line.startswith("sedtf: SLURM")]
    assert "invalid partition specified: nowhere" in line


@pytest.mark.slow
def test_each_job_gets_a_gpu_of_its_own(submit: Submit, tmp_path: Path) -> None:
    fits = ("hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=4")
    sweep = submit(*_LONG, "seed=0,1", "hydra/launcher=slurm_gpu", *fits)
    runs = sweep.wait_for_epochs(1, n_runs=2)
    cards = []
    for job in runs:
        said = subprocess.check_output(["scontrol", "--details", "show", "job", job], text=True)
        cards += re.findall(r"GRES=gpu\S*\(IDX:(\d+)\)", said)
    assert sorted(cards) == ["0", "1"]
    (script,) = sweep.folder.glob(".submitit/*/*_submission.sh")
    assert "#SBATCH --gpus-per-node=1\n" in script.read_text(encoding="utf-8")
    assert sweep.end() == 0, sweep.said


def test_signals_of_slurm_are_left_alone_outside_of_its_jobs() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    with slurm.ends_as_interrupted():
        assert signal.getsignal(signal.SIGUSR2) is before


@pytest.fixture
def slurm_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Make this process a SLURM job; collects the signals that reach submitit."""
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGUSR2)
    before = [signal.signal(each, lambda number, _: received.append(number)) for each in numbers]
    yield received
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def receive(signum: int) -> None:
    """Work until a signal arrives."""
    with slurm.ends_as_interrupted():
        os.kill(os.getpid(), signum)
        time.sleep(10)


def test_submitit_has_its_turn_once_the_work_has_stopped(slurm_job: list[int]) -> None:
    heard_at_work: list[int] = []

    def work() -> None:
        with slurm.ends_as_interrupted():
            try:
                os.kill(os.getpid(), signal.SIGUSR2)
                time.sleep(10)
            finally:
                heard_at_work.extend(slurm_job)

    with pytest.raises(SystemExit):
        work()
    assert heard_at_work == []
    assert slurm_job == [signal.SIGUSR2]


def test_a_cancelled_job_is_not_put_back(slurm_job: list[int]) -> None:
    with pytest.raises(SystemExit):
        receive(signal.SIGTERM)
    assert slurm_job == []


def test_a_job_that_may_not_run_again_reports_that_its_time_is_up(slurm_job: list[int]) -> None:
    def refuse(number: int, frame: object) -> None:
        raise RuntimeError("timed-out too many times")

    signal.signal(signal.SIGUSR2, refuse)
    with pytest.raises(slurm.TimeIsUpError, match="timeout_min"):
        receive(signal.SIGUSR2)
