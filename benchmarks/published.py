"""The published implementation, rewritten from its description: the reference for speed.

Source: Drossos et al. 2019 and its tutorial: convolutions in torch's default memory layout and
float32, features computed within the step, and a loop over time in which the next input of every
sample is chosen one after the other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def per_sample_loop(
    features: Tensor, targets: Tensor, teacher_mask: Tensor, cell: nn.GRUCell, readout: nn.Linear
) -> Tensor:
    """Run the recurrence with a loop over time and, within it, over samples.

    Args:
        features: (B, T, F).
        targets: (B, T, C).
        teacher_mask: bool (B, T).
        cell: ``nn.GRUCell(F + C, H)``.
        readout: ``nn.Linear(H, C)``.

    Returns:
        Logits (B, T, C).
    """
    n_sequences, n_steps, _ = features.shape
    hidden = features.new_zeros(n_sequences, cell.hidden_size)
    fed = features.new_zeros(n_sequences, readout.out_features)
    outputs = []
    for step in range(n_steps):
        hidden = cell(torch.cat([features[:, step], fed], dim=-1), hidden)
        logits = readout(hidden)
        outputs.append(logits)
        own = (torch.sigmoid(logits) > 0.5).float()
        fed = torch.zeros_like(fed)
        for sample in range(n_sequences):
            if teacher_mask[sample, step]:
                fed[sample] = targets[sample, step]
            else:
                fed[sample] = own[sample].detach()
    return torch.stack(outputs, dim=1)


class PublishedCRNN(nn.Module):
    """Three blocks of convolution, batch norm, ReLU, pooling and dropout; then the loop.

    Args:
        n_channels: of every block, and hidden units of the GRU.
        n_classes: C.
    """

    def __init__(self, *, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.pooling = (5, 4, 2)
        channels = [1, n_channels, n_channels, n_channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 5, padding=2) for i in range(3)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n_channels) for _ in range(3))
        self.dropout = nn.Dropout(0.25)
        self.cell = nn.GRUCell(n_channels + n_classes, n_channels)
        self.readout = nn.Linear(n_channels, n_classes)

    def forward(self, log_mel: Tensor, targets: Tensor, teacher_mask: Tensor) -> Tensor:
        """Map (B, T, 40) to logits (B, T, C)."""
        x = log_mel.unsqueeze(1)  # (B, 1, T, 40)
        for convolution, norm, pool in zip(
            self.convolutions, self.norms, self.pooling, strict=True
        ):
            x = self.dropout(F.max_pool2d(torch.relu(norm(convolution(x))), (1, pool)))
        features = x.permute(0, 2, 1, 3).flatten(2)  # (B, C, T, 1) -> (B, T, C)
        return per_sample_loop(features, targets, teacher_mask, self.cell, self.readout)
