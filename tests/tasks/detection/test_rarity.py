"""How rare classes are, and what a training makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sed_cli.data.sequences import Sequences
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.tasks.detection.rarity import count_targets
from sed_cli.tasks.detection.task import DetectionTask
from tests.conftest import Sedtf, trainer_config
from tests.training.test_distributed import make_config, make_data


def task_of(**trainer: object) -> DetectionTask:
    config = make_config(ConstantSchedule(p=0.5), **trainer)
    return DetectionTask(config, make_data(), torch.device("cpu"))


def activities() -> Tensor:
    """Of all recordings, (T, 2)."""
    return torch.from_numpy(np.concatenate([r.activities[:] for r in make_data().splits["train"]]))


def test_targets_are_counted_over_all_pieces_and_unknown_ones_are_passed_over() -> None:
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
    words = ("task=sequence", "trainer.max_positive_weight=5", "output_dir=run")
    assert sedtf("train", *words) == 2
    assert "trainer.max_positive_weight=5.0 is for activities" in capfd.readouterr().err
    assert trainer_config(max_positive_weight=0.5).faults()
