"""Feedback of a detector in training, and its record in the run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sed_cli.config.identity import identity
from sed_cli.config.plain import build_training
from sed_cli.errors import ConfigError
from sed_cli.models.feedbacks.last_event import LastEvent
from sed_cli.models.feedbacks.soft import Soft
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.system.structured import read_settings
from tests.test_hazards import make_task

RUN = Path(__file__).parents[2] / "fixtures" / "version_0_1" / "detector"


def losses_and_fed(p: float, target_noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch, the targets fed to the model, and those of the batch."""
    torch.manual_seed(0)
    task = make_task(37, 30)
    task._feeding = replace(task._feeding, target_noise=target_noise)
    task.model.eval()
    batch = task.batch([0, 1, 2, 3], epoch=1)
    given: list[Any] = []
    task.model.register_forward_pre_hook(lambda _, arguments: given.append(arguments[1]))
    losses, _ = task.losses(batch, TeacherCoins(schedule=ConstantSchedule(p=p)))
    return losses.detach(), given[0], batch.targets


def test_flipped_targets_are_fed_and_not_learnt() -> None:
    forced, given, targets = losses_and_fed(1.0, 0.3)
    share = float((given != targets).float().mean())
    assert 0.15 < share < 0.45  # of 80 activities
    assert not torch.equal(forced, losses_and_fed(1.0, 0.0)[0])
    assert torch.equal(losses_and_fed(0.0, 0.3)[0], losses_and_fed(0.0, 0.0)[0])


def test_no_noise_draws_nothing() -> None:
    _, given, targets = losses_and_fed(1.0, 0.0)
    assert torch.equal(given, targets)


def values_with(feedback: Any) -> dict[str, Any]:
    values = read_settings(RUN / "checkpoints" / "best" / "config.yaml")
    values["sampler"]["feedback"] = feedback
    return values


def test_a_rule_that_was_written_as_a_name_is_the_same_experiment() -> None:
    """Hashes of earlier runs stay valid: they used the plain name."""
    old, new = (build_training(values_with(of)) for of in ("soft", {"name": "soft"}))
    assert old.sampler.feedback == new.sampler.feedback == Soft()
    assert identity(old)["sampler"]["feedback"] == "soft"
    assert identity(new) == identity(old)


def test_settings_of_a_rule_are_read_back_and_tell_experiments_apart() -> None:
    config = build_training(values_with({"name": "last_event", "running": False}))
    assert config.sampler.feedback == LastEvent(running=False)
    assert build_training(asdict(config)) == config
    other = build_training(values_with("last_event"))
    assert identity(other) != identity(config)


def test_a_rule_that_is_unknown_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="feedback 'loud' is unknown: expected one of hard"):
        build_training(values_with("loud"))
