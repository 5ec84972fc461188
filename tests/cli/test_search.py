"""Searches: a failed trial affects nothing else, and a study resumes where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sed_cli.cli import verbs
from sed_cli.config.provenance import RunRecord
from sed_cli.config.verbs import TrainConfig
from sed_cli.errors import SedtfError
from sed_cli.system.records import Plan
from tests.conftest import Sedtf

optuna = pytest.importorskip("optuna")

SEARCH = ("hydra/sweeper=optuna", "sampler.gamma=tag(log,interval(0.001,1))", "seed=range(0,50)")


def test_a_study_survives_failures_and_interruption(
    sedtf: Sedtf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tried: list[tuple[float, int]] = []
    ends: dict[int, BaseException] = {1: SedtfError("no luck"), 3: KeyboardInterrupt()}

    def work(config: TrainConfig, run_dir: Path) -> float:
        with RunRecord(run_dir, "train", config, seed=config.seed) as record:
            tried.append((config.sampler.gamma, config.seed))  # type: ignore[attr-defined]
            if len(tried) - 1 in ends:
                raise ends.pop(len(tried) - 1)
            record.update(objective=-tried[-1][0])
        return -tried[-1][0]

    monkeypatch.setattr(
        verbs, "load", lambda name: (lambda config: {}) if "prepare" in name else work
    )
    count = "hydra.sweeper.n_trials=5"
    assert sedtf("train", *SEARCH, count, "output_dir=sweep", multirun=True) == 130
    assert len(tried) == 4
    capfd.readouterr()
    assert sedtf("train", *SEARCH, count, "resume_sweep=sweep", multirun=True) == 1
    out = capfd.readouterr().out
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        "done", "failed", "done", "done", "done"
    ]  # fmt: skip
    assert tried[4] == tried[3]  # the interrupted trial is run again
    assert len({*tried}) == 5
    assert all(0.001 <= gamma <= 1 and 0 <= seed < 50 for gamma, seed in tried)
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    good = [gamma for index, (gamma, _) in enumerate(tried) if index != 1]
    assert found["best_evaluated_result"] == -min(good)
    assert (tmp_path / "sweep" / found["best_folder"] / "run.json").is_file()
    plan = Plan.read(tmp_path / "sweep")
    assert plan is not None
    assert (len(plan.jobs), plan.total) == (5, 5)


@pytest.mark.slow
def test_a_study_in_a_database_belongs_to_one_sweep(
    sedtf: Sedtf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work(config: TrainConfig, run_dir: Path) -> float:
        with RunRecord(run_dir, "train", config, seed=config.seed):
            return 0.5

    monkeypatch.setattr(
        verbs, "load", lambda name: (lambda config: {}) if "prepare" in name else work
    )
    stored = (*SEARCH, f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db")
    one, two = "hydra.sweeper.n_trials=1", "hydra.sweeper.n_trials=2"
    assert sedtf("train", *stored, one, "output_dir=sweep", multirun=True) == 0
    assert sedtf("train", *stored, two, "output_dir=other", multirun=True) == 2
    assert f"continue it with resume_sweep={tmp_path}/sweep" in capfd.readouterr().err
    other = ("hydra.sweeper.study_name=other", "output_dir=another")
    assert sedtf("train", *stored, two, *other, multirun=True) == 0
    capfd.readouterr()
    assert sedtf("train", *stored, two, "resume_sweep=sweep", multirun=True) == 0
    assert "other settings" not in capfd.readouterr().err
    longer = (*stored, two, "trainer.epochs=7", "resume_sweep=sweep")
    assert sedtf("train", *longer, multirun=True) == 0
    assert "other settings (trainer.epochs=7)" in capfd.readouterr().err
    assert len(list((tmp_path / "sweep").rglob("run.json"))) == 2


def test_a_search_over_nothing_is_refused(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    assert sedtf("train", "hydra/sweeper=optuna", "seed=1", multirun=True) == 2
    assert "nothing to search over" in capfd.readouterr().err
