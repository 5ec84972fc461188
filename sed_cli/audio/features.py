"""Waveforms to features: the base of front ends, and log-mel spectrograms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sed_cli.audio.limits import BLOCK_FRAMES, FLOOR
from sed_cli.errors import DataError
from sed_cli.system.torchaudio_import import import_torchaudio


class FrontEnd(nn.Module, ABC):
    """Features of a waveform with centred frames: frame t is centred at sample t * hop_length.

    Both ends are reflected, as by librosa's ``pad_mode="reflect"``. Subclasses compute frames in
    :meth:`frames`, and dependencies on earlier frames in :meth:`follow`. It has no trainable
    weights and an empty ``state_dict``.

    Args:
        sample_rate: of the waveforms, in Hz.
        window_length: samples in the window of a frame, at most ``n_fft``.
        hop_length: samples from one frame to the next.
        n_fft: length of the transform in samples, around the window.
        n_features: M, numbers per frame.
        n_together: size of groups of frames that depend on the samples of the whole group; a
            divisor of the frames in a block.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        window_length: int,
        hop_length: int,
        n_fft: int,
        n_features: int,
        n_together: int = 1,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.window_length = window_length
        self.hop_length = hop_length
        self.n_fft = n_fft
        self.n_features = n_features
        self.n_together = n_together

    @abstractmethod
    def frames(self, samples: Tensor) -> Tensor:
        """Transform (B, n) into the frames (B, t, M) of its whole transforms, each by itself."""

    def follow(self, frames: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Compute features from frames (B, t, M) that depend on earlier ones.

        Args:
            frames: the next frames, from :meth:`frames`.
            state: second result of the previous call; ``None`` at the start.
        """
        return frames, None

    @property
    def centres_hz(self) -> NDArray[np.float64] | None:
        """Centre frequency of each band in Hz, (M,); ``None`` if features are not bands."""
        return None

    @property
    def band_hz(self) -> tuple[float, float]:
        """Lowest and highest frequency that the features cover."""
        return 0.0, self.sample_rate / 2

    def n_frames(self, n_samples: int) -> int:
        """T for a waveform of ``n_samples``."""
        return 1 + n_samples // self.hop_length

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform waveforms.

        Args:
            waveform: float32 (B, n_samples), full scale at -1 and 1, at ``sample_rate``.

        Returns:
            Float32 (B, 1, T, M) with T = 1 + n_samples // hop_length.

        Raises:
            DataError: if there are no samples.
            ValueError: if ``waveform`` is not two-dimensional.
        """
        if waveform.ndim != 2:
            raise ValueError(f"waveform of shape {tuple(waveform.shape)}: expected (B, n_samples)")
        if not waveform.shape[1]:
            raise DataError("a waveform without samples has no features")
        n_frames = self.n_frames(waveform.shape[1])
        padded = self._reflect(waveform)
        blocks = [
            self.block(padded[:, first * self.hop_length :])[:, : n_frames - first]
            for first in range(0, n_frames, BLOCK_FRAMES)
        ]
        features, _ = self.follow(torch.cat(blocks, dim=1), None)
        return features.unsqueeze(1)  # (B, 1, T, M)

    @torch.no_grad()
    def block(self, padded: Tensor) -> Tensor:
        """Transform one block: (B, n) from the first sample of its first frame -> (B, 64, M).

        Samples of ``padded`` after the block are ignored, missing ones are taken as zero.
        """
        span = (BLOCK_FRAMES - 1) * self.hop_length + self.n_fft
        piece = padded[:, :span]
        return self.frames(F.pad(piece, (0, span - piece.shape[1])))

    def _reflect(self, waveform: Tensor) -> Tensor:
        half = self.n_fft // 2
        if waveform.shape[1] <= half:  # too short to be mirrored: silence follows it
            waveform = F.pad(waveform, (0, half + 1 - waveform.shape[1]))
        return F.pad(waveform, (half, half), mode="reflect")


class LogMel(FrontEnd):
    """(Log-)mel power spectrogram: 10 * log10 of the power, floored at 1e-10; or the power itself.

    The Hann window and the Slaney mel scale and normalisation are librosa's defaults; both back
    ends give the same numbers (to about 1e-4 dB).

    Arguments: the fields of :class:`sed_cli.audio.front_ends.logmel.LogMelConfig`.

    Raises:
        ValueError: if ``backend`` is unknown.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        window_length: int,
        hop_length: int,
        n_fft: int,
        n_mels: int,
        f_min: float,
        f_max: float | None,
        is_log: bool,
        backend: str,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            window_length=window_length,
            hop_length=hop_length,
            n_fft=n_fft,
            n_features=n_mels,
        )
        if backend not in _SPECTROGRAMS:
            raise ValueError(f"backend={backend!r}: expected one of {', '.join(_SPECTROGRAMS)}")
        self.n_mels = n_mels
        self.is_log = is_log
        self.f_min = f_min
        self.f_max = sample_rate / 2 if f_max is None else f_max
        transform = _SPECTROGRAMS[backend](
            sample_rate, n_fft, window_length, hop_length, n_mels, f_min, self.f_max
        )
        # Kept out of parameters and state_dict: torchlibrosa's DFT alone is 4.2 M frozen weights.
        self._transform = [transform]

    @property
    def centres_hz(self) -> NDArray[np.float64]:
        """Centre frequency of each band in Hz, (M,)."""
        edges: NDArray[np.float64] = librosa.mel_frequencies(
            self.n_mels + 2, fmin=self.f_min, fmax=self.f_max
        )
        return edges[1:-1]

    @property
    def band_hz(self) -> tuple[float, float]:
        """Edges of the lowest and of the highest band."""
        return self.f_min, self.f_max

    def frames(self, samples: Tensor) -> Tensor:
        """In dB, or power: (B, n) -> (B, t, M)."""
        mel: Tensor = self._transform[0].to(samples.device)(samples)
        return 10.0 * torch.log10(mel.clamp_min(FLOOR)) if self.is_log else mel


Transform = Callable[[int, int, int, int, int, float, float], nn.Module]


class _TorchlibrosaMel(nn.Module):
    dft: Tensor
    mel: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        window_length: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
    ) -> None:
        super().__init__()
        from torchlibrosa.stft import STFT, LogmelFilterBank

        stft = STFT(n_fft=n_fft, hop_length=hop_length, win_length=window_length, center=False)
        bank = LogmelFilterBank(
            sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, is_log=False
        )
        self.n_fft, self.hop_length = n_fft, hop_length
        dft = torch.cat([stft.conv_real.weight, stft.conv_imag.weight])[:, 0].detach()
        self.register_buffer("dft", dft)  # (2 * bins, n_fft)
        self.register_buffer("mel", bank.melW.detach())  # (bins, M)

    def forward(self, waveform: Tensor) -> Tensor:
        # Its convolution, as a matrix product: three times faster for few frames.
        frames = waveform.unfold(1, self.n_fft, self.hop_length)  # (B, n) -> (B, T, n_fft)
        real, imag = F.linear(frames, self.dft).chunk(2, dim=2)  # (B, T, bins)
        return (real.square() + imag.square()) @ self.mel  # (B, T, M)


class _TorchaudioMel(nn.Module):
    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        window_length: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
    ) -> None:
        super().__init__()
        self.mel = import_torchaudio("transforms").MelSpectrogram(
            sample_rate=sample_rate,
            n_fft=n_fft,
            win_length=window_length,
            hop_length=hop_length,
            f_min=f_min,
            f_max=f_max,
            n_mels=n_mels,
            power=2.0,
            center=False,
            norm="slaney",
            mel_scale="slaney",
        )

    def forward(self, waveform: Tensor) -> Tensor:
        mel: Tensor = self.mel(waveform)  # (B, n) -> (B, M, T)
        return mel.transpose(1, 2)


_SPECTROGRAMS: dict[str, Transform] = {
    "torchlibrosa": _TorchlibrosaMel,
    "torchaudio": _TorchaudioMel,
}
