"""Learning-rate schedules: their curves, which a resumed training run continues."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch import nn

from sed_cli.config.training import LrScheduleConfig
from sed_cli.training.lr_schedules.cosine import Cosine
from sed_cli.training.lr_schedules.plateau import Plateau
from sed_cli.training.lr_schedules.warmup import Warmup
from sed_cli.training.optimizers.sgd import SGD
from tests.conftest import Sedtf, trainer_config
from tests.training.resumed import check_resumed
from tests.training.test_small_data import Scripted, trained, trainer_of


def rates(schedule: LrScheduleConfig, n_updates: int) -> list[float]:
    """Learning rates of updates, relative to 1."""
    optimiser = SGD().build([nn.Parameter(torch.zeros(1))], 1.0)
    stepped = schedule.build(optimiser, n_updates)
    found = []
    for _ in range(n_updates):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        stepped.step()
    return found


def test_a_warmup_rises_to_the_rate_and_stays() -> None:
    assert rates(Warmup(warmup_updates=3), 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    assert rates(Warmup(warmup_updates=0), 2) == [1, 1]


def test_a_cosine_falls_to_its_floor_after_a_warmup() -> None:
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * n / 8)) / 2 for n in range(8)]
    assert rates(Cosine(floor=0.1), 8) == pytest.approx(expected)
    warmed = rates(Cosine(warmup_updates=1, updates=5), 8)
    half = 0.5 * (1 + math.cos(math.pi / 4))
    assert warmed == pytest.approx([0.5, 1, half, 0.5, 1 - half, 0, 0, 0])


@pytest.mark.parametrize("monitor", ["validation_f1", "validation_loss"])
def test_a_plateau_lowers_the_rate_where_the_monitor_gets_no_better(monitor: str) -> None:
    # Loss and F1 of epochs: better, better, then no improvement.
    validations = [(0.4, 0.1), (0.3, 0.2), *[(0.3, 0.2)] * 5]
    trainer = trainer_of(
        Scripted(1, validations),
        epochs=7,
        min_epoch_updates=1,
        patience=9,
        lr=0.8,
        monitor=monitor,
        lr_schedule=Plateau(patience=1, factor=0.5, floor=0.3),
    )
    seen: list[float] = []
    trainer.fit(lambda row, is_best: seen.append(row.learning_rate))
    assert seen == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.3]


def test_without_one_nothing_is_kept_and_nothing_changes() -> None:
    trainer = trainer_of(Scripted(1), epochs=2)
    assert trainer.lr_schedule is None
    assert set(trainer.state_dict()) == {"progress", "optimizer", "coins"}
    assert "initial_lr" not in trainer.optimizer.param_groups[0]
    assert trained((0.1, 0.9)).epoch == 1


def test_a_state_with_other_parts_is_refused() -> None:
    trainer = trainer_of(Scripted(1), epochs=2, lr_schedule=Warmup())
    state = trainer.state_dict()
    state["lr_schedule"]["step"] = 3
    with pytest.raises(ValueError, match=r"with .*step"):
        trainer.load_state_dict(state)


def test_settings_out_of_range_are_reported(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("trainer.lr_schedule={name: plateau, factor: 1}", "output_dir=run")
    assert sedtf("train", *words) == 2
    assert "trainer.lr_schedule.factor=1.0: expected" in capfd.readouterr().err
    assert trainer_config(lr_schedule=Cosine(floor=2)).faults()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["{name: cosine, updates: 30, warmup_updates: 3}", "plateau"])
def test_a_resumed_training_is_that_of_one_go(schedule: str, sedtf: Sedtf) -> None:
    check_resumed(sedtf, f"trainer.lr_schedule={schedule}", epochs=3)
    of_runs = [pd.read_csv(f"{run}/history.csv")["learning_rate"] for run in ("at_once", "run")]
    assert of_runs[0].tolist() == of_runs[1].tolist()
