"""A detector on audio that is too long to be held in memory, or that is still arriving."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from sed_cli.audio import FeatureStream, Resampler, fault_of_rate, fault_of_samples
from sed_cli.decoding.decoder import StreamEvent
from sed_cli.errors import DataError
from sed_cli.tasks.detection.chunks import BLOCK_FRAMES, logits_of

if TYPE_CHECKING:
    from sed_cli.tasks.detection.detector import Detector


class Frames(NamedTuple):
    """Newly completed frames; probabilities lag behind features by a few frames."""

    log_mel: NDArray[np.float32]  # (t, M)
    probabilities: NDArray[np.float32]  # (t', C), with onsets (t', 2C)


class FrameStream:
    """Features and probabilities of a streamed mono waveform.

    Args:
        detector: computes the features and probabilities.
        sample_rate: of the samples, in Hz.

    Attributes:
        n_samples: samples pushed so far, at ``sample_rate``.

    Raises:
        DataError: if the sample rate is out of range.
    """

    def __init__(self, detector: Detector, sample_rate: int) -> None:
        if fault := fault_of_rate(sample_rate):
            raise DataError(fault)
        self.n_samples = 0
        self._detector = detector
        self._sample_rate = sample_rate
        self._resampler = Resampler(sample_rate, detector.log_mel.sample_rate)
        self._log_mel = FeatureStream(detector.log_mel)
        self._logits = logits_of(detector.model, feedback=detector.feedback, device=detector.device)
        look_ahead = detector.model.context * detector.log_mel.hop_length
        samples = look_ahead + self._log_mel.look_ahead_samples + detector.log_mel.hop_length
        self.latency_s = samples / detector.log_mel.sample_rate + self._resampler.latency_s
        """Seconds of audio after a frame's time within which its probabilities come: lookahead of
        the convolutions, half a window, one hop, and the delay of the resampler."""

    @property
    def duration_s(self) -> float:
        """Seconds of audio pushed so far."""
        return self.n_samples / self._sample_rate

    def push(self, samples: NDArray[np.float32]) -> Frames:
        """Take finite samples (n,), full scale at -1 and 1, and return the completed frames."""
        self.n_samples += len(samples)
        log_mel = self._log_mel.push(self._resampler.push(samples))
        logits = self._logits.push(torch.from_numpy(log_mel))
        return Frames(log_mel, self._probabilities(logits))

    def finish(self) -> Frames:
        """Return the last frames: no samples follow."""
        frames = [self._log_mel.push(self._resampler.finish()), self._log_mel.finish()]
        log_mel = np.concatenate(frames)
        logits = [self._logits.push(torch.from_numpy(log_mel)), self._logits.finish()]
        return Frames(log_mel, self._probabilities(torch.cat(logits)))

    def _probabilities(self, logits: torch.Tensor) -> NDArray[np.float32]:
        self._detector.check_logits(logits)
        return _probabilities(logits)


class DetectorStream:
    """Events in audio that is still arriving; :meth:`Detector.stream` creates one.

    An event is reported twice: when it starts and when it ends. The events are those that
    :meth:`Detector.predict` finds in the whole recording, however the samples are pushed; memory
    does not grow with time. The same audio can be pushed in single samples or by the hour.

    >>> stream = detector.stream(sample_rate=48000)
    >>> for samples in microphone:
    ...     for event in stream.push(samples):
    ...         print(event.kind, event.label, event.time_s, event.confidence)
    >>> last = stream.finish()

    Attributes:
        latency_s: seconds of audio after a start or an end within which it is reported. It is the
            sum of the lookahead of the convolutions, half a window, one hop, the delay of the
            resampler (none at the detector's own rate), and the delay of the decoder: for
            thresholds half the longest median filter, and the minimum gap and duration of events.
    """

    def __init__(self, detector: Detector, sample_rate: int) -> None:
        self._frames = FrameStream(detector, sample_rate)
        self._tracker = detector.tracker()
        self.latency_s = self._frames.latency_s + self._tracker.latency_s

    @property
    def duration_s(self) -> float:
        """Seconds of audio pushed so far."""
        return self._frames.duration_s

    def push(self, samples: ArrayLike) -> list[StreamEvent]:
        """Take the next samples and return the starts and ends that are now certain, by time.

        Args:
            samples: floats with full scale at -1 and 1, any number of them: (n,), or
                (n, n_channels), whose channels are averaged.

        Raises:
            DataError: for another shape, integers, or values that are not finite.
        """
        frames = self._frames.push(checked_mono(samples))
        return self._tracker.push(frames.probabilities, self.duration_s)

    def finish(self) -> list[StreamEvent]:
        """Return the remaining reports; active events end with the audio."""
        frames = self._frames.finish()
        reports = self._tracker.push(frames.probabilities, self.duration_s)
        return reports + self._tracker.finish(self.duration_s)


def _probabilities(logits: torch.Tensor) -> NDArray[np.float32]:
    # Padded: torch rounds differently for the remainder of a vectorised loop, and a frame must not
    # depend on how many frames came with it.
    padded = F.pad(logits, (0, 0, 0, -len(logits) % BLOCK_FRAMES))
    probabilities: NDArray[np.float32] = torch.sigmoid(padded)[: len(logits)].cpu().numpy()
    return probabilities


def checked_mono(audio: ArrayLike) -> NDArray[np.float32]:
    """Check a waveform (n,) or (n, n_channels) and average its channels.

    Raises:
        DataError: for another shape, integers, or values that are not finite or far too large.
    """
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not samples.shape[1]):
        raise DataError(
            f"a waveform of shape {samples.shape}: expected (n_samples,) or (n_samples, n_channels)"
        )
    if samples.dtype.kind != "f" and samples.size:
        raise DataError(
            f"a waveform of {samples.dtype}: expected floats with full scale at -1 and 1; "
            f"divide 16-bit integers by 32768"
        )
    if fault := fault_of_samples(samples):
        raise DataError(f"a waveform with {fault}: expected numbers in [-1, 1]")
    samples = samples.astype(np.float32)
    return samples if samples.ndim == 1 else samples.mean(axis=1)
