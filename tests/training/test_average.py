"""The moving average of the weights: its value, that it is saved, and that it changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from sed_cli.config.identity import config_hash
from sed_cli.models import CRNN
from sed_cli.training.loop import Trainer
from sed_cli.training.task import Validation
from tests.conftest import Sedtf, trainer_config
from tests.training.resumed import check_resumed
from tests.training.test_parts import Heard, crnn
from tests.training.test_small_data import trainer_of

State = dict[str, Tensor]


def copied(model: CRNN) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def kept(trainer: Trainer[Any]) -> State:
    with trainer._kept():
        return copied(trainer.task.model)  # type: ignore[arg-type]


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_the_average_of_weights_and_batch_norm_follows_with_a_decay_that_rises() -> None:
    model = crnn()
    trainer = trainer_of(Heard(model), ema=0.2)
    seen = []
    for _ in range(4):
        trainer.step([0])
        seen.append(copied(model))
    found = kept(trainer)
    for name in ("readout.weight", "blocks.1.norm.running_var", "cell.weight_hh"):
        expected = seen[0][name]
        for n, weights in enumerate(seen[1:], start=1):
            decay = min(0.2, (1 + n) / (10 + n))  # 2/11, then 0.2
            expected = decay * expected + (1 - decay) * weights[name]
        # rounding of float32
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6)
        assert not found[name].equal(seen[-1][name])
    assert found["normalisation.std"].equal(seen[-1]["normalisation.std"])


def test_training_is_the_same_beside_an_average() -> None:
    states = []
    for ema in (None, 0.9):
        trainer = trainer_of(Heard(crnn()), ema=ema, epochs=1, min_epoch_updates=5)
        trainer.fit(lambda row, is_best: None)
        states.append(copied(trainer.task.model))
    assert same(*states)


def test_the_trained_weights_are_kept_where_that_is_asked_for() -> None:
    task = Heard(crnn())
    trainer = trainer_of(task, ema=0.9, keep="trained", epochs=1, min_epoch_updates=5)
    written: list[State] = []
    trainer.fit(lambda row, is_best: written.append(copied(task.model)))  # type: ignore[arg-type]
    assert same(written[0], copied(task.model))  # type: ignore[arg-type]
    other = trainer_of(Heard(crnn()), ema=0.9, keep="trained")
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    assert trainer.average is not None
    assert other.average is not None
    assert same(copied(trainer.average.model), copied(other.average.model))  # type: ignore[arg-type]


def test_the_average_is_validated_and_kept() -> None:
    task, validated, written = Heard(crnn()), [], []

    def validate() -> Validation:
        validated.append(copied(task.model))  # type: ignore[arg-type]
        return Validation(0.1, 0.5, 0.5)

    task.validate = validate  # type: ignore[method-assign]
    trainer = trainer_of(task, ema=0.9, epochs=1, min_epoch_updates=5)
    trainer.fit(lambda row, is_best: written.append(copied(task.model)))  # type: ignore[arg-type]
    assert same(validated[0], written[0])
    assert same(validated[0], kept(trainer))
    assert not same(validated[0], copied(task.model))  # type: ignore[arg-type]


def test_both_are_restored_to_the_last_bit() -> None:
    one = trainer_of(Heard(crnn(dropout=0.0)), ema=0.9)
    for _ in range(3):
        one.step([0])
    other = trainer_of(Heard(crnn(dropout=0.0)), ema=0.9)
    with one._kept():  # as during the writing of a checkpoint
        other.task.model.load_state_dict(one.task.model.state_dict())
        other.load_state_dict(copy.deepcopy(one.state_dict()))
    other.task._random.set_state(one.task._random.get_state())  # type: ignore[attr-defined]
    for trainer in (one, other):
        trainer.step([0])
    assert same(copied(one.task.model), copied(other.task.model))  # type: ignore[arg-type]
    assert same(kept(one), kept(other))


def test_weights_that_are_not_finite_are_refused() -> None:
    trainer = trainer_of(Heard(crnn()), ema=0.9)
    trainer.step([0])
    state = trainer.state_dict()
    state["average"]["average"]["readout.bias"][0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        trainer.load_state_dict(state)


def test_a_decay_is_a_number_between_0_and_1_and_makes_another_run() -> None:
    assert trainer_config(ema=0.999).faults() == []
    (fault,) = trainer_config(ema=1.0).faults()
    assert fault == "trainer.ema=1.0: expected a number above 0 and less than 1"
    assert config_hash(trainer_config(ema=0.9)) != config_hash(trainer_config())


def test_what_acts_on_no_average_is_refused(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("trainer.keep=trained", "trainer.consistency_weight=1", "output_dir=run")
    words = (*words, "trainer.clip_weight=1")
    for task in ("sed", "sequence"):
        assert sedtf("train", f"task={task}", *words) == 2
        lines = capfd.readouterr().err
        assert "trainer.keep=trained, but there is no average of the weights" in lines
        assert "trainer.consistency_weight is for recordings without labels" in lines
        assert "trainer.clip_weight=1.0 is for weakly labelled clips" in lines


@pytest.mark.slow
def test_a_resumed_training_is_that_of_one_go(sedtf: Sedtf) -> None:
    check_resumed(sedtf, "trainer.ema=0.9", epochs=3)
