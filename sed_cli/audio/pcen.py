"""Per-channel energy normalisation: each band against its own recent past."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.audio.features import FrontEnd, LogMel


class PCEN(FrontEnd):
    """Mel power under automatic gain control and a root: (E / (eps + M) ** alpha + delta) ** r.

    M follows the power E of its band: M_t = M_(t-1) + s (E_t - M_(t-1)), with M_0 = E_0. The root
    of delta is subtracted, so that silence is 0. It is as causal as a mel spectrogram is.

    Source: Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting" (arXiv
    1607.05666), equations 1 and 2, not trained; s of a time constant as in librosa.pcen (Lostanlen
    et al. 2019). Differs: full scale is 1, where librosa's eps assumes 2 ** 31.

    Args:
        mel: the mel spectrogram, without its logarithm.
        gain: alpha, in [0, 1].
        bias: delta.
        power: r.
        time_constant_s: of M, in seconds.
        eps: power below which a band counts as silent.
    """

    def __init__(
        self,
        mel: LogMel,
        *,
        gain: float,
        bias: float,
        power: float,
        time_constant_s: float,
        eps: float,
    ) -> None:
        super().__init__(
            sample_rate=mel.sample_rate,
            window_length=mel.window_length,
            hop_length=mel.hop_length,
            n_fft=mel.n_fft,
            n_features=mel.n_features,
        )
        self._mel = [mel]  # kept out of the modules and the state_dict
        self._gain, self._bias, self._power, self._eps = gain, bias, power, eps
        n_frames = time_constant_s * mel.sample_rate / mel.hop_length
        self._share = (math.sqrt(1 + 4 * n_frames**2) - 1) / (2 * n_frames**2)  # s

    @property
    def centres_hz(self) -> NDArray[np.float64]:
        """Centre frequency of each band in Hz, (M,)."""
        return self._mel[0].centres_hz

    @property
    def band_hz(self) -> tuple[float, float]:
        """Edges of the lowest and of the highest band."""
        return self._mel[0].band_hz

    def frames(self, samples: Tensor) -> Tensor:
        """Mel power: (B, n) -> (B, t, M)."""
        return self._mel[0].frames(samples)

    @torch.no_grad()
    def follow(self, frames: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalise mel power (B, t, M); the state is M after the last frame, (B, M)."""
        smooth = state
        out = []
        # Frame by frame, even without the recursion: vectorised powers are rounded depending on the
        # position in memory, and a frame would depend on how its samples arrived.
        for power in frames.unbind(1):
            power = power.contiguous()
            smooth = power if smooth is None else smooth + self._share * (power - smooth)
            gained = power * (smooth + self._eps).pow(-self._gain)
            out.append((gained + self._bias).pow(self._power) - self._bias**self._power)
        return (torch.stack(out, dim=1) if out else frames), smooth
