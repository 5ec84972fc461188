"""Resampling of a stream: the one way to another sample rate, for files, arrays and live audio."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray


class Resampler:
    """Resample samples as they come, by soxr at high quality.

    What comes out does not depend on the pieces in which samples are pushed, to the last bit. It
    comes late, since the filter looks ahead: from about 40 ms at 44.1 kHz to 120 ms at 8 kHz on
    the way to 16 kHz. Time stamps are not moved by that.

    Args:
        from_rate: of what is pushed, in Hz.
        to_rate: of what comes out, in Hz; the same: samples are passed on at once.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        same = from_rate == to_rate
        self._stream = None if same else soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (n,) and return those that are complete, float32 (n',)."""
        return self._resample(samples, last=False)

    def finish(self) -> NDArray[np.float32]:
        """Return the last samples; nothing can be pushed after that."""
        return self._resample(np.empty(0, np.float32), last=True)

    def _resample(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        if self._stream is None:
            return samples
        resampled: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return resampled


def resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resample a whole waveform (n,) as :class:`Resampler` does."""
    resampler = Resampler(from_rate, to_rate)
    return np.concatenate([resampler.push(samples), resampler.finish()])
