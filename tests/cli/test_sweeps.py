"""Sweeps survive failures of their jobs, and resume where they stopped."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from benchmarks import sweeps as benchmark
from sed_cli.cli import verbs
from sed_cli.cli.sweeps.local import LocalLauncher
from sed_cli.cli.sweeps.plan import plan_jobs
from sed_cli.cli.sweeps.sweep import Sweep
from sed_cli.cli.task import DONE, INTERRUPTED, Outcome
from sed_cli.config.provenance import RunRecord
from sed_cli.config.verbs import TrainConfig
from sed_cli.system.files import write_json
from sed_cli.system.records import Plan, Planned, this_process
from tests.conftest import Sedtf

Failing = dict[int, BaseException]


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[int, str | None]]]:
    """Replace training by instant work; returns the calls in order."""
    done: list[tuple[int, str | None]] = []

    def work(config: TrainConfig, run_dir: Path) -> float:
        with RunRecord(run_dir, "train", config, seed=config.seed) as record:
            done.append((config.seed, config.resume and Path(config.resume).name))
            if config.seed in FAILING:
                raise FAILING[config.seed]
            record.update(objective=config.seed / 10)
        return config.seed / 10

    monkeypatch.setattr(
        verbs, "load", lambda name: (lambda config: {}) if "prepare" in name else work
    )
    FAILING.clear()

    def take() -> list[tuple[int, str | None]]:
        taken = list(done)
        done.clear()
        return taken

    return take


FAILING: Failing = {}


def table(text: str) -> dict[str, tuple[str, str]]:
    """Status and objective by folder, from the output of a sweep."""
    rows = [line.split("\t") for line in text.splitlines()]
    return {Path(row[2]).name: (row[0], row[1]) for row in rows if len(row) == 4}


def test_jobs_that_raise_or_exit_leave_the_others_whole_and_are_run_again(
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    FAILING.update({0: ValueError("no luck"), 1: SystemExit(0)})
    assert sedtf("train", "seed=0,1,2,3", "output_dir=sweep", multirun=True) == 1
    out, err = capfd.readouterr()
    assert table(out) == {
        "seed=0": ("failed", ""),
        "seed=1": ("failed", ""),
        "seed=2": ("done", "0.2000"),
        "seed=3": ("done", "0.3000"),
    }
    assert "no luck" in err
    assert "resume_sweep=" in err
    assert "Traceback" not in err
    assert len(worked()) == 4
    FAILING.clear()
    assert sedtf("train", "seed=0,1,2,3", "resume_sweep=sweep", multirun=True) == 0
    assert worked() == [(0, "seed=0"), (1, "seed=1")]
    assert table(capfd.readouterr().out)["seed=0"] == ("done", "0.0000")
    assert sedtf("train", "seed=0,1,2,3", "resume_sweep=sweep", multirun=True) == 0
    assert worked() == []
    plan = Plan.read(tmp_path / "sweep")
    assert plan is not None
    assert [planned.folder for planned in plan.jobs] == [f"seed={seed}" for seed in range(4)]
    assert plan.status == "completed"


def test_an_interrupted_sweep_prints_how_to_resume(
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    FAILING[1] = KeyboardInterrupt()
    assert sedtf("train", "seed=0,1,2", "output_dir=sweep", multirun=True) == 130
    out, err = capfd.readouterr()
    assert [status for status, _ in table(out).values()] == ["done", "interrupted", "waiting"]
    assert f"continue with: sedtf train -m seed=0,1,2 resume_sweep={tmp_path}/sweep" in err
    FAILING.clear()
    worked()
    assert sedtf("train", "seed=0,1,2", "resume_sweep=sweep", multirun=True) == 0
    assert worked() == [(1, "seed=1"), (2, None)]


def test_what_is_printed_for_resuming_works_verbatim(
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also in a folder whose name is special to a shell and to Hydra."""
    place = tmp_path / "it's (mine) [1], x=2; ünicode"
    place.mkdir()
    monkeypatch.chdir(place)
    FAILING[1] = ValueError("no luck")
    assert sedtf("train", "seed=0,1", "output_dir=sweep", multirun=True) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "run the remaining" in line]
    words = shlex.split(line.partition("with: ")[2])
    assert words[:3] == ["sedtf", "train", "-m"]
    FAILING.clear()
    worked()
    assert sedtf("train", *words[3:], multirun=True) == 0
    assert worked() == [(1, "seed=1")]


def test_what_died_while_it_ran_is_resumed_in_folders_of_old_too(
    sedtf: Sedtf, tmp_path: Path, worked: Callable[[], list[tuple[int, str | None]]]
) -> None:
    """Before sweeps had a plan, the folders of their jobs were numbered."""
    sweep = tmp_path / "sweep"
    assert sedtf("train", "seed=0,1", "output_dir=sweep", multirun=True) == 0
    for seed in "01":
        (sweep / f"seed={seed}").rename(sweep / seed)
    (sweep / "sweep.json").unlink()
    record = json.loads((sweep / "1" / "run.json").read_text())
    dead = {**this_process(), "pid": 2**22 + 1}  # above the kernel's maximum
    write_json(sweep / "1" / "run.json", record | {"status": "running", "process": dead})
    worked()
    assert sedtf("train", "seed=0,1,2", "resume_sweep=sweep", multirun=True) == 0
    assert worked() == [(1, "1"), (2, None)]


def test_a_sweep_of_other_settings_gets_folders_of_its_own(
    sedtf: Sedtf, tmp_path: Path, worked: Callable[[], list[tuple[int, str | None]]]
) -> None:
    assert sedtf("train", "seed=0,0", "output_dir=sweep", multirun=True) == 0
    assert len(worked()) == 2
    more = ("seed=0,1", "trainer.epochs=3", "resume_sweep=sweep")
    assert sedtf("train", *more, multirun=True) == 0
    assert len(worked()) == 2
    folders = sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert folders == ["seed=0", "seed=0-2", "seed=0-3", "seed=1"]


@pytest.mark.slow
def test_a_sweep_over_places_of_data_knows_them_apart_whatever_is_resumed(
    sedtf: Sedtf, tmp_path: Path, worked: Callable[[], list[tuple[int, str | None]]]
) -> None:
    """The config hash leaves out paths of data: moving data does not change the experiment."""
    here = ("data=annotated", "output_dir=sweep", "data.root=a,b")
    FAILING[0] = ValueError("no luck")
    assert sedtf("train", *here, multirun=True) == 1
    FAILING.clear()
    worked()
    assert sedtf("train", "data=annotated", "data.root=b", "resume_sweep=sweep", multirun=True) == 0
    assert worked() == [(0, "data.root=b")]
    assert sedtf("train", *here[::2], "resume_sweep=sweep", multirun=True) == 0
    assert worked() == [(0, "data.root=a")]
    moved = ("data=annotated", "seed=1", "resume_sweep=moved")
    assert sedtf("train", *moved[:2], "data.root=a", "output_dir=moved", multirun=True) == 0
    worked()
    assert sedtf("train", *moved, "data.root=c", multirun=True) == 0
    assert worked() == []


def test_two_sweeps_never_share_a_folder(
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert sedtf("train", "seed=0,1", "output_dir=sweep", multirun=True) == 0
    assert sedtf("train", "seed=0,1", "output_dir=sweep", multirun=True) == 2
    assert "already holds a sweep" in capfd.readouterr().err
    plan = Plan.read(tmp_path / "sweep")
    assert plan is not None
    plan.process = this_process()
    plan.write(tmp_path / "sweep")
    monkeypatch.setattr("sed_cli.cli.sweeps.plan._GIVES_WAY_S", 0.3)
    assert sedtf("train", "seed=0,1", "resume_sweep=sweep", multirun=True) == 2
    assert f"process {os.getpid()}" in capfd.readouterr().err


def test_a_process_that_is_lost_after_its_job_is_done_leaves_it_done(tmp_path: Path) -> None:
    planned = [Planned("a", [], ""), Planned("b", [], "")]
    sweep = Sweep(tmp_path, OmegaConf.create(), LocalLauncher(), Plan("train", [], planned))
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / "run.json", {"status": "completed", "objective": 0.5})
    for each in planned:
        sweep.note(each, Outcome(INTERRUPTED, "", error="its process ended by SIGKILL"))
    assert sweep.outcomes["a"] == Outcome(DONE, str(tmp_path / "a"), objective=0.5)
    assert sweep.outcomes["b"].status == INTERRUPTED


def test_a_job_without_settings_is_told_by_its_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    planned = Planned("defaults", [], "")
    sweep = Sweep(tmp_path, OmegaConf.create(), LocalLauncher(), Plan("train", [], [planned]))
    sweep.note(planned, Outcome(INTERRUPTED, "", error="interrupted"))
    assert sweep.summarise() == 1
    assert "job defaults: interrupted" in capfd.readouterr().err


def test_a_job_that_is_at_work_is_not_resumed_beside_it(
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert sedtf("train", "seed=0,1", "output_dir=sweep", multirun=True) == 0
    path = tmp_path / "sweep" / "seed=1" / "run.json"
    record = json.loads(path.read_text()) | {"status": "running"}
    write_json(path, record | {"process": this_process()})
    worked()
    assert sedtf("train", "resume=sweep/seed=1") == 2
    assert "still active" in capfd.readouterr().err
    write_json(path, record | {"process": {**this_process(), "pid": 2**22 + 1}})
    assert sedtf("train", "resume=sweep/seed=1") == 0
    assert worked() == [(1, "seed=1")]


@pytest.mark.parametrize("place", ["resume_sweep=sweep", "output_dir=sweep"])
def test_of_two_commands_at_the_same_time_one_is_refused(
    place: str,
    sedtf: Sedtf,
    tmp_path: Path,
    worked: Callable[[], list[tuple[int, str | None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other one claims the folder while this one composes its jobs."""
    (tmp_path / "sweep").mkdir()

    def while_another_comes(*arguments: Any) -> list[Planned]:
        Plan("train", [], [], process=this_process()).write(tmp_path / "sweep")
        return plan_jobs(*arguments)

    monkeypatch.setattr("sed_cli.cli.sweeps.run.plan_jobs", while_another_comes)
    monkeypatch.setattr("sed_cli.cli.sweeps.plan._GIVES_WAY_S", 0.1)
    assert sedtf("train", "seed=0,1", place, multirun=True) == 2
    assert worked() == []


@pytest.mark.parametrize(
    ("overrides", "multirun", "expected"),
    [
        (["resume_sweep=somewhere"], False, "add -m"),
        (["resume_sweep=nowhere", "seed=0,1"], True, "resume_sweep=nowhere: no such folder"),
        (["resume=somewhere", "seed=0,1"], True, "resume_sweep="),
        (["sampler.gamma=interval(0.1,1)"], True, "hydra/sweeper=optuna"),
    ],
)
def test_sweeps_asked_for_wrongly_get_one_line(
    overrides: list[str],
    multirun: bool,
    expected: str,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert sedtf("train", *overrides, multirun=multirun) == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert expected in said[0]


@pytest.mark.parametrize(
    ("choice", "package", "extra"),
    [
        ("hydra/launcher=slurm", "submitit", "slurm"),
        ("hydra/sweeper=optuna", "optuna", "optuna"),
    ],
)
def test_a_missing_extra_is_named(
    choice: str,
    package: str,
    extra: str,
    sedtf: Sedtf,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert sedtf("train", choice, "seed=0,1", multirun=True) == 2
    assert f"pip install 'sedtf[{extra}]'" in capfd.readouterr().err


@pytest.mark.slow
def test_a_sweep_killed_at_random_moments_comes_to_the_same(tmp_path: Path) -> None:
    line = benchmark.command(6, 6, 2)
    found = benchmark.undisturbed(line, tmp_path / "undisturbed", 2)
    killed = benchmark.disturbed(line, tmp_path / "disturbed", found.wall_s)
    assert killed
    expected = benchmark.scores(tmp_path / "undisturbed")
    assert len(expected) == 6
    assert benchmark.scores(tmp_path / "disturbed") == expected
