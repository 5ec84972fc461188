"""Calibration of the probabilities of frames."""

from __future__ import annotations

import torch

from sed_cli.tasks.detection.platt import Platt


def test_logits_that_are_too_sure_are_scaled_and_shifted() -> None:
    generator = torch.Generator().manual_seed(1)
    right = torch.randn(200_000, 2, generator=generator) * 2 - 1
    targets = (torch.rand(right.shape, generator=generator) < right.sigmoid()).float()
    given = torch.stack([right[:, 0] * 3, (right[:, 1] + 1) / 0.5], dim=1)
    found = Platt.fit(given, targets)
    # two standard errors of a logistic regression on so many frames
    torch.testing.assert_close(found.scale, torch.tensor([1 / 3, 0.5]), rtol=0.02, atol=0)
    torch.testing.assert_close(found.offset, torch.tensor([0.0, -1.0]), rtol=0, atol=0.03)
    torch.testing.assert_close(found(given), right, rtol=0.05, atol=0.05)


def test_unknown_frames_do_not_count() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1000, 1, generator=generator)
    targets = (torch.rand(logits.shape, generator=generator) < logits.sigmoid()).float()
    more = torch.cat([targets, torch.full((500, 1), torch.nan)])
    found = Platt.fit(torch.cat([logits, torch.randn(500, 1, generator=generator) * 9]), more)
    expected = Platt.fit(logits, targets)
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.offset, expected.offset, rtol=1e-4, atol=1e-4)


def test_a_few_frames_change_little_and_a_class_that_is_never_active_stays_finite() -> None:
    logits = torch.tensor([[1.0, -3.0], [-1.0, -4.0]])
    found = Platt.fit(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert 1 < found.scale[0] < 1.5
    assert abs(found.offset[0]) < 0.01
    assert found(logits).isfinite().all()
    assert (found(logits)[:, 1] < 0).all()
