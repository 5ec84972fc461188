"""Weights of active targets: their values, and their effect on a loss."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sed_cli.config.training import LossConfig
from sed_cli.training.losses.asymmetric import AsymmetricLoss
from sed_cli.training.losses.bce import BinaryCrossEntropy
from sed_cli.training.losses.focal import FocalLoss
from sed_cli.training.weighting import WeightedLoss, positive_weights

WEIGHTS = torch.tensor([1.0, 3.5, 20.0])
LOGITS = torch.linspace(-6, 6, 30).view(2, 5, 3)
TARGETS = (torch.arange(30) % 4 == 0).float().view(2, 5, 3)


def test_a_class_weighs_as_much_more_as_it_is_rare_within_bounds() -> None:
    n_active, n_known = torch.tensor([10, 2, 60, 0, 0]), torch.tensor([40, 200, 100, 100, 0])
    found = positive_weights(n_active, n_known, limit=20.0)
    # 30 silent for 10 active; clipped; active in more than half; never active; never known
    assert found.tolist() == [3.0, 20.0, 1.0, 20.0, 20.0]


def test_binary_cross_entropy_is_weighted_as_torch_does_it() -> None:
    found = WeightedLoss(BinaryCrossEntropy(), WEIGHTS).per_output(LOGITS, TARGETS)
    expected = binary_cross_entropy_with_logits(
        LOGITS, TARGETS, pos_weight=WEIGHTS, reduction="none"
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", [FocalLoss(), AsymmetricLoss()], ids=lambda loss: loss.name)
def test_any_loss_is_weighted_where_targets_are_active_alone(loss: LossConfig) -> None:
    plain = loss.per_output(LOGITS, TARGETS)
    found = WeightedLoss(loss, WEIGHTS).per_output(LOGITS, TARGETS)
    factors = torch.where(TARGETS == 1, WEIGHTS, 1.0)
    torch.testing.assert_close(found, plain * factors)
