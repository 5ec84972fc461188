"""Gradients accumulated over the parts of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sed_cli.config.verbs import TrainConfig
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.linear import LinearSchedule
from sed_cli.tasks.train import make_trainer
from sed_cli.training.loop import Trainer
from sed_cli.training.state import seed_everything
from tests.conftest import Sedtf
from tests.training.resumed import check_resumed
from tests.training.test_distributed import Exact, make_config, make_data

SAMPLED = {"unit": "time_step", "coin": "class", "feedback": "sampled"}


def trainer_for(config: TrainConfig) -> Trainer[Any]:
    """A trainer in float64, where the order of sums hardly matters."""
    seed_everything(config.seed)
    task = Exact(config, make_data(), torch.device("cpu"))
    task.model.double()
    return make_trainer(config, task)


@pytest.mark.parametrize("sampler", [ConstantSchedule(p=0.5), LinearSchedule(c=0.01, **SAMPLED)])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(1, 4), (2, 2), (3, 2)])
def test_what_is_accumulated_is_the_update_of_the_large_batch(
    sampler: Any, batch_size: int, accumulate: int
) -> None:
    found = []
    for settings in (
        {"batch_size": batch_size, "accumulate": accumulate},
        {"batch_size": batch_size * accumulate},
    ):
        # Trained batch norm sees different statistics in each part.
        trainer = trainer_for(make_config(sampler, freeze=["blocks"], **settings))
        losses = [float(trainer.update(parts)) for e in (1, 2) for parts in trainer.updates(e)]
        weights = torch.cat([w.flatten() for w in trainer.task.model.parameters()])
        found.append((losses, weights, trainer.coins.state_dict(), trainer.progress.update))
    (losses, weights, coins, update), expected = found
    # the loss is reported in float32
    assert losses == pytest.approx(expected[0], rel=1e-6)
    torch.testing.assert_close(weights, expected[1], rtol=0, atol=1e-10)  # sums in another order
    assert coins["iteration"] == expected[2]["iteration"]
    assert torch.equal(coins["generator"], expected[2]["generator"])
    assert update == expected[3] == len(losses)


def test_updates_are_counted_and_not_the_batches_that_make_them_up() -> None:
    config = make_config(ConstantSchedule(p=0.5), batch_size=1, accumulate=3, epochs=2)
    trainer = trainer_for(config)  # of six sequences
    trainer.fit(lambda row, is_best: None)
    assert trainer.n_batches == 2
    assert trainer.progress.update == trainer.n_updates == trainer.coins.iteration == 4


def test_an_update_is_of_one_batch_at_least() -> None:
    config = make_config(ConstantSchedule(p=0.5))
    config = replace(config, trainer=replace(config.trainer, accumulate=0))
    (fault,) = config.trainer.faults()
    assert fault == "trainer.accumulate=0: expected at least 1"


@pytest.mark.slow
def test_a_resumed_training_is_that_of_one_go(sedtf: Sedtf) -> None:
    check_resumed(sedtf, "trainer.accumulate=3", epochs=3)
