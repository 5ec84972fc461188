"""The convolution block of the CRNN: the definition. :mod:`.fast_conv` computes the same faster."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU, max-pooling over frequency, dropout; T is unchanged.

    Padded frames are zero, like the convolution's own padding, and do not enter the batch
    statistics, so that features of a sequence do not depend on the rest of its batch.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: over time and frequency, odd.
        pooling: factor over frequency.
        dropout: probability of dropping a value, in [0, 1).
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, kernel_size: int, pooling: int, dropout: float
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Transform (B, in_channels, T, bands) into (B, out_channels, T, bands / pooling).

        Args:
            x: zero where ``valid`` is not set.
            valid: bool (B, 1, T, 1), set on frames that are not padding; None: all are valid.
        """
        x = self.conv(x)  # (B, out_channels, T, bands)
        if valid is None:
            x = self.norm(x)
        else:
            is_valid = valid[:, 0, :, 0]  # (B, T)
            frames = x.transpose(1, 2)  # (B, T, channels, bands)
            normed = self.norm(frames[is_valid][:, :, None])  # (N, channels, 1, bands)
            x = torch.zeros_like(frames).index_put((is_valid,), normed[:, :, 0]).transpose(1, 2)
        x = F.max_pool2d(F.relu(x), (1, self.pooling))
        dropped: Tensor = self.dropout(x)
        return dropped
