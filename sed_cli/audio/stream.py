"""Features of recordings of any length, and of live audio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sed_cli.audio.features import FrontEnd
from sed_cli.audio.files import AudioReader
from sed_cli.audio.limits import BLOCK_FRAMES


class FeatureStream:
    """The frames of a waveform that arrives in pieces, each as soon as it is complete.

    Joined they are bit-identical to ``log_mel`` of the whole waveform, whatever the pieces: a frame
    is always computed at the same position in a block of the same size, with zeros in place of
    missing samples that it does not need.

    Args:
        log_mel: the front end.

    Attributes:
        n_samples: number of samples pushed so far.
        n_frames: number of frames returned so far.
    """

    def __init__(self, log_mel: FrontEnd) -> None:
        self.n_samples = 0
        self.n_frames = 0
        self._log_mel = log_mel
        self._half = log_mel.n_fft // 2
        # Around the window a transform sees zeros: samples there are not needed.
        self._before_window = (log_mel.n_fft - log_mel.window_length) // 2
        # Samples after its centre that a frame needs.
        self._of_one = self._before_window + log_mel.window_length - self._half
        self._held = np.empty(0, np.float32)
        self._state: Any = None
        self._held_from = 0  # index of the first sample held

    @property
    def look_ahead_samples(self) -> int:
        """Samples after a frame's centre (at ``t * hop_length``) that must be known for it."""
        return self._of_one + (self._log_mel.n_together - 1) * self._log_mel.hop_length

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (n,), full scale at -1 and 1, and return the frames they complete (t, M)."""
        self._held = np.concatenate([self._held, samples], dtype=np.float32)
        self.n_samples += len(samples)
        hop, mirrored = self._log_mel.hop_length, self._half - self._before_window
        if self.n_samples <= mirrored:  # samples of the first frame that are mirrored at 0
            return self._up_to(0)
        n_frames = max(0, (self.n_samples - self._of_one) // hop + 1)
        frames = self._up_to(n_frames - n_frames % self._log_mel.n_together)
        self._forget()
        return frames

    def finish(self) -> NDArray[np.float32]:
        """Return the last frames (t, M): those beyond the end, which is mirrored."""
        if not self.n_samples:
            return self._up_to(0)
        n_frames = self._log_mel.n_frames(self.n_samples)
        # Too short to be mirrored: silence follows it.
        silence = np.zeros(max(0, self._half + 1 - self.n_samples), np.float32)
        held = np.concatenate([self._held, silence])
        self._held = np.concatenate([held, held[-2 : -2 - self._half : -1]])
        return self._up_to(n_frames)

    def _up_to(self, n_frames: int) -> NDArray[np.float32]:
        """Compute the frames from the last one returned to ``n_frames``."""
        frames = [np.empty((0, self._log_mel.n_features), np.float32)]
        while self.n_frames < n_frames:
            first = self.n_frames - self.n_frames % BLOCK_FRAMES
            stop = min(n_frames, first + BLOCK_FRAMES)
            block = self._log_mel.block(torch.from_numpy(self._padded(first))[None])[0]
            new = block[None, self.n_frames - first : stop - first]
            features, self._state = self._log_mel.follow(new, self._state)
            frames.append(features[0].numpy())
            self.n_frames = stop
        return np.concatenate(frames)

    def _padded(self, first: int) -> NDArray[np.float32]:
        """Return the samples of the block whose first frame is ``first``, mirrored at the start."""
        span = (BLOCK_FRAMES - 1) * self._log_mel.hop_length + self._log_mel.n_fft
        start = first * self._log_mel.hop_length - self._half
        stop = start + span - self._held_from
        if start >= 0:
            return self._held[start - self._held_from : stop]
        known = self._held[1 : 1 - start][::-1]  # nothing has been dropped yet
        unknown = np.zeros(-start - len(known), np.float32)
        return np.concatenate([unknown, known, self._held[: max(stop, 0)]])

    def _forget(self) -> None:
        """Keep samples that later frames and the mirrored end need."""
        first = self.n_frames - self.n_frames % BLOCK_FRAMES
        start = first * self._log_mel.hop_length - self._half
        start = min(start, self.n_samples - self._half - 1)
        if start > self._held_from:
            self._held = self._held[start - self._held_from :].copy()
            self._held_from = start


def feature_blocks(reader: AudioReader, log_mel: FrontEnd) -> Iterator[NDArray[np.float32]]:
    """Yield the features of a recording block by block (t, M), in constant memory.

    Joined they equal ``log_mel`` of :func:`read_audio`'s waveform.

    Args:
        reader: of a file of any rate and channel count; channels are averaged.
        log_mel: the front end; samples are resampled to its rate.

    Raises:
        DataError: as the reader's ``blocks``.
    """
    stream = FeatureStream(log_mel)
    for samples in reader.blocks(log_mel.sample_rate):
        frames = stream.push(samples)
        if len(frames):
            yield frames
    frames = stream.finish()
    if len(frames):
        yield frames
