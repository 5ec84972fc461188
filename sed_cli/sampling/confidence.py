"""Confidence of a model: the probability that it assigns to its targets."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def of_activities(
    logits: Tensor, targets: Tensor, *, each: bool, known: Tensor | None = None
) -> Tensor:
    """Probability of the activities of frames.

    Args:
        logits: (B, T, C).
        targets: activities in [0, 1], (B, T, C).
        each: for each class separately; else for whole frames, which is the product over classes,
            since a detector's outputs are independent.
        known: activities that count, bool (B, T, C); None: all.

    Returns:
        (B, T, C), or (B, T).
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if known is not None and not each:
        losses = losses * known
    return (-losses if each else -losses.sum(dim=2)).exp()


def of_tokens(logits: Tensor, targets: Tensor) -> Tensor:
    """Probability of tokens: logits (B, T, C) and ids (B, T) -> (B, T)."""
    log_p = logits.log_softmax(dim=2)
    return log_p.gather(2, targets[..., None])[..., 0].exp()
