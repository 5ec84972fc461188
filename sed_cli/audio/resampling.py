"""Resampling of a stream, for files, arrays and live audio alike."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray


class Resampler:
    """Resample samples as they arrive, by soxr at high quality.

    The output is bit-identical for any division of the input into pieces. It is delayed (see
    ``latency_s``), but not shifted in time.

    Args:
        from_rate: of the input, in Hz.
        to_rate: of the output, in Hz; if equal, samples are passed on immediately.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._rates = (from_rate, to_rate)
        self._stream = None if from_rate == to_rate else _soxr_stream(from_rate, to_rate)

    @property
    def latency_s(self) -> float:
        """Maximum delay of the output in seconds, measured."""
        return 0.0 if self._stream is None else _latency_s(*self._rates)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples (n,) and return the completed ones, float32 (n',)."""
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


def _soxr_stream(from_rate: int, to_rate: int) -> Any:
    return soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")


@cache
def _latency_s(from_rate: int, to_rate: int) -> float:
    """Push two seconds of silence in small pieces and measure the delay: about 10 ms of work.

    The filter works in blocks that are much shorter than that.
    """
    stream = _soxr_stream(from_rate, to_rate)
    piece = np.zeros(max(1, from_rate // 2000), np.float32)
    lag_s, n_out = 0.0, 0
    for n_in in range(len(piece), 2 * from_rate, len(piece)):
        n_out += len(stream.resample_chunk(piece))
        lag_s = max(lag_s, n_in / from_rate - n_out / to_rate)
    return lag_s


def resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resample a whole waveform (n,) as :class:`Resampler` does."""
    resampler = Resampler(from_rate, to_rate)
    return np.concatenate([resampler.push(samples), resampler.finish()])
