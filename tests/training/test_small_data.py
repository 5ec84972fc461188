"""Training on little data: passes, patience, the best epoch, and warnings."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.config.trainer import TrainerConfig
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.training.batches import Source
from sed_cli.training.loop import Trainer, warn_of_best_epoch
from sed_cli.training.optimizers.adam import Adam
from sed_cli.training.state import Progress
from sed_cli.training.task import Validation


class Scripted:
    """A task with given validation results: (loss, F1) per epoch."""

    device = torch.device("cpu")
    is_sampled = learns_unlabelled = False
    labels = ("cat",)
    fingerprint = sizes = ""
    no_skill_loss = 0.5

    def __init__(self, n_sequences: int, validations: Sequence[tuple[float, float]] = ()) -> None:
        self.model = nn.Linear(1, 1)
        self.lengths = [10] * n_sequences
        self.sources = [Source("strong", n_sequences)]
        self.batches: list[list[int]] = []
        self._validations = iter(validations)

    def batch(self, indices: Sequence[int], epoch: int) -> list[int]:
        self.batches.append(list(indices))
        return list(indices)

    def losses(self, batch: list[int], coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        return self.model.weight.square().sum(), self.counts(batch)

    def counts(self, batch: list[int]) -> Tensor:
        return torch.tensor(1)

    def validate(self) -> Validation:
        loss, f1 = next(self._validations)
        return Validation(loss, f1, 1.0)

    def describe(self, validation: Validation) -> str:
        return ""

    def state_dict(self) -> dict[str, Any]:
        return {}


def trainer_of(task: Scripted, **settings: Any) -> Trainer[Any]:
    coins = TeacherCoins(schedule=ConstantSchedule(p=0.0))
    config = TrainerConfig(**settings, optimizer=Adam())
    return Trainer(task, coins=coins, config=config)  # type: ignore[arg-type]


def trained(*validations: tuple[float, float], **settings: Any) -> Progress:
    task = Scripted(1, validations)
    own = {"epochs": len(validations), "min_epoch_updates": 1, **settings}
    trainer = trainer_of(task, **own)
    trainer.fit(lambda row, is_best: None)
    return trainer.progress


# ----------------------------------------------------------------------------------- passes


@pytest.mark.parametrize(
    ("n_sequences", "at_least", "n_passes", "n_updates"),
    [(3, 20, 10, 20), (3, 1, 1, 2), (3, 3, 2, 4), (40, 20, 1, 20), (41, 20, 1, 21)],
)
def test_an_epoch_of_few_sequences_goes_through_them_until_it_has_its_updates(
    n_sequences: int, at_least: int, n_passes: int, n_updates: int
) -> None:
    task = Scripted(n_sequences, [(0.1, 0.9)])
    trainer = trainer_of(task, batch_size=2, epochs=1, min_epoch_updates=at_least)
    trainer.fit(lambda row, is_best: None)

    assert trainer.n_batches == trainer.progress.update == n_updates
    counts = Counter(index for batch in task.batches for index in batch)
    assert set(counts.values()) == {n_passes}
    assert len(counts) == n_sequences


def test_passes_differ_in_their_order_within_an_epoch_and_between_epochs() -> None:
    task = Scripted(6, [(0.1, 0.9), (0.1, 0.9)])
    trainer_of(task, batch_size=6, epochs=2, min_epoch_updates=3).fit(lambda row, is_best: None)

    assert len(task.batches) == 6
    assert len({tuple(batch) for batch in task.batches}) == 6


# --------------------------------------------------------------------------------- patience


def test_patience_does_not_run_before_anything_is_detected() -> None:
    waiting = [(0.4 + 0.01 * n, 0.0) for n in range(6)]  # not even the loss falls
    found = [(0.3, 0.5), (0.3, 0.4), (0.3, 0.4), (0.3, 0.4)]

    progress = trained(*waiting, *found, patience=2)

    assert progress.best_epoch == 7
    assert progress.epoch == 9


def test_patience_runs_at_once_where_the_loss_is_what_counts() -> None:
    rising = [(0.1 + 0.1 * n, 0.0) for n in range(6)]

    assert trained(*rising, patience=2, monitor="validation_loss").epoch == 3


def test_the_f1_that_an_untrained_model_has_by_chance_makes_no_best_epoch() -> None:
    chance = [(0.9, 0.3), (0.8, 0.25), (0.7, 0.2)]  # losses above that of no skill

    assert trained(*chance).best_epoch == 1  # no later epoch was better
    assert trained(*chance, (0.4, 0.1), (0.3, 0.15), (0.3, 0.1)).best_epoch == 5
    assert trained(*chance, (0.4, 0.0), (0.3, 0.0)).best_epoch == 5


# --------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("best", "last", "settings", "warning"),
    [
        (1, 5, {}, "the best epoch is the first of 5"),
        (25, 25, {}, "trainer.epochs=50"),
        (25, 25, {"max_updates": 500}, None),  # somebody chose its length
        (12, 22, {}, None),
        (1, 2, {"epochs": 2}, None),  # too short to tell
    ],
)
def test_a_best_epoch_at_either_end_is_warned_of_with_the_remedy(
    best: int,
    last: int,
    settings: dict[str, int],
    warning: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    progress = Progress(epoch=last, best_epoch=best)

    with caplog.at_level(logging.WARNING):
        warn_of_best_epoch(progress, TrainerConfig(**settings))  # type: ignore[arg-type]

    assert (warning in caplog.text) if warning else not caplog.text


def test_where_f1_is_undefined_the_loss_decides() -> None:
    """For example without annotations in validation."""
    progress = trained((0.9, float("nan")), (0.7, float("nan")), (0.8, float("nan")))

    assert progress.best_epoch == 2


# ------------------------------------------------------------------------------------- monitor


class Watched(Scripted):
    """A task whose validation gives one more figure: (loss, F1, event error rate) per epoch."""

    def __init__(self, validations: Sequence[tuple[float, float, float]]) -> None:
        super().__init__(1)
        self._more = iter(validations)

    def validate(self) -> Validation:
        loss, f1, event_er = next(self._more)
        return Validation(loss, f1, 1.0, {"validation_event_er": event_er})


def watched(*validations: tuple[float, float, float], **settings: Any) -> Progress:
    own = {"epochs": len(validations), "min_epoch_updates": 1, "monitor": "event_er", **settings}
    trainer = trainer_of(Watched(validations), **own)
    trainer.fit(lambda row, is_best: None)
    return trainer.progress


def test_the_best_epoch_is_that_of_the_figure_that_is_monitored() -> None:
    figures = [(0.4, 0.1, 0.9), (0.3, 0.2, 0.7), (0.2, 0.9, 0.8)]
    assert watched(*figures).best_epoch == 2
    assert watched(*figures).best_score == -0.7
    assert watched(*figures, monitor="validation_f1").best_epoch == 3
    assert watched(*figures, monitor="validation_er").best_epoch == 3  # all 1: the loss decides


def test_a_figure_without_a_base_is_no_best_one() -> None:
    nan = float("nan")
    assert watched((0.4, 0.1, nan), (0.3, 0.2, 0.7), (0.2, 0.9, nan)).best_epoch == 2
    assert watched((0.4, 0.1, nan), (0.3, 0.2, nan)).best_epoch == 2


def test_patience_waits_for_a_detection_whatever_is_monitored_but_a_loss() -> None:
    silent = [(0.4, 0.0, 1.0)] * 6
    assert watched(*silent, patience=2).epoch == 6
    assert watched(*silent, patience=2, monitor="validation_loss").epoch == 3
