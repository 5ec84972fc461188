"""Reading audio files of any rate and channel count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sed_cli.errors import DataError


def read_audio(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Read a recording as a mono waveform at ``sample_rate``.

    Channels are averaged; other rates are resampled by soxr at high quality.

    Args:
        path: a file that libsndfile reads: wav, flac, ogg, mp3, ...
        sample_rate: in Hz.

    Returns:
        Waveform, float32 (n_samples,), full scale at -1 and 1.

    Raises:
        DataError: if the file is missing, cannot be decoded, or holds no samples or samples
            that are not finite.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such audio file")
    try:
        samples, file_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read as audio ({_reason(error)}); convert it again, or leave it out"
        ) from error
    if not np.isfinite(samples).all():
        raise DataError(
            f"{path}: holds samples that are not finite; write it again, or leave it out"
        )
    mono = samples.mean(axis=1)  # (n_samples, n_channels) -> (n_samples,)
    if file_rate != sample_rate:
        mono = soxr.resample(mono, file_rate, sample_rate)
    if not len(mono):
        raise DataError(f"{path}: holds no samples; leave it out")
    return np.ascontiguousarray(mono, dtype=np.float32)


def duration_s(path: Path) -> float:
    """Length of a recording in seconds, from its header.

    Raises:
        DataError: if the file is missing or cannot be decoded.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such audio file")
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as audio ({_reason(error)})") from error
    return float(info.frames / info.samplerate)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
