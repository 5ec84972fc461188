"""Losses per output: as in the papers, safe at any logit, and binary cross-entropy where the
papers say so."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from sed_cli.config.training import LossConfig
from sed_cli.tasks.detection.loss import least_constant_loss
from sed_cli.training.losses.asymmetric import AsymmetricLoss
from sed_cli.training.losses.bce import BinaryCrossEntropy
from sed_cli.training.losses.focal import FocalLoss
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

LOGITS = torch.linspace(-8, 8, 33, dtype=torch.float64).view(1, 11, 3)
TARGETS = (torch.arange(33) % 2).double().view(1, 11, 3)


@pytest.mark.parametrize(
    "loss", [FocalLoss(gamma=0), AsymmetricLoss(gamma_negative=0, clip=0)], ids=lambda x: x.name
)
def test_without_focus_it_is_binary_cross_entropy(loss: LossConfig) -> None:
    for targets in (TARGETS, TARGETS * 0.3):  # also soft targets of a mix
        expected = binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
        torch.testing.assert_close(loss.per_output(LOGITS, targets), expected)


def by_hand(loss: LossConfig, p: float, active: bool) -> float:
    """The papers' equations in plain floating point, independent of the implementation."""
    if isinstance(loss, FocalLoss):
        alpha = 1.0 if loss.alpha is None else loss.alpha if active else 1 - loss.alpha
        p_t = p if active else 1 - p
        return -alpha * (1 - p_t) ** loss.gamma * math.log(p_t)
    assert isinstance(loss, AsymmetricLoss)
    if active:
        return -((1 - p) ** loss.gamma_positive) * math.log(p)
    p_m = max(p - loss.clip, 0)
    return -(p_m**loss.gamma_negative) * math.log(1 - p_m)


@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(),
        FocalLoss(gamma=0.5, alpha=0.25),
        AsymmetricLoss(),
        AsymmetricLoss(gamma_positive=1.0, gamma_negative=0.5, clip=0.2),
    ],
    ids=str,
)
def test_a_loss_is_that_of_its_paper(loss: LossConfig) -> None:
    got = loss.per_output(LOGITS, TARGETS)
    expected = [
        by_hand(loss, p, bool(target))
        for p, target in zip(LOGITS.sigmoid().flatten().tolist(), TARGETS.flatten(), strict=True)
    ]
    assert got.flatten().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(gamma=0.5),
        FocalLoss(gamma=0),
        AsymmetricLoss(),
        AsymmetricLoss(gamma_positive=0.5, gamma_negative=0.5),
        AsymmetricLoss(gamma_negative=0.5, clip=0),
    ],
    ids=str,
)
def test_gradients_are_finite_where_float32_has_no_digits_left(loss: LossConfig) -> None:
    extreme = torch.tensor([-200.0, -20.0, 0.0, 20.0, 200.0])
    logits = torch.stack([extreme, extreme]).requires_grad_()
    targets = torch.stack([torch.zeros(5), torch.ones(5)])
    losses = loss.per_output(logits, targets)
    losses.sum().backward()
    assert logits.grad is not None
    assert bool(losses.isfinite().all())
    assert bool(logits.grad.isfinite().all())
    # large errors are corrected
    assert float(logits.grad[0, 3]) > 0.5 or isinstance(loss, AsymmetricLoss)
    assert float(logits.grad[1, 1]) < -0.9


def test_what_is_right_counts_less_and_silence_below_the_clip_nothing() -> None:
    logits = torch.tensor([2.0, -4.0])  # p .88 of an active output, .018 of a silent one
    targets = torch.tensor([1.0, 0.0])
    plain = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    focal = FocalLoss().per_output(logits, targets)
    assert bool((focal < 0.02 * plain).all())
    asymmetric = AsymmetricLoss().per_output(logits, targets)
    assert asymmetric[1] == 0
    assert asymmetric[0] == plain[0]


def test_what_no_skill_costs_is_reported_for_any_loss() -> None:
    """Patience waits until a model is better than the class frequencies alone."""
    share = torch.tensor([0.3, 0.01, 0.0], dtype=torch.float64)
    of_bce = least_constant_loss(BinaryCrossEntropy(), share)
    assert of_bce == pytest.approx(float(binary_cross_entropy(share, share)), rel=1e-9)
    for loss in (FocalLoss(), AsymmetricLoss()):
        tried = torch.linspace(-9, 9, 4001, dtype=torch.float64).view(1, -1, 1).expand(-1, -1, 3)
        ones = torch.ones_like(tried)
        losses = share * loss.per_output(tried, ones)
        losses = losses + (1 - share) * loss.per_output(tried, 0 * ones)
        # steps of 0.05 in log-odds against finer ones, at a minimum
        expected = float(losses.amin(dim=1).mean())
        assert least_constant_loss(loss, share) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["focal", "asymmetric"])
def test_a_training_takes_it(loss: str, sedtf: Sedtf) -> None:
    settings = [*TINY, *TINY_SOUNDSCAPES, f"trainer.loss={loss}"]
    assert sedtf("train", *settings, "output_dir=run") == 0
    history = pd.read_csv("run/history.csv")
    # the same loss on other recordings: an untrained model is about equally wrong on both
    assert history["validation_loss"][0] == pytest.approx(history["train_loss"][0], rel=0.25)
