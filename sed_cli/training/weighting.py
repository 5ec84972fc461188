"""Losses in which what is rarely active counts more."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class OutputLoss(Protocol):
    """A loss of each output, as the settings of one compute it."""

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (..., C) each, without reduction."""


class WeightedLoss:
    """A loss whose active targets count more than the silent ones.

    Args:
        loss: what is weighted.
        weights: of active targets, (C,).
    """

    def __init__(self, loss: OutputLoss, weights: Tensor) -> None:
        self._loss, self._weights = loss, weights

    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, (..., C) each; of hard targets as ``pos_weight`` of torch has it."""
        weights = self._weights.to(logits)
        return self._loss.per_output(logits, targets) * (1 + (weights - 1) * targets)


def positive_weights(n_active: Tensor, n_known: Tensor, limit: float) -> Tensor:
    """How many silent targets there are for each active one, (C,), from 1 to ``limit``.

    Args:
        n_active: active targets of each output, (C,).
        n_known: all of them, (C,).
        limit: at least 1.
    """
    n_silent = (n_known - n_active).double()
    return (n_silent / n_active).nan_to_num(nan=limit, posinf=limit).clamp(1.0, limit).float()
