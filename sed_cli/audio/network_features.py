"""Features from a pretrained network, aligned in time with frames.

The network runs on windows of one length, with a group of frames in the middle and context on
each side. A window starts at a multiple of the group, so that a frame is always computed from
the same samples, in a stream as in a file.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sed_cli.audio.features import FrontEnd, LogMel
from sed_cli.audio.limits import BLOCK_FRAMES
from sed_cli.audio.network_windows import Windows
from sed_cli.audio.networks import Network, Output


class NetworkFeatures(FrontEnd):
    """Frames of a network's outputs, optionally joined with log-mel.

    Args:
        network: the network to run.
        outputs: the outputs to use, each with its frames J and features D in a window.
        windows: the windows it runs on.
        mel_in: computes its mel bands; None: it takes samples.
        joined: log-mel to append; None: none.
        sample_rate: of the samples, in Hz.
        hop_length: samples from one frame to the next.
    """

    def __init__(
        self,
        network: Network,
        *,
        outputs: list[tuple[Output, int, int]],
        windows: Windows,
        mel_in: LogMel | None,
        joined: LogMel | None,
        sample_rate: int,
        hop_length: int,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            window_length=2 * windows.context,
            hop_length=hop_length,
            n_fft=2 * windows.context,
            n_features=sum(size for *_, size in outputs) + (joined.n_features if joined else 0),
            n_together=windows.group,
        )
        self._network, self._windows = network, windows
        self._outputs = [output for output, *_ in outputs]
        self._weights = [
            windows.alignment(n_outputs, hop_length).astype(np.float32)
            for _, n_outputs, _ in outputs
        ]
        self._mel_in, self._joined = [mel_in], [joined]  # kept out of the modules

    @torch.no_grad()
    def frames(self, samples: Tensor) -> Tensor:
        """Run the network on the windows of whole blocks: (B, n) -> (B, t, M)."""
        windows, hop = self._windows, self.hop_length
        size = (windows.group - 1) * hop + self.n_fft
        cut = samples.unfold(1, size, windows.group * hop)  # (B, windows, size)
        given = F.pad(cut, (0, windows.length - size)).flatten(0, 1)
        if self._mel_in[0] is not None:
            given = self._mel_in[0].frames(given)
        embedded = self._network.run(given.cpu().contiguous().numpy(), self._outputs)
        aligned = [
            torch.from_numpy((weights @ values).reshape(len(samples), -1, values.shape[2]))
            for weights, values in zip(self._weights, embedded, strict=True)
        ]
        if self._joined[0] is not None:
            mel = self._joined[0]
            start = windows.context - mel.n_fft // 2
            span = (BLOCK_FRAMES - 1) * hop + mel.n_fft
            aligned.append(mel.frames(samples[:, start : start + span]))
        return torch.cat([each.to(samples.device) for each in aligned], dim=2)
