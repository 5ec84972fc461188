"""A detector: features, model and classes; always free running."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sed_cli.audio import AudioReader, FrontEnd
from sed_cli.data.annotations import Event
from sed_cli.decoding.calibration import CalibratedTracker, ConfidenceMap
from sed_cli.decoding.decoder import Decoder, Tracker
from sed_cli.decoding.onsets import of_activities, plain_decoder
from sed_cli.errors import CheckpointError, DataError
from sed_cli.models import CRNN
from sed_cli.models.feedbacks import repeatable
from sed_cli.models.recurrence import Feedback
from sed_cli.tasks.detection.chunks import evaluating, forced_logits, logits_of
from sed_cli.tasks.detection.streaming import DetectorStream, FrameStream, checked_mono

log = logging.getLogger(__name__)

_EMPTY_DB, _STEADY_DB = -90.0, 6.0  # mean and deviation of a band without sound
_BLOCK = 2**17  # samples of a waveform processed at once
_LONG_FRAMES = 32_768  # longer sequences need too much memory in the convolutions


class Detector:
    """A trained model with everything needed to get from a recording to its events.

    Args:
        model: the CRNN; in evaluation mode while it runs.
        log_mel: the features that it was trained on.
        classes: labels of its outputs.
        feedback: rule that turns its output into feedback; a model trained with a rule that draws,
            such as ``sampled``, is run with ``hard``, so that the same audio gives the same events.
        device: where it runs.
        decoder: turns probabilities into events; ``None``: a fixed threshold of 0.5.
        confidence_map: turns confidences of events into probabilities; ``None``: unchanged.
        source: file of the weights, named in errors about them.
    """

    def __init__(
        self,
        model: CRNN,
        *,
        log_mel: FrontEnd,
        classes: Sequence[str],
        feedback: Feedback = "hard",
        device: torch.device | str = "cpu",
        decoder: Decoder | None = None,
        confidence_map: ConfidenceMap | None = None,
        source: Path | None = None,
    ) -> None:
        self._source = source
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.log_mel = log_mel
        self.classes = tuple(classes)
        self.feedback = repeatable(feedback)
        self.decoder = decoder or self.plain_decoder
        self.confidence_map = confidence_map

    @property
    def plain_decoder(self) -> Decoder:
        """A fixed threshold of 0.5 for all classes, without splitting events."""
        return plain_decoder(self.classes, self.hop_s, onsets=self.model.has_onsets)

    def tracker(self) -> Tracker:
        """Create a tracker that finds events in streamed probabilities."""
        tracker = self.decoder.tracker()
        return CalibratedTracker(tracker, self.confidence_map) if self.confidence_map else tracker

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.log_mel.hop_length / self.log_mel.sample_rate

    @property
    def trained_hz(self) -> float | None:
        """Upper limit of sound in the recordings trained on, in Hz; ``None``: the whole band.

        Bands that hold only the residue of a resampler are recognised by their statistics.
        """
        centres_hz = self.log_mel.centres_hz
        if centres_hz is None or not getattr(self.log_mel, "is_log", False):
            return None
        normalisation = self.model.normalisation
        is_empty = (normalisation.mean < _EMPTY_DB) & (normalisation.std < _STEADY_DB)
        heard = np.flatnonzero(~is_empty.cpu().numpy())
        if not len(heard) or heard[-1] + 1 == len(centres_hz):
            return None
        return float(centres_hz[heard[-1]])

    @torch.no_grad()
    def logits(self, log_mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Run the model freely on features (B, T, M), padded after ``lengths`` (B,).

        Returns:
            Logits (B, T, C), with onsets (B, T, 2C), on the detector's device; undefined in the
            padding. Long sequences are computed piece by piece, with little memory beyond their
            features.
        """
        if log_mel.shape[1] > _LONG_FRAMES:
            logits = log_mel.new_zeros(*log_mel.shape[:2], self.model.n_outputs, device=self.device)
            rows = log_mel if lengths is None else map(_first_frames, log_mel, lengths)
            for row, of_row in zip(logits, rows, strict=True):
                row[: len(of_row)] = torch.cat(list(self.logits_of_blocks([of_row])))
            return self.check_logits(logits)
        with evaluating(self.model):
            of_batch: Tensor = self.model(
                log_mel.to(self.device),
                lengths=None if lengths is None else lengths.to(self.device),
                feedback=self.feedback,
            )
        return self.check_logits(of_batch)

    def forced_logits(self, log_mel: Tensor, targets: Tensor) -> Tensor:
        """Run the model on a recording (T, M) with teacher forcing by targets (T, C) or (T, 2C).

        Returns:
            Logits of that shape, on the detector's device.
        """
        logits = forced_logits(
            self.model, log_mel, targets, feedback=self.feedback, device=self.device
        )
        return self.check_logits(logits)

    def check_logits(self, logits: Tensor) -> Tensor:
        """Return logits if all are numbers; others would look like silence, below any threshold.

        Raises:
            CheckpointError: if any is not finite.
        """
        # A detector in training has no checkpoint: its loop reports a loss that is not finite.
        if self._source is None or bool(torch.isfinite(logits).all()):
            return logits
        raise CheckpointError(
            f"{self._source}: the outputs are not finite, so its weights are damaged or its "
            f"training diverged; use another checkpoint"
        )

    def logits_of_blocks(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Run the model freely on one recording of any length, in bounded memory.

        Args:
            blocks: its features (t, M), in order.

        Yields:
            Logits (t', C), with onsets (t', 2C), on the detector's device; concatenated, they are
            those of the whole recording. A model that is not causal yields all of them at the end,
            in memory that grows with the length.
        """
        stream = logits_of(self.model, feedback=self.feedback, device=self.device)
        for block in blocks:
            yield self.check_logits(stream.push(block))
        yield self.check_logits(stream.finish())

    def pool(self, probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        """Pool the probabilities of frames (T, C), or with onsets (T, 2C), into those of a clip."""
        logits = torch.from_numpy(np.asarray(probabilities, np.float32)).logit(1e-7)
        with torch.no_grad():
            of_clip = self.model.clip_logits(logits[None].to(self.model.readout.weight))[0]
        pooled: NDArray[np.float32] = of_clip.sigmoid().cpu().numpy()
        return pooled

    def stream(self, sample_rate: int | None = None) -> DetectorStream:
        """Detect events in audio that is still arriving.

        Args:
            sample_rate: of the audio, in Hz; ``None``: the rate of the detector.

        Raises:
            CheckpointError: if the model is not causal.
        """
        if not self.model.is_causal:
            raise CheckpointError(
                f"{self._source or 'the model'}: {type(self.model).__name__} is not causal: it "
                "needs the whole recording; use sedtf predict on recordings"
            )
        return DetectorStream(self, sample_rate or self.log_mel.sample_rate)

    def probabilities(
        self, audio: str | Path | ArrayLike, sample_rate: int | None = None
    ) -> NDArray[np.float32]:
        """Probability of each class at each frame of a recording.

        Args:
            audio: a file of any rate, channel count and length, or a waveform: (n_samples,) or
                (n_samples, n_channels), full scale at -1 and 1.
            sample_rate: of the waveform, in Hz; ``None``: the rate of the detector.

        Returns:
            Float32 (T, C).

        Raises:
            DataError: if the file cannot be read (the readable part of a damaged file is used,
                with a warning), or the waveform has no samples, another shape, integers, or
                values that are not finite.
        """
        rate, blocks = self._blocks(audio, sample_rate)
        stream = FrameStream(self, rate)
        frames = [*(stream.push(block) for block in blocks), stream.finish()]
        probabilities = np.concatenate([block.probabilities for block in frames])
        return of_activities(probabilities, len(self.classes))

    def predict(self, audio: str | Path | ArrayLike, sample_rate: int | None = None) -> list[Event]:
        """Events in a recording, in order of onset; arguments as for :meth:`probabilities`.

        They are the events that ``sedtf eval`` finds in the same file; all end within it.
        """
        rate, blocks = self._blocks(audio, sample_rate)
        stream = DetectorStream(self, rate)
        reports = [report for block in blocks for report in stream.push(block)] + stream.finish()
        return sorted(report.event for report in reports if report.event is not None)

    def _blocks(
        self, audio: str | Path | ArrayLike, sample_rate: int | None
    ) -> tuple[int, Iterator[NDArray[np.float32]]]:
        """Return the rate and the mono samples of a file or a waveform, block by block."""
        if isinstance(audio, str | Path):
            reader = AudioReader(Path(audio), salvage=log.warning)
            return reader.sample_rate, _blocks_of(reader)
        samples = _checked_samples(audio)
        rate = sample_rate or self.log_mel.sample_rate
        firsts = range(0, len(samples), _BLOCK)
        return rate, (checked_mono(samples[first : first + _BLOCK]) for first in firsts)


def _first_frames(log_mel: Tensor, length: Tensor) -> Tensor:
    return log_mel[: int(length)]


def _blocks_of(reader: AudioReader) -> Iterator[NDArray[np.float32]]:
    with reader:
        yield from reader.blocks()


def _checked_samples(audio: ArrayLike) -> NDArray[Any]:
    """Refuse an incomplete waveform; :func:`checked_mono` checks the rest."""
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or not samples.size:
        raise DataError(
            f"a waveform of shape {samples.shape}: expected (n_samples,) or (n_samples, n_channels)"
        )
    if samples.ndim == 2 and samples.shape[1] > samples.shape[0]:
        raise DataError(
            f"a waveform of shape {samples.shape} has more channels than samples: "
            f"expected (n_samples, n_channels); transpose it"
        )
    return samples
