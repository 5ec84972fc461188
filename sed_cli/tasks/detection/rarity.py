"""Rarity of the classes in the training sequences of a detector."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from sed_cli.data.sequences import Sequences

log = logging.getLogger(__name__)


def count_targets(sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Number of active and of known targets of each output, int64 (C,) each."""
    active, known = [], []
    for targets in map(sequences.targets, range(len(sequences))):
        active.append((targets == 1).sum(0))
        known.append(targets.isfinite().sum(0))
    return torch.stack(active).sum(0), torch.stack(known).sum(0)


def balanced(sequences: Sequences, labels: Sequence[str], balance: float) -> Tensor:
    """Weight with which each sequence is drawn (N,), so that rare classes occur more often."""
    present = classes_present(sequences, len(labels))
    weights = drawing_weights(present, balance)
    then, now = (drawn_shares(present, each) for each in (torch.ones_like(weights), weights))
    shares = zip(labels, then, now, strict=True)
    log.info(
        "trainer.balance=%g: share of the drawn sequences that contain %s",
        balance,
        ", ".join(f"{label} {after:.1%} (else {before:.1%})" for label, before, after in shares),
    )
    return weights


def classes_present(sequences: Sequences, n_classes: int) -> Tensor:
    """The classes that are active anywhere in each sequence, bool (N, C)."""
    rows = map(sequences.targets, range(len(sequences)))
    return torch.stack([(targets[:, :n_classes] == 1).any(0) for targets in rows])


def drawing_weights(present: Tensor, balance: float) -> Tensor:
    """Relative probability of drawing each sequence, float64 (N,).

    It is the rarity of the sequence's rarest class, to the power of ``balance``; sequences without
    any event keep their share.

    Args:
        present: classes in each sequence, bool (N, C).
        balance: from 0 (all alike) to 1.
    """
    rarity = len(present) / present.sum(0).clamp(min=1).double()  # (C,)
    weights = (present * rarity).amax(1).pow(balance)
    has_any = present.any(1)
    return torch.where(has_any, weights, weights[has_any].mean() if has_any.any() else 1.0)


def drawn_shares(present: Tensor, weights: Tensor) -> list[float]:
    """Share of the drawn sequences that contain each class."""
    shares: list[float] = (weights @ present.double() / weights.sum()).tolist()
    return shares
