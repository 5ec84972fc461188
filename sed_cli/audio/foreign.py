"""Audio that libsndfile does not read: AAC and similar formats, and the raw samples of evTAF."""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import IO, Any

from sed_cli.audio.limits import fault_of_length, longest_s
from sed_cli.errors import DataError

FOREIGN_ENDINGS = frozenset(
    (".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".ape", ".wv", ".3gp", ".mka")
)
"""Endings of files that FFmpeg decodes; lower case, with the dot."""

RAW_ENDING = ".cbin"
"""Ending of evTAF recordings: 16-bit samples, big-endian, the rate in a file ``.rec`` beside
them."""

_RATE = re.compile(
    r"^\s*ADFREQ\s*=\s*(\d{1,9}(?:\.\d{0,9})?)(?![\d.])", re.MULTILINE | re.IGNORECASE
)
_CHANNELS = re.compile(r"^\s*Chans\s*=\s*(\d{1,9})(?!\d)", re.MULTILINE | re.IGNORECASE)
_LONGEST_RECORD = 2**20  # bytes


def decoded(path: Path) -> IO[bytes]:
    """Decode a file into a temporary one by PyAV, which bundles FFmpeg.

    Raises:
        DataError: if PyAV is not installed, or cannot decode it; with the remedy.
    """
    advice = f"convert it, such as by: ffmpeg -i '{path.name}' '{path.stem}.wav'"
    import soundfile

    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{path}: {path.suffix} is not a format that libsndfile reads: pip install "
            "'sedtf[aac]', "
            f"or {advice}"
        ) from error
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with av.open(str(path)) as container:
            _copy_samples(container, copy, av)
    except TooLongError as error:
        copy.close()
        raise DataError(f"{path}: holds {error}; split it, or exclude it") from error
    except (av.FFmpegError, IndexError, ValueError, soundfile.SoundFileError) as error:
        copy.close()
        raise DataError(f"{path}: cannot be decoded ({error}); {advice}") from error
    copy.seek(0)
    return copy


class TooLongError(Exception):
    """The file is longer than the limit."""


def _copy_samples(container: Any, copy: IO[bytes], av: Any) -> None:
    import soundfile

    stream = container.streams.audio[0]
    planar = av.AudioResampler(format="fltp")
    kind = (stream.rate, stream.codec_context.channels)
    said = math.inf
    if stream.duration is not None:
        said = round(stream.duration * stream.time_base * stream.rate)
    n_samples, most = 0, longest_s() * stream.rate
    # The length of a wav file ends at 4 GiB.
    with soundfile.SoundFile(copy, "w", *kind, format="RF64", subtype="FLOAT") as file:
        for frame in container.decode(stream):
            for part in planar.resample(frame):
                samples = part.to_ndarray().T
                # An encoder pads its last block: there is no sound.
                is_last = n_samples < said < n_samples + len(samples)
                file.write(samples[: int(said) - n_samples] if is_last else samples)
                n_samples += len(samples)
                if n_samples > most:  # years of silence fit into a few megabytes
                    raise TooLongError(fault_of_length(n_samples / stream.rate))


def raw_format(path: Path) -> dict[str, Any]:
    """Determine how to read the samples of a file without a header.

    Raises:
        DataError: if the record is missing.
    """
    record = path.with_suffix(".rec")
    try:
        with record.open("rb") as file:
            text = file.read(_LONGEST_RECORD).decode("latin-1")
    except OSError as error:
        raise DataError(
            f"{path}: raw samples of evTAF with the rate in {record.name}, which cannot be "
            f"read ({error.strerror}); put that file beside them, or convert them to wav"
        ) from error
    rate, channels = _RATE.search(text), _CHANNELS.search(text)
    if rate is None or not float(rate[1]) >= 1:
        raise DataError(f"{record}: expected a line such as 'ADFREQ = 32000', the sample rate")
    return {
        "samplerate": round(float(rate[1])),
        "channels": max(1, int(channels[1])) if channels else 1,
        "format": "RAW",
        "subtype": "PCM_16",
        "endian": "BIG",
    }
