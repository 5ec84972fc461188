"""Loggers of optional packages, against modules that record their calls."""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

from sed_cli.training.history import Epoch
from sed_cli.training.logger import LoggedRun, Logger
from sed_cli.training.loggers.mlflow import MLflow
from sed_cli.training.loggers.wandb import WeightsAndBiases
from tests.conftest import Sedtf


class Told(NamedTuple):
    """The runs recorded by a service, by their ids."""

    points: dict[str, dict[int, dict[str, float]]]  # by run and epoch
    settings: dict[str, dict[str, Any]]
    ends: dict[str, Any]


def module(name: str, patch: pytest.MonkeyPatch, **contents: Any) -> None:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(contents)
    patch.setitem(sys.modules, name, made)


def fake_wandb(told: Told, patch: pytest.MonkeyPatch) -> None:
    def init(*, id: str | None, config: dict[str, Any], mode: str, **options: Any) -> Any:
        assert mode == "offline"
        assert options["settings"] == {"console": "off"}
        own = id or f"run{len(told.settings)}"
        told.settings[own] = config
        return SimpleNamespace(
            id=own,
            log=lambda row, step: told.points[own].update({step: row}),
            finish=lambda exit_code: told.ends.update({own: exit_code}),
        )

    module("wandb", patch, init=init, Settings=dict)


def fake_mlflow(told: Told, patch: pytest.MonkeyPatch) -> None:
    class MlflowException(Exception):  # noqa: N818 (the name that it has)
        pass

    class MlflowClient:
        def get_experiment_by_name(self, name: str) -> Any:
            assert name == "sedtf"
            return SimpleNamespace(experiment_id="1") if told.settings else None

        def create_experiment(self, name: str) -> str:
            return "1"

        def create_run(self, experiment: str, run_name: str) -> Any:
            assert experiment == "1"
            own = f"run{len(told.settings)}"
            told.settings[own] = {}
            return SimpleNamespace(info=SimpleNamespace(run_id=own))

        def update_run(self, own: str, status: str) -> None:
            if own not in told.settings:
                raise MlflowException("no such run")

        def log_batch(self, own: str, metrics: Any = (), params: Any = ()) -> None:
            assert len(params) <= 100  # the limit of its stores
            told.settings[own].update(dict(params))
            for name, value, _, step in metrics:
                told.points[own].setdefault(step, {})[name] = value

        def set_terminated(self, own: str, status: str) -> None:
            told.ends[own] = {"FINISHED": 0, "FAILED": 1}[status]

    entities = {"Metric": lambda *values: values, "Param": lambda *values: values}
    module("mlflow", patch, MlflowClient=MlflowClient)
    module("mlflow.entities", patch, **entities)
    module("mlflow.exceptions", patch, MlflowException=MlflowException)


KINDS = [(WeightsAndBiases, fake_wandb), (MLflow, fake_mlflow)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0].__name__)
def service(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[type[Logger], Told]:
    """A logger and the records of its service."""
    kind, fake = request.param
    told = Told(defaultdict(dict), {}, {})
    for variable in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    fake(told, monkeypatch)
    return kind, told


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number, update=5 * number, p_teacher=0.5, train_loss=0.1 / number,
        validation_loss=float("nan"), validation_f1=0.4, validation_er=0.5, learning_rate=1e-3,
        seconds=1.0,
    )  # fmt: skip


def run_in(folder: Path, n_epochs: int = 0) -> LoggedRun:
    folder.mkdir(exist_ok=True)
    config = {"trainer": {"lr": 0.1}, "plugins": [], "many": {str(n): n for n in range(150)}}
    return LoggedRun(folder, config, n_epochs, [epoch(n + 1).row for n in range(n_epochs)])


def logged(kind: type[Logger], run: LoggedRun, *numbers: int) -> None:
    logger = kind()
    logger.start(run)
    try:
        for number in numbers:
            logger.log(epoch(number))
    finally:
        logger.close()


def test_settings_and_epochs_are_reported_and_the_end(
    service: tuple[type[Logger], Told], tmp_path: Path
) -> None:
    kind, told = service
    logged(kind, run_in(tmp_path / "a"), 1, 2)
    assert {step: row["train_loss"] for step, row in told.points["run0"].items()} == {
        1: 0.1,
        2: 0.05,
    }
    assert float(told.settings["run0"]["trainer.lr"]) == 0.1
    assert len(told.settings["run0"]) == 152
    assert told.ends == {"run0": 0}


def test_a_resumed_run_continues_and_a_copy_has_the_past_of_its_own(
    service: tuple[type[Logger], Told], tmp_path: Path
) -> None:
    kind, told = service
    logged(kind, run_in(tmp_path / "a"), 1, 2)
    logged(kind, run_in(tmp_path / "a", n_epochs=2), 3)
    logged(kind, run_in(tmp_path / "b", n_epochs=2), 3)
    assert {own: list(points) for own, points in told.points.items()} == {
        "run0": [1, 2, 3],
        "run1": [1, 2, 3],
    }


def test_a_training_that_breaks_is_reported_as_failed(
    service: tuple[type[Logger], Told], tmp_path: Path
) -> None:
    kind, told = service
    with pytest.raises(ZeroDivisionError):
        logged(kind, run_in(tmp_path / "a"), 1, 0)
    assert told.ends == {"run0": 1}


def test_a_run_that_the_store_does_not_have_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(defaultdict(dict), {}, {})
    fake_mlflow(told, monkeypatch)
    (tmp_path / "mlflow_run_id").write_text("of another store")
    logged(MLflow, run_in(tmp_path, n_epochs=2), 3)
    assert list(told.points["run0"]) == [1, 2, 3]
    assert "validation_loss" not in told.points["run0"][1]  # not validated


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_reported_before_any_work(
    name: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    assert sedtf("train", f"trainer.loggers=[csv,{name}]", "output_dir=run") == 2
    assert f"pip install 'sedtf[{name}]'" in capfd.readouterr().err
    assert not Path("run").exists()
