"""Modules that pool logits of frames into logits of clips; see :mod:`sed_cli.models.pooling`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sed_cli.models.pooling import averaged


class LinearSoftmaxPooling(nn.Module):
    """Logits (B, T, C) -> (B, C): probabilities are weighted by themselves."""

    def forward(self, logits: Tensor, valid: Tensor | None = None) -> Tensor:
        """Pool the frames that are ``valid``, bool (B, T)."""
        probabilities = logits.sigmoid()
        return averaged(probabilities, probabilities, valid)


class AttentionPooling(nn.Module):
    """Logits (B, T, C) -> (B, C): weighted by a softmax over time of learnt scores.

    It draws no random numbers, so that the rest of a model has the same weights as without it.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(n_classes))

    def forward(self, logits: Tensor, valid: Tensor | None = None) -> Tensor:
        """Pool the frames that are ``valid``, bool (B, T)."""
        scores = logits @ self.weight.T  # a bias would be the same in all frames
        if valid is not None:
            scores = torch.where(valid[..., None], scores, -torch.inf)
        return averaged(logits.sigmoid(), scores.softmax(dim=1), valid)
