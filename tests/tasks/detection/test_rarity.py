"""Rarity of classes, and its use in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sed_cli.data.sequences import Sequences
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.tasks.detection.rarity import count_targets, drawing_weights, drawn_shares
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.training.batches import Batches, Source, index_batches
from tests.conftest import Sedtf, trainer_config
from tests.training.test_distributed import make_config, make_data


def task_of(**trainer: object) -> DetectionTask:
    config = make_config(ConstantSchedule(p=0.5), **trainer)
    return DetectionTask(config, make_data(), torch.device("cpu"))


def activities() -> Tensor:
    """Activities of all recordings, (T, 2)."""
    return torch.from_numpy(np.concatenate([r.activities[:] for r in make_data().splits["train"]]))


def test_targets_are_counted_over_all_pieces_and_unknown_ones_are_skipped() -> None:
    sequences = Sequences(make_data().splits["train"], 10)
    n_active, n_known = count_targets(sequences)
    assert n_active.tolist() == activities().sum(0).tolist()
    assert n_known.tolist() == [49, 49]

    whole = sequences.targets
    sequences.targets = lambda item: whole(item).where(  # type: ignore[method-assign]
        torch.tensor([True, item != 0]), torch.nan
    )
    fewer, known = count_targets(sequences)
    assert known.tolist() == [49, 39]
    assert fewer.tolist() == [n_active[0], n_active[1] - int(whole(0)[:, 1].sum())]


def test_the_log_reports_the_weights_and_the_loss_has_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    task = task_of(max_positive_weight=5.0)
    n_active = activities().sum(0)
    weights = (49 - n_active) / n_active
    assert caplog.messages == [
        f"weights of active targets: cat {weights[0]:.3g}, dog {weights[1]:.3g}"
    ]
    logits, active = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    plain = task_of()
    expected = plain._loss(logits, active) * weights
    torch.testing.assert_close(task._loss(logits, active), expected)
    assert task.no_skill_loss > plain.no_skill_loss


def test_a_training_that_is_resumed_has_the_weights_that_it_began_with() -> None:
    one, other = task_of(max_positive_weight=5.0), task_of(max_positive_weight=2.0)
    assert one._loss.weights is not None
    assert other._loss.weights is not None
    one._loss.weights += 1
    other.load_state_dict(one.state_dict())
    assert torch.equal(other._loss.weights, one._loss.weights)
    assert task_of().state_dict() == {}


def test_tokens_have_no_such_weights(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("task=sequence", "trainer.max_positive_weight=5", "trainer.balance=1")
    assert sedtf("train", *words, "output_dir=run") == 2
    lines = capfd.readouterr().err
    assert "trainer.max_positive_weight=5.0 is for activities of classes" in lines
    assert "trainer.balance=1.0 is for" in lines
    assert trainer_config(max_positive_weight=0.5).faults()


# ------------------------------------------------------------------------------------- balance

# Of eight sequences, one has the rare class, five the common one (one has both), three none.
PRESENT = torch.tensor([[1, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0]]).bool()


def test_a_sequence_is_as_likely_as_its_rarest_class_is_rare_and_silence_keeps_its_share() -> None:
    weights = drawing_weights(PRESENT, balance=1.0)
    assert weights[:5].tolist() == pytest.approx([8, 1.6, 1.6, 1.6, 1.6])
    assert (weights[5:].sum() / weights.sum()).item() == pytest.approx(3 / 8)
    assert drawing_weights(PRESENT, balance=0.5)[0].item() == pytest.approx(8**0.5)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1), st.floats(0, 1))
def test_weights_are_finite_and_above_0_whatever_is_there(
    present: list[list[bool]], balance: float
) -> None:
    weights = drawing_weights(torch.tensor(present), balance)
    assert weights.isfinite().all()
    assert (weights > 0).all()


def test_classes_of_single_labels_are_drawn_alike() -> None:
    single = torch.eye(3, dtype=torch.bool)[[0] * 12 + [1] * 5 + [2]]
    assert drawn_shares(single, drawing_weights(single, 1.0)) == pytest.approx([1 / 3] * 3)
    assert drawn_shares(single, drawing_weights(single, 0.0)) == pytest.approx(
        [12 / 18, 5 / 18, 1 / 18]
    )


def test_a_balanced_pass_has_as_many_sequences_and_repeats_by_its_number() -> None:
    weights = drawing_weights(PRESENT, balance=1.0)
    passes = [
        [i for batch in index_batches(8, 3, 5, number, weights) for i in batch]
        for number in (1, 2, 1)
    ]
    assert passes[0] == passes[2] != passes[1]
    assert all(len(drawn) == 8 for drawn in passes)
    many = [
        i
        for number in range(200)
        for batch in index_batches(8, 3, 5, number, weights)
        for i in batch
    ]
    # 1,600 draws: three standard deviations are 0.034
    assert many.count(0) / 1600 == pytest.approx((weights[0] / weights.sum()).item(), abs=0.034)


def test_a_training_that_is_balanced_draws_so_and_reports_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    task, plain = task_of(balance=1.0), task_of()
    assert plain.sources[0].weights is None
    weights = task.sources[0].weights
    assert weights is not None
    assert len(weights) == len(task.lengths)
    (line,) = caplog.messages
    assert line.startswith("trainer.balance=1: share of the drawn sequences that contain cat ")


def test_one_source_of_several_is_balanced_too() -> None:
    weights = drawing_weights(PRESENT, balance=1.0)
    sources = [Source("strong", 8, weights=weights), Source("weak", 5)]
    batches = Batches(sources, trainer_config(batch_size=2), seed=5)
    drawn = [batch[0] for number in range(200) for batch in batches.of_pass(number)]
    # 1,600 draws: three standard deviations are 0.034
    assert drawn.count(0) / 1600 == pytest.approx((weights[0] / weights.sum()).item(), abs=0.034)
