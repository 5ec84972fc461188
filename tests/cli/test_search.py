"""Searches: a failed trial affects nothing else, and a study resumes where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def _trial(**given: Any) -> dict[str, Any]:
    """A line of a journal: a finished trial."""
    at = "2026-01-01T00:00:00.000000"
    usual: dict[str, Any] = {"state": 1, "values": [0.5], "params": {}, "distributions": {}}
    usual["user_attrs"] = {"folder": "a", "overrides": []}
    times = {"datetime_start": at, "datetime_complete": at}
    return {"op_code": 4, "worker_id": "x", "study_id": 0, **times, **usual, **given}


_CHOICES = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [1, 2]}})
_OTHER_SPACE = {"params": {"seed": 0}, "distributions": {"seed": _CHOICES}}


@pytest.mark.parametrize(
    ("directions", "trials"),
    [
        ([2, 2], []),
        ([1], []),
        ([2], [_trial(user_attrs={})]),
        ([2], [_trial(values=["much"])]),
        ([2], [_trial(**_OTHER_SPACE)]),
        ([2], [_trial(user_attrs={})] * 50_000),
    ],
    ids=["two values", "minimised", "no folder", "no number", "other space", "too many"],
)
def test_a_journal_of_another_kind_is_refused_in_a_line(
    directions: list[int],
    trials: list[dict[str, Any]],
    sedtf: Sedtf,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    study = {"op_code": 0, "worker_id": "x", "study_name": "sweep", "directions": directions}
    (tmp_path / "sweep").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in [study, *trials])
    (tmp_path / "sweep" / "study.log").write_text(text)
    Plan(verb="train", command=[], jobs=[]).write(tmp_path / "sweep")
    is_asked = trials == [_trial(**_OTHER_SPACE)]
    count = f"hydra.sweeper.n_trials={2 if is_asked else 1}"

    assert sedtf("train", *SEARCH, count, "resume_sweep=sweep", multirun=True) == 2
    err = capfd.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("sedtf: sweep/study.log: ") or "/sweep/study.log: " in err
    assert "hardly a file of sedtf" in err or "not a readable Optuna study" in err
