"""Token feedback: ids to rows of a table of embeddings, and the gradient of the table."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding


def embedded(chosen: Tensor, table: Tensor) -> Tensor:
    """Return the embeddings of tokens, or their mean under probabilities.

    Args:
        chosen: ids (...), or probabilities (B, C).
        table: (C, D).

    Returns:
        (..., D), or (B, D).
    """
    return chosen @ table if chosen.is_floating_point() else embedding(chosen, table)


def table_gradient(
    grad_fed: Tensor, tokens: Tensor, n_tokens: int, logits: Tensor | None
) -> Tensor:
    """Return the table's gradient (C, D): each row's is the sum over the steps where it was fed.

    Args:
        grad_fed: (T, B, D), of the feedback.
        tokens: (T + 1, B). The first entry does not come from the table. Later -1 means every row,
            weighted by its probability at the previous step.
        n_tokens: C.
        logits: (B, T, C); None if a token was chosen at every step.
    """
    grad_fed, chosen = grad_fed[1:], tokens[1:-1]  # (T - 1, B, D), (T - 1, B)
    table = grad_fed.new_zeros(n_tokens, grad_fed.shape[2])
    has_choice = chosen >= 0
    rows = torch.where(has_choice[:, :, None], grad_fed, 0.0)
    table.index_add_(0, chosen.clamp(min=0).flatten(), rows.flatten(0, 1))
    if logits is None:
        return table
    before = logits[:, :-1].transpose(0, 1)[~has_choice]  # (N, C)
    return table.addmm_(torch.softmax(before, dim=1).t(), grad_fed[~has_choice])
