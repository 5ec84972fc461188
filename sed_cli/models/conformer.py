"""A conformer instead of the recurrence: attention and convolutions over time.

Shapes: B sequences, T frames, F features per frame, D numbers per frame within it, C outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sed_cli.models.non_causal import NonCausalCRNN
from sed_cli.system.torchaudio_import import import_torchaudio


class ConformerDetector(NonCausalCRNN):
    """Convolutions over time and frequency, a linear layer, torchaudio's conformer, a readout.

    Longer sequences are read in windows that overlap by half, of which the middle is kept.
    Normalisation is by groups, not batches: the results for a sequence do not depend on its batch,
    and padding is never read.

    Source: Gulati et al. 2020, "Conformer" (arXiv 2005.08100); for sound events Miyazaki et al.
    2020, DCASE task 4; differs: no positional encoding, which torchaudio's conformer lacks.

    Args:
        rnn_hidden: units of a GRU of about the size of a layer: D is half of them, and the
            feed-forward layers have as many; a multiple of ``2 * n_heads``.
        n_heads: of the attention.
        n_layers: of the conformer.
        time_kernel: of its convolutions over time, odd.
        window: maximum number of frames read at once.
        dropout: as in :class:`~sed_cli.models.crnn.CRNN`, in the conformer too.
        sizes: the other arguments of :class:`~sed_cli.models.crnn.CRNN`.
    """

    def __init__(
        self,
        *,
        rnn_hidden: int,
        n_heads: int,
        n_layers: int,
        time_kernel: int,
        window: int,
        dropout: float,
        **sizes: Any,
    ) -> None:
        super().__init__(dropout=dropout, **{**sizes, "rnn_hidden": 1})
        self.window = window
        width = rnn_hidden // 2
        self.projection = nn.Linear(self.n_features, width)
        self.conformer = import_torchaudio("models").Conformer(
            input_dim=width,
            num_heads=n_heads,
            ffn_dim=rnn_hidden,
            num_layers=n_layers,
            depthwise_conv_kernel_size=time_kernel,
            dropout=dropout,
            use_group_norm=True,
        )
        self.readout = nn.Linear(width, self.n_outputs)

    def read(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Run the conformer: (B, T, F) -> (B, T, D)."""
        x = self.projection(features)  # (B, T, D)
        if lengths is None:
            return self._read(x)
        read = torch.zeros_like(x)  # its convolutions would read the padding
        for n_frames in sorted({*lengths.tolist()} - {0}):
            rows = (lengths == n_frames).nonzero()[:, 0].to(x.device)
            read[rows, :n_frames] = self._read(x[rows, :n_frames])
        return read

    def _read(self, x: Tensor) -> Tensor:
        """Run (B, T, D) window by window, with at least a quarter window around each frame."""
        n_frames = x.shape[1]
        if n_frames <= self.window:
            return self._run(x)
        starts = [*range(0, n_frames - self.window, self.window // 2), n_frames - self.window]
        bounds = [0, *(start + self.window // 4 for start in starts[1:]), n_frames]
        parts = [
            self._run(x[:, start : start + self.window])[:, first - start : end - start]
            for start, first, end in zip(starts, bounds, bounds[1:], strict=False)
        ]
        return torch.cat(parts, dim=1)

    def _run(self, x: Tensor) -> Tensor:
        whole = torch.full((len(x),), x.shape[1], device=x.device)
        read: Tensor = self.conformer(x, whole)[0]
        return read
