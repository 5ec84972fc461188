"""Reading audio files of any rate, channel count and length."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from sed_cli.audio.resampling import Resampler
from sed_cli.errors import DataError

log = logging.getLogger(__name__)

Channels = Literal["mix", "first", "each"]

_BLOCK = 2**17  # samples (of every channel) decoded at once
_MISSING_S = 0.1  # a header may be wrong about the length by this much: some formats estimate it

_UNKNOWN = 2**62  # samples, or more: libsndfile's word for a length that the header leaves open

_FAULTS = (soundfile.SoundFileError, RuntimeError, TypeError)


@dataclass(frozen=True, kw_only=True)
class AudioHeader:
    """What a file says of itself: length, rate in Hz, channels, and format (``WAV PCM_16``)."""

    duration_s: float
    sample_rate: int
    n_channels: int
    format: str


class AudioReader:
    """A recording that is read block by block, whatever its length. A context manager.

    Args:
        path: a file that libsndfile reads: wav, flac, ogg, mp3, ... Of a pipe all is read first,
            into a temporary file.
        pipe: what to read instead, such as standard input; ``path`` is what it is called then.
        salvage: whether to use what can be decoded of a damaged recording, with a warning.

    Raises:
        DataError: if the file is missing or cannot be decoded.
    """

    def __init__(self, path: Path, *, pipe: IO[bytes] | None = None, salvage: bool = False) -> None:
        self.path = path
        self._salvages = salvage
        try:
            self._copy = _spooled(path, pipe)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
        self._file = _open(path, self._copy)
        self._n_read = 0

    @property
    def sample_rate(self) -> int:
        """Of the file, in Hz."""
        return int(self._file.samplerate)

    @property
    def n_channels(self) -> int:
        """Of the file."""
        return int(self._file.channels)

    @property
    def format(self) -> str:
        """Container and coding, such as ``WAV PCM_16``."""
        return f"{self._file.format} {self._file.subtype}"

    @property
    def header_s(self) -> float | None:
        """Length in seconds by the file's header; ``None`` where that leaves it open."""
        known = self._file.frames < _UNKNOWN
        return float(self._file.frames / self._file.samplerate) if known else None

    @property
    def duration_s(self) -> float:
        """Length in seconds of what has been read so far."""
        return self._n_read / self.sample_rate

    def blocks(
        self, sample_rate: int | None = None, channels: Channels = "mix"
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the waveform, resampled by soxr at high quality where needed.

        Args:
            sample_rate: in Hz; ``None``: that of the file.
            channels: ``mix``: their average, ``first``: that one alone, ``each``: all of them.

        Yields:
            Float32 (n,), or (n, n_channels) for ``each``; full scale at -1 and 1.

        Raises:
            DataError: if the file is damaged (see ``salvage``), or holds no samples, or samples
                that are not finite.
        """
        n_channels = self.n_channels if channels == "each" else 1
        rates = self.sample_rate, sample_rate or self.sample_rate
        resamplers = [Resampler(*rates) for _ in range(n_channels)]
        n_samples = 0
        for columns in self._columns(channels):
            resampled = [r.push(x) for r, x in zip(resamplers, columns, strict=True)]
            n_samples += len(resampled[0])
            yield _joined(resampled, channels)
        last = [resampler.finish() for resampler in resamplers]
        if not n_samples + len(last[0]):
            raise DataError(f"{self.path}: holds no samples; leave it out")
        if len(last[0]):
            yield _joined(last, channels)

    def _columns(self, channels: Channels) -> Iterator[list[NDArray[np.float32]]]:
        for block in self._decoded():
            if not np.isfinite(block).all():
                raise DataError(
                    f"{self.path}: holds samples that are not finite; "
                    f"write it again, or leave it out"
                )
            self._n_read += len(block)
            if channels == "each":
                yield list(block.T)
            elif channels == "first" or block.shape[1] == 1:
                yield [block[:, 0]]
            else:
                yield [block.mean(axis=1)]

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield (n, n_channels) as far as it can be decoded."""
        fault = None
        while fault is None:
            block, fault = self._decode()
            if fault is not None and not (self._salvages and self._n_read + len(block)):
                raise _unreadable(self.path, fault)
            if not len(block):
                break
            yield block
        header_s = self.header_s or 0.0
        if fault is not None or header_s - self.duration_s > _MISSING_S:
            log.warning(
                "%s: breaks off after %.2f s of %s%s; what was decoded is used",
                self.path,
                self.duration_s,
                f"{header_s:.2f} s" if header_s else "unknown length",
                "" if fault is None else f" ({_reason(fault)})",
            )

    def _decode(self) -> tuple[NDArray[np.float32], BaseException | None]:
        block = np.full((_BLOCK, self.n_channels), np.nan, dtype=np.float32)
        try:
            return self._file.read(out=block), None
        except _FAULTS as error:
            n_decoded = int(np.isnan(block[:, 0]).argmax())  # the rest was not written to
            return block[:n_decoded], error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._copy is not None:
            self._copy.close()


def audio_blocks(
    path: Path, sample_rate: int, channels: Channels = "mix"
) -> Iterator[NDArray[np.float32]]:
    """Yield a recording block by block: see :meth:`AudioReader.blocks`.

    Raises:
        DataError: if the file is missing, cannot be decoded, or holds no samples or samples
            that are not finite.
    """
    with AudioReader(path) as reader:
        yield from reader.blocks(sample_rate, channels)


def read_audio(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Read a recording as a mono waveform at ``sample_rate``: the average of its channels.

    Args:
        path: a file that libsndfile reads: wav, flac, ogg, mp3, ...
        sample_rate: in Hz; other rates are resampled by soxr at high quality.

    Returns:
        Waveform, float32 (n_samples,), full scale at -1 and 1.

    Raises:
        DataError: if the file is missing, cannot be decoded, or holds no samples or samples
            that are not finite.
    """
    return np.concatenate(list(audio_blocks(path, sample_rate)))


def read_excerpt(path: Path, sample_rate: int, start_s: float, end_s: float) -> NDArray[np.float32]:
    """Read what :func:`read_audio` gives from one time to another, holding no more than that.

    Args:
        path: of the recording.
        sample_rate: in Hz.
        start_s: seconds from its start.
        end_s: the same; what lies after the recording is left out.

    Raises:
        DataError: as :func:`read_audio`.
    """
    first, last = round(start_s * sample_rate), round(end_s * sample_rate)
    kept, at = [np.zeros(0, np.float32)], 0
    for block in audio_blocks(path, sample_rate):
        kept.append(block[max(0, first - at) : max(0, last - at)].copy())
        at += len(block)
        if at >= last:
            break
    return np.concatenate(kept)


def duration_s(path: Path) -> float:
    """Length of a recording in seconds, from its header; decoded where that leaves it open.

    Raises:
        DataError: if the file is missing or cannot be decoded.
    """
    return read_header(path).duration_s


def read_header(path: Path) -> AudioHeader:
    """Return what a file says of itself.

    Raises:
        DataError: if the file is missing or cannot be decoded.
    """
    with AudioReader(path) as reader:
        if reader.header_s is None:
            for _ in reader.blocks():
                pass
        return AudioHeader(
            duration_s=reader.duration_s if reader.header_s is None else reader.header_s,
            sample_rate=reader.sample_rate,
            n_channels=reader.n_channels,
            format=reader.format,
        )


class _ReadThrough(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its start to its end.

    Of one that can seek, soundfile sets the position after each read. A flac file that was written
    into a pipe leaves its length open, and cannot be positioned at its end.
    """

    def seekable(self) -> bool:
        """Say that it cannot."""
        return False


def _open(path: Path, copy: IO[bytes] | None) -> _ReadThrough:
    if copy is None:
        _refuse_unopenable(path)
    try:
        # A temporary file has no name: libsndfile takes its descriptor. A name may be no text.
        name = os.fsencode(path) if os.name == "posix" else path
        return _ReadThrough(name if copy is None else copy.fileno(), closefd=False)
    except _FAULTS as error:
        if copy is not None:
            copy.close()
        raise _unreadable(path, error) from error


def _refuse_unopenable(path: Path) -> None:
    """Say why a file cannot be opened, which libsndfile does not."""
    if not path.is_file():
        what = "a folder, expected an audio file" if path.is_dir() else "no such audio file"
        raise DataError(f"{path}: {what}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error


def _spooled(path: Path, pipe: IO[bytes] | None) -> IO[bytes] | None:
    """Copy a pipe to a temporary file, for decoders seek; ``None`` for a file that is none."""
    if pipe is None:
        if not path.is_fifo():
            return None
        with path.open("rb") as fifo:
            return _spooled(path, fifo)
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(pipe, copy, length=2**20)
    copy.seek(0)
    return copy


def _joined(columns: list[NDArray[np.float32]], channels: Channels) -> NDArray[np.float32]:
    return np.stack(columns, axis=1) if channels == "each" else columns[0]


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"{path}: cannot be read as audio ({_reason(error)}); convert it again, or leave it out"
    )


def _reason(error: BaseException) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
