"""Status of runs while they run, and of those that ended, for whatever reason."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sed_cli.cli.sweeps.status import describe
from sed_cli.errors import UserError
from sed_cli.system.files import write_json
from sed_cli.system.records import Plan, Planned, duration, state, this_process
from tests.conftest import Sedtf

ELSEWHERE = {"host": "node7", "machine": "another", "pid": 1, "since": "1"}


def run(folder: Path, status: str, f1: tuple[float, ...] = (), **record: Any) -> None:
    folder.mkdir(parents=True)
    write_json(folder / "run.json", {"status": status, "verb": "train"} | record)
    rows = [f"{epoch},{value},2.0" for epoch, value in enumerate(f1, start=1)]
    (folder / "history.csv").write_text("\n".join(["epoch,validation_f1,seconds", *rows]))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("trainer: {epochs: 10, monitor: validation_f1}")


def test_a_sweep_is_listed_with_what_waits(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    run(sweep / "a", "completed", (0.1, 0.5, 0.4))
    run(sweep / "b", "running", (0.2,), process=this_process())
    run(sweep / "c", "failed", error="ValueError: no luck")
    jobs = [Planned(name, [], "", epochs=10) for name in "abcd"]
    Plan("train", [], jobs, parallel=2, process=this_process()).write(sweep)
    lines = describe(sweep)
    assert [line.split() for line in lines[1:3]] == [
        ["completed", "3/10", "F1", "0.500", "a"],
        ["running", "1/10", "F1", "0.200", "18", "s", "b"],
    ]
    assert lines[4].strip() == "ValueError: no luck"
    assert lines[5].split() == ["waiting", "0/10", "d"]
    # 9 epochs of b and 10 of d, of 2 s each, in parallel: d takes longest
    assert lines[-1] == (
        "4 runs: 1 running, 1 completed, 1 failed, 1 waiting; "
        "20 s left at most, without early stopping"
    )


def test_who_is_at_work_is_found_out_here_and_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {})
    here = this_process()
    assert state(path, {"status": "running", "process": here}) == "running"
    assert state(path, {"status": "running", "process": {**here, "pid": 2**22 + 1}}) == (
        "interrupted"
    )
    # the process number may have been reused
    assert state(path, {"status": "running", "process": {**here, "since": "1"}}) == "interrupted"
    assert state(path, {"status": "running", "process": ELSEWHERE}) == "running"
    os.utime(path, times=(time.time() - 600,) * 2)  # no sign of life for ten minutes
    assert state(path, {"status": "running", "process": ELSEWHERE}) == "interrupted"
    os.utime(path, times=(time.time() + 600,) * 2)  # by a clock that is ahead
    assert state(path, {"status": "running", "process": ELSEWHERE}) == "running"
    os.utime(path, times=(time.time() + 10**7,) * 2)  # before the clock was set back
    assert state(path, {"status": "running", "process": ELSEWHERE}) == "interrupted"
    assert state(path, {"status": "completed", "process": ELSEWHERE}) == "completed"


def test_a_sweep_without_a_process_prints_how_to_resume(tmp_path: Path) -> None:
    Plan("train", [], [Planned("a", [], "")]).write(tmp_path)
    assert describe(tmp_path)[-1].endswith(f"continue with resume_sweep={tmp_path}")
    (tmp_path / "sweep.json").write_text("{")
    run(tmp_path / "other", "completed")
    assert describe(tmp_path)[-1] == "1 runs: 1 completed"


def test_a_search_whose_trials_all_failed_at_once_is_reported_without_a_time(
    tmp_path: Path,
) -> None:
    run(tmp_path / "a", "failed", error="ValueError: no luck")
    jobs = [Planned("a", [], "", epochs=10)]
    plan = Plan("train", [], jobs, total=1, process=this_process())
    plan.write(tmp_path)
    assert describe(tmp_path)[-1].startswith("1 runs: 1 failed")
    plan.total = 3
    plan.write(tmp_path)
    assert describe(tmp_path)[-1].endswith("remaining time unknown until an epoch has ended")


def test_jobs_that_a_resumed_sweep_did_not_name_are_listed_and_comparisons_are_not(
    tmp_path: Path,
) -> None:
    for name in ("seed=0", "seed=1"):
        run(tmp_path / name, "completed", (0.5,))
    run(tmp_path / "comparison", "completed", verb="compare")
    Plan("train", [], [Planned("seed=1", [], "")]).write(tmp_path)
    named = [line.split()[-1] for line in describe(tmp_path) if line.startswith("completed")]
    assert named == ["seed=1", "seed=0"]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run or sweep found"):
        describe(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        describe(tmp_path / "nowhere")


def test_the_verb_takes_its_folder_as_a_word(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "runs" / "sampler.gamma=0.1,seed=1", "completed", (0.25,))
    assert sedtf("status", "runs/sampler.gamma=0.1,seed=1") == 0
    assert "F1 0.250" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.84, "0.8 s"), (40.0, "40 s"), (700.0, "12 min"), (12000, "3 h 20 min")]
)
def test_durations_are_written_as_a_person_would(seconds: float, text: str) -> None:
    assert duration(seconds) == text
