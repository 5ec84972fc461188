"""The convolution block of :mod:`.conv`, rearranged for speed.

Three rearrangements with the same results (docs/performance.md has the gain of each):

- Time is the last axis within a block. The later blocks have few bands left, and a convolution over
  (T, 2) hardly uses a processor's vector and matrix units, while one over (2, T) fills them.
- Pooling comes before ReLU, which is monotonic.
- Batch norm becomes part of the kernel wherever its statistics are known before the convolution: in
  evaluation, and in training for a single input channel, from the covariance of its patches.

Where several processes train together, the statistics are those of the batch of all of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed_cli.models.conv import ConvBlock
from sed_cli.system.distributed import n_ranks, pooled_moments, summed


class FastConvBlock(ConvBlock):
    """:class:`ConvBlock`, with the same weights, numbers and names in the ``state_dict``."""

    def __init__(self, *, dropout: float, **sizes: int) -> None:
        super().__init__(dropout=dropout, **sizes)
        self.dropout = FastDropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Transform (B, in_channels, T, bands) into (B, out_channels, T, bands / pooling)."""
        x = x.transpose(2, 3)  # (B, in_channels, T, bands) -> (B, in_channels, bands, T)
        valid = None if valid is None else valid.transpose(2, 3)  # (B, 1, 1, T)
        if x.shape[1] == 1:
            x = self._conv_and_norm_of_one_channel(x, valid)
        else:
            x = self._norm(self._conv(x), valid)
        x = F.max_pool2d(x, (self.pooling, 1))  # (B, out_channels, bands / pooling, T)
        x = F.relu(x if valid is None else x * valid.to(x.dtype))
        dropped: Tensor = self.dropout(x)
        return dropped.transpose(2, 3)

    def _conv(self, x: Tensor) -> Tensor:
        """Convolve (B, in_channels, bands, T); the kernel is one over (T, bands)."""
        x = x.contiguous(memory_format=torch.channels_last)
        conv = self.conv
        return F.conv2d(x, conv.weight.transpose(2, 3), conv.bias, padding=conv.padding)

    def _conv_and_norm_of_one_channel(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Convolve (B, 1, bands, T) and normalise, as one product with the patches of ``x``."""
        patches = _patches(x[:, 0], self.conv.kernel_size[0])  # (B, bands, T, K)
        kernel = self.conv.weight.transpose(2, 3).flatten(1)  # over (bands, T), as the patches
        assert self.conv.bias is not None
        kernel = torch.cat([kernel, self.conv.bias[:, None]], dim=1)  # (out_channels, K)
        if self.training:
            mean, var = self._output_statistics(kernel, patches, valid)
        else:
            mean, var = self._running_statistics()
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        shift = self.norm.bias - mean * scale
        kernel = kernel * scale[:, None] + F.pad(shift[:, None], (kernel.shape[1] - 1, 0))
        return F.linear(patches, kernel).permute(0, 3, 1, 2)

    def _output_statistics(
        self, kernel: Tensor, patches: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of the convolution's output, each (out_channels,), without its output.

        The output at a patch is the product of the kernel with it: so its mean is the product with
        the mean patch, and its variance k' S k with the covariance S of the patches. In float64,
        since neighbours in a spectrogram are similar: the variance of a differencing kernel is a
        small remainder of the numbers in S.
        """
        moments = patches.new_zeros(patches.shape[3], patches.shape[3], dtype=torch.float64)
        for index, sequence in enumerate(patches):  # one by one, to fit into the processor's cache
            values = sequence.double()  # (bands, T, K)
            counted = values if valid is None else values * valid[index, 0, :, :, None]
            moments = moments + counted.flatten(0, 1).t() @ values.flatten(0, 1)
        moments = summed(moments)
        count = moments[-1, -1]  # a patch ends with a one
        centre = moments[-1] / count  # (K,)
        covariance = moments / count - torch.outer(centre, centre)
        weight = kernel.double()
        mean = (weight @ centre).to(kernel.dtype)
        var = ((weight @ covariance) * weight).sum(1).clamp_min(0).to(kernel.dtype)
        self._note_statistics(mean, var, count)
        return mean, var

    def _running_statistics(self) -> tuple[Tensor, Tensor]:
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        return self.norm.running_mean, self.norm.running_var

    def _norm(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Batch norm of (B, channels, bands, T) with the statistics of valid frames only."""
        if not self.training or (valid is None and n_ranks() == 1):
            normed: Tensor = self.norm(x)
            return normed
        if valid is None:
            valid = x.new_ones(len(x), 1, 1, x.shape[3], dtype=torch.bool)
        dtype = x.dtype
        # sums lose too much precision in half precision
        x = x.float() if dtype == torch.bfloat16 else x
        count = valid.sum() * x.shape[2]
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)  # (B * bands * T, channels)
        weights = (valid.to(x.dtype) / count).expand_as(x[:, :1]).flatten()  # sum to 1
        with torch.autocast(x.device.type, enabled=False):
            mean = weights @ rows  # (channels,)
            centred = rows - mean
            var = weights @ centred.square()
        if n_ranks() > 1:
            own_mean = mean
            mean, var, count = pooled_moments(mean, var, count)
            centred = centred + (own_mean - mean)
        self._note_statistics(mean, var, count)
        scale = self.norm.weight * torch.rsqrt(var + self.norm.eps)
        normed = torch.addcmul(self.norm.bias, centred, scale).to(dtype)
        return normed.view(len(x), x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def _note_statistics(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Update the running statistics like ``nn.BatchNorm2d``."""
        norm = self.norm
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        running_mean, running_var = self._running_statistics()
        running_mean.lerp_(mean, norm.momentum)
        running_var.lerp_(var * count / (count - 1).clamp_min(1), norm.momentum)
        norm.num_batches_tracked.add_(1)


def _patches(x: Tensor, size: int) -> Tensor:
    """Cut (B, bands, T) into the patches of a kernel at each position: (B, bands, T, K).

    K is size * size + 1: a patch ends with a one, which makes the bias part of the product.
    """
    pad = size // 2
    windows = F.pad(x, (pad, pad, pad, pad)).unfold(1, size, 1).unfold(2, size, 1)
    patches = x.new_ones(*x.shape, size * size + 1)
    patches[..., :-1].view(windows.shape).copy_(windows)
    return patches


class FastDropout(nn.Dropout):
    """``nn.Dropout`` with a cheaper draw on the CPU: 16 random bits per value.

    The probability is rounded to a multiple of 2^-16, and kept values are scaled by the inverse of
    the rounded one, so that the expectation stays exact. Draws come from torch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of ``x`` in training mode."""
        n_dropped = round(self.p * 2**16)
        if not self.training or not n_dropped:
            return x
        if x.device.type != "cpu" or n_dropped == 2**16:
            return F.dropout(x, self.p)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()]  # each of -2^15 ... 2^15 - 1 equally likely
        kept = torch.ge(bits, n_dropped - 2**15, out=torch.empty(bits.shape, dtype=x.dtype))
        factor = kept.mul_(2**16 / (2**16 - n_dropped))
        # In the memory order of ``x``: otherwise the product would access it with strides.
        order = sorted(range(x.ndim), key=lambda axis: x.stride()[axis], reverse=True)
        shape = [x.shape[axis] for axis in order]
        back = sorted(range(x.ndim), key=lambda axis: order[axis])
        return x * factor.view(shape).permute(back)
