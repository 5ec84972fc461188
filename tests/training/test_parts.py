"""Parts of a model that are frozen, or learn more slowly than the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from sed_cli.config.identity import config_hash
from sed_cli.config.training import LrScheduleConfig
from sed_cli.errors import UserError
from sed_cli.models import CRNN, LanguageModel
from sed_cli.models.bidirectional import BidirectionalCRNN
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.training.loop import Trainer
from sed_cli.training.lr_schedules.cosine import Cosine
from sed_cli.training.lr_schedules.plateau import Plateau
from sed_cli.training.parts import part_of
from tests.conftest import trainer_config
from tests.training.test_small_data import Scripted, trainer_of

SIZES: dict[str, Any] = {
    "n_mels": 4, "n_classes": 2, "conv_channels": 2, "pooling": [2, 2], "rnn_hidden": 3,
}  # fmt: skip


class Heard(Scripted):
    """A CRNN on noise."""

    def __init__(self, model: CRNN) -> None:
        super().__init__(1, [(0.4, 0.1)])
        self.model = model  # type: ignore[assignment]
        self._random = torch.Generator().manual_seed(5)

    def losses(self, batch: list[int], coins: TeacherCoins) -> tuple[Tensor, Tensor]:
        log_mel = 3 + torch.randn(2, 10, 4, generator=self._random)
        targets = (torch.rand(2, 10, 2, generator=self._random) > 0.5).float()
        mask = torch.ones(2, 10, dtype=torch.bool)
        return (self.model(log_mel, targets, mask) - targets).square().sum(), self.counts(batch)

    def counts(self, batch: list[int]) -> Tensor:
        return torch.tensor(40)


def crnn(**sizes: Any) -> CRNN:
    torch.manual_seed(0)
    return CRNN(**{**SIZES, **sizes})


def moved(model: CRNN, **settings: Any) -> set[str]:
    """Entries of the state that change in two updates."""
    trainer = trainer_of(Heard(model), **settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        trainer.step([0])
    return {name for name, value in model.state_dict().items() if not value.equal(before[name])}


def of(model: CRNN, *parts: str) -> set[str]:
    names = {name for name in model.state_dict() if name.startswith(parts)}
    return {name for name in names if not name.startswith("normalisation")}


@pytest.mark.parametrize("frozen", [["blocks"], ["blocks.1"], ["cell"], ["blocks", "cell"]])
def test_what_is_frozen_stays_as_it_is_and_so_do_the_statistics_of_its_batch_norm(
    frozen: list[str],
) -> None:
    model = crnn()
    expected = of(model, "") - of(model, *frozen)
    # The mean in batch norm cancels the bias of the convolution before it.
    assert (
        moved(model, freeze=frozen) | {n for n in expected if n.endswith("conv.bias")} == expected
    )


def test_a_frozen_part_hears_as_in_evaluation_but_for_dropout() -> None:
    model = crnn(dropout=0.5)
    trainer = trainer_of(Heard(model), freeze=["blocks"])
    trainer.step([0])
    kinds = {type(m).__name__: m.training for m in model.modules()}
    assert not kinds["BatchNorm2d"]
    assert not kinds["FastConvBlock"]
    assert kinds["FastDropout"]
    assert kinds["CRNN"]
    assert kinds["GRUCell"]


def test_a_recurrence_that_reads_both_ways_can_be_frozen() -> None:
    torch.manual_seed(0)
    model = BidirectionalCRNN(**SIZES)
    assert not moved(model, freeze=["gru", "blocks"]) - of(model, "readout")


@pytest.mark.parametrize("key", ["freeze", "lr_scale"])
def test_an_unknown_part_is_refused_with_those_there_are(key: str) -> None:
    setting: Any = {"freeze": ["cells"], "lr_scale": {"cells": 0.1}}[key]
    there = (
        f"trainer.{key}: the model has no part cells: expected some of blocks, blocks.0, blocks.1, "
    )
    with pytest.raises(UserError, match=re.escape(f"{there}cell, readout")):
        trainer_of(Heard(crnn()), **{key: setting})


def test_something_has_to_be_left_to_train() -> None:
    with pytest.raises(UserError, match=r"freeze=\[blocks,cell,readout\] leaves nothing to train"):
        trainer_of(Heard(crnn()), freeze=["blocks", "cell", "readout"])


def test_parts_are_children_and_members_of_lists() -> None:
    assert part_of(crnn(), "blocks.1.conv.weight") == "blocks.1"
    assert part_of(crnn(), "cell.weight_ih") == "cell"
    language = LanguageModel(n_tokens=3, embedding_size=2, rnn_hidden=2, dropout=0.0)
    assert part_of(language, "embedding.weight") == "embedding"


# ------------------------------------------------------------------------------------- lr_scale


def rates(trainer: Trainer[Any]) -> dict[str, float]:
    """Learning rate of each entry that is trained."""
    names = {id(weights): name for name, weights in trainer.task.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    return {names[id(weights)]: group["lr"] for group in groups for weights in group["params"]}


def test_the_smallest_part_that_is_named_sets_its_learning_rate() -> None:
    trainer = trainer_of(
        Heard(crnn()), lr=0.1, lr_scale={"blocks": 0.5, "blocks.1": 0.1, "cell": 2.0}
    )
    found = rates(trainer)
    assert found.keys() == dict(trainer.task.model.named_parameters()).keys()
    for name, rate in found.items():
        factor = {"blocks.0": 0.5, "blocks.1": 0.1, "cell": 2.0}
        assert rate == pytest.approx(0.1 * factor.get(part_of(trainer.task.model, name), 1.0))


def test_without_factors_the_optimiser_has_one_group_as_ever() -> None:
    trainer = trainer_of(Heard(crnn()), lr=0.1)
    (group,) = trainer.optimizer.param_groups
    assert list(map(id, group["params"])) == list(map(id, trainer.task.model.parameters()))
    assert "lr_scale" not in group


@pytest.mark.parametrize("schedule", [Cosine(updates=4, floor=0.1), Plateau(patience=0, floor=0.3)])
@pytest.mark.parametrize("scale", [{"blocks": 0.1}, {"blocks": 0.1, "cell": 0.1, "readout": 0.1}])
def test_a_schedule_keeps_the_ratios(schedule: LrScheduleConfig, scale: dict[str, float]) -> None:
    trainer = trainer_of(Heard(crnn()), lr=1.0, epochs=9, lr_scale=scale, lr_schedule=schedule)
    assert trainer.lr_schedule is not None
    for _ in range(4):
        trainer.optimizer.step()
        trainer.lr_schedule.step(*[0.0] * schedule.BY_SCORE)
    found = rates(trainer)
    base = {"cosine": 0.1, "plateau": 0.3}[schedule.name]
    assert found["blocks.0.conv.weight"] == pytest.approx(0.1 * base)
    assert found["readout.bias"] == pytest.approx(scale.get("readout", 1.0) * base)


def test_the_history_has_the_rate_without_factors() -> None:
    scale = {"blocks": 0.1, "cell": 0.1, "readout": 0.1}
    for factors in ({}, {"blocks": 0.1}, scale):
        trainer = trainer_of(Heard(crnn()), lr=0.5, epochs=1, min_epoch_updates=1, lr_scale=factors)
        seen: list[float] = []
        trainer.fit(lambda row, is_best, seen=seen: seen.append(row.learning_rate))
        assert seen == [pytest.approx(0.5)]


def test_groups_are_restored() -> None:
    settings: dict[str, Any] = {"lr_scale": {"blocks": 0.1}, "freeze": ["cell"]}
    one, other = (trainer_of(Heard(crnn()), **settings) for _ in range(2))
    one.step([0])
    other.load_state_dict(one.state_dict())
    assert rates(one) == rates(other)
    assert other.optimizer.param_groups[1]["lr_scale"] == 0.1


# ------------------------------------------------------------------------------------- settings


def test_factors_are_above_0_and_of_what_is_trained() -> None:
    config = trainer_config(
        lr_scale={"cell": 0.0, "blocks": 0.1, "a": float("nan")}, freeze=["blocks"]
    )
    zero, both, nan = config.faults()
    assert zero.startswith("trainer.lr_scale={cell: 0.0}: expected a factor above 0")
    assert nan.startswith("trainer.lr_scale={a: nan}")
    assert both.startswith("trainer.lr_scale and trainer.freeze both name blocks")


def test_runs_without_them_keep_their_hash_and_with_them_have_another() -> None:
    plain, frozen, scaled = (
        config_hash(trainer_config(**settings))
        for settings in ({}, {"freeze": ["cell"]}, {"lr_scale": {"cell": 0.1}})
    )
    assert len({plain, frozen, scaled}) == 3
    assert plain == "390415d92fd4137f"
