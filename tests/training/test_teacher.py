"""The mean teacher: how its weight rises, and that it equals the average."""

from __future__ import annotations

import math

import pytest
import torch

from sed_cli.training.average import Average
from sed_cli.training.teacher import Teacher, risen
from tests.training.test_parts import crnn


def test_the_weight_rises_along_a_gaussian_as_in_the_baselines() -> None:
    assert risen(0, 100) == pytest.approx(math.exp(-5))
    assert risen(50, 100) == pytest.approx(math.exp(-5 * 0.25))
    assert risen(100, 100) == risen(10_000, 100) == risen(0, 0) == 1
    teacher = Teacher(Average(crnn(), 0.9), weight=2.0, n_updates=10)
    teacher.at(5, p_teacher=0.0)
    assert teacher.weight == pytest.approx(2 * math.exp(-1.25))


def test_labels_of_a_model_that_was_fed_the_ground_truth_count_little() -> None:
    teacher = Teacher(Average(crnn(), 0.9), weight=2.0, n_updates=0)
    weights = []
    for p_teacher in (1.0, 0.75, 0.0):
        teacher.at(5, p_teacher)
        weights.append(teacher.weight)
    assert weights == [0.0, 0.5, 2.0]


def test_before_the_first_update_the_teacher_is_the_student() -> None:
    """Also if the weights came from another run after the average was created."""
    model = crnn()
    average = Average(model, 0.9)
    with torch.no_grad():
        model.readout.bias += 1
    held = Teacher(average, weight=1.0, n_updates=1).model.state_dict()
    assert all(value.equal(held[name]) for name, value in model.state_dict().items())
    average.update()
    with torch.no_grad():
        model.readout.bias += 1
    average.update()
    assert not average.model.state_dict()["readout.bias"].equal(model.readout.bias)
