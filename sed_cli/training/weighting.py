"""Losses with a higher weight for rare activity."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class OutputLoss(Protocol):
    """An element-wise loss, computed by its settings."""

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (..., C) each, without reduction."""


class WeightedLoss:
    """A loss with a higher weight for active targets.

    Args:
        loss: the loss to weight.
        weights: of active targets, (C,).
    """

    def __init__(self, loss: OutputLoss, weights: Tensor) -> None:
        self._loss, self._weights = loss, weights

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (..., C) each; for hard targets equal to torch's ``pos_weight``."""
        weights = self._weights.to(logits)
        return self._loss.per_output(logits, targets) * (1 + (weights - 1) * targets)


def positive_weights(n_active: Tensor, n_known: Tensor, limit: float) -> Tensor:
    """Ratio of inactive to active targets, (C,), from 1 to ``limit``.

    Args:
        n_active: active targets of each output, (C,).
        n_known: all of them, (C,).
        limit: at least 1.
    """
    n_silent = (n_known - n_active).double()
    return (n_silent / n_active).nan_to_num(nan=limit, posinf=limit).clamp(1.0, limit).float()
