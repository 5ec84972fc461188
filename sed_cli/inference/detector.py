"""A detector: features, model and classes together, always free running."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sed_cli.audio import LogMel, duration_s, read_audio, resample
from sed_cli.data.annotations import Event
from sed_cli.errors import DataError
from sed_cli.inference.postprocessing import PostProcessing
from sed_cli.models import CRNN
from sed_cli.models.recurrence import Feedback


class Detector:
    """A trained model with all that it takes to go from a recording to events.

    Args:
        model: the CRNN; it is put into evaluation mode when it is applied.
        log_mel: the features that it was trained on.
        classes: labels of its outputs.
        feedback: ``hard`` or ``soft``: what is made of its own output; one that was trained with
            ``sampled`` is run with ``hard``, so that the same audio gives the same events.
        device: where it runs.
        postprocessing: what is made of the probabilities; ``None``: plain 0.5.
    """

    def __init__(
        self,
        model: CRNN,
        *,
        log_mel: LogMel,
        classes: Sequence[str],
        feedback: str = "hard",
        device: torch.device | str = "cpu",
        postprocessing: PostProcessing | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.log_mel = log_mel
        self.classes = tuple(classes)
        self.feedback: Feedback = "soft" if feedback == "soft" else "hard"
        self.postprocessing = postprocessing or PostProcessing.plain(len(self.classes))

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.log_mel.hop_length / self.log_mel.sample_rate

    @torch.no_grad()
    def logits(self, log_mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run the model freely on features (B, T, M), padded after ``lengths`` (B,).

        Returns:
            Logits (B, T, C) on the detector's device; of no meaning in the padding.
        """
        was_training = self.model.training
        self.model.eval()
        try:
            logits: Tensor = self.model(
                log_mel.to(self.device),
                lengths=None if lengths is None else lengths.to(self.device),
                feedback=self.feedback,
            )
        finally:
            self.model.train(was_training)
        return logits

    def probabilities(
        self, audio: str | Path | ArrayLike, sample_rate: int | None = None
    ) -> NDArray[np.float32]:
        """Probability of each class at each frame of a recording.

        Args:
            audio: a file of any rate and channel count, or a waveform: (n_samples,) or
                (n_samples, n_channels), full scale at -1 and 1.
            sample_rate: of the waveform, in Hz; ``None``: that of the detector.

        Returns:
            Float32 (T, C).

        Raises:
            DataError: if the file cannot be read, or the waveform has no samples, another shape,
                integers, or values that are not finite.
        """
        waveform = torch.from_numpy(self._waveform(audio, sample_rate))
        logits = self.logits(self.log_mel(waveform[None])[:, 0])
        probabilities: NDArray[np.float32] = torch.sigmoid(logits[0]).cpu().numpy()
        return probabilities

    def predict(self, audio: str | Path | ArrayLike, sample_rate: int | None = None) -> list[Event]:
        """Events in a recording, in order of onset; arguments as for :meth:`probabilities`.

        They are those that ``sedtf eval`` finds in the same file; none ends after the recording.
        """
        return self.postprocessing.events(
            self.probabilities(audio, sample_rate),
            self.classes,
            self.hop_s,
            self._duration_s(audio, sample_rate),
        )

    def _duration_s(self, audio: str | Path | ArrayLike, sample_rate: int | None) -> float:
        if isinstance(audio, str | Path):
            return duration_s(Path(audio))
        return len(np.asarray(audio)) / (sample_rate or self.log_mel.sample_rate)

    def _waveform(
        self, audio: str | Path | ArrayLike, sample_rate: int | None
    ) -> NDArray[np.float32]:
        own_rate = self.log_mel.sample_rate
        if isinstance(audio, str | Path):
            return read_audio(Path(audio), own_rate)
        samples = _checked_samples(audio)
        mono = samples if samples.ndim == 1 else samples.mean(axis=1)
        return resample(mono, sample_rate or own_rate, own_rate)


def _checked_samples(audio: ArrayLike) -> NDArray[np.float32]:
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or not samples.size:
        raise DataError(
            f"a waveform of shape {samples.shape}: expected (n_samples,) or (n_samples, n_channels)"
        )
    if samples.ndim == 2 and samples.shape[1] > samples.shape[0]:
        raise DataError(
            f"a waveform of shape {samples.shape} has more channels than samples: "
            f"expected (n_samples, n_channels), so transpose it"
        )
    if samples.dtype.kind != "f":
        raise DataError(
            f"a waveform of {samples.dtype}: expected floats with full scale at -1 and 1, "
            f"so divide 16-bit integers by 32768"
        )
    if not np.isfinite(samples).all():
        raise DataError("a waveform with values that are not finite: expected numbers in [-1, 1]")
    return samples.astype(np.float32)
