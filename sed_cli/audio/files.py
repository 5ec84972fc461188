"""Reading audio files of any rate, channel count and length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio.containers import ByteRange
from sed_cli.audio.limits import (
    fault_of_channels,
    fault_of_length,
    fault_of_rate,
    fault_of_samples,
    first_fault,
    longest_s,
)
from sed_cli.audio.opening import (
    FAULTS,
    UNKNOWN_LENGTH,
    can_reach_its_end,
    contents_of,
    open_audio,
    reason_of,
    spooled,
    unreadable,
)
from sed_cli.audio.resampling import Resampler
from sed_cli.errors import DataError

Channels = Literal["mix", "first", "each"]

Tell = Callable[[str], None]

_BLOCK = 2**17  # samples decoded at once, of every channel, ...
_BLOCK_OF_ALL = 2**20  # ... of all channels together, ...
_BLOCK_S = 20  # ... and seconds, since a low rate may be resampled to a much higher one
ADVICE = "copy or convert it again, exclude it, or use the readable part with data.strict=false"
"""Advice for a recording with a missing part."""

_MISSING_S = 0.1  # tolerance for the length in a header: some formats estimate it


class AudioReader:
    """A recording that is read block by block, whatever its length. A context manager.

    The contents of the file are compared with its header: if there is more, all of it is read; if
    there is less, or the decoder fails, the recording is damaged.

    Args:
        path: a file that libsndfile reads: wav, flac, ogg, mp3, ... A pipe is first read completely
            into a temporary file.
        pipe: read this instead, such as standard input; ``path`` is then its name.
        salvage: called with messages on damage and wrong headers; the decodable part is then used;
            ``None``: damaged recordings are rejected.

    Attributes:
        notes: deviations from the header.
        loss: how far a damaged recording could be read, after reading; ``None``: it is complete.

    Raises:
        DataError: if the file is missing or cannot be decoded, or its header declares values out
            of range (see :mod:`.limits`).
    """

    def __init__(
        self, path: Path, *, pipe: IO[bytes] | None = None, salvage: Tell | None = None
    ) -> None:
        self.path = path
        self.loss: str | None = None
        self._salvage = salvage
        try:
            self._copy = spooled(path, pipe)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
        self._contents = contents_of(path, self._copy)
        self.notes = self._contents.notes
        self._parts: Sequence[ByteRange | None] = self._contents.parts or (None,)
        self._n_read = self._n_of_part = 0
        self._n_said: int | None = 0  # samples, by the headers of the parts opened so far
        self._file = open_audio(path, self._copy, self._parts[0])
        self._count_part()
        if fault := self._fault_of_header():
            self._close()
            raise DataError(
                f"{path}: its header declares {fault}: it is damaged, or not audio; write it "
                f"again, or exclude it"
            )

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
        """Length in seconds by the header; ``None`` if that is unknown."""
        if self._contents.said_s is not None:
            return self._contents.said_s
        if self._n_said is None or len(self._parts) > 1:
            return None
        return self._n_said / self.sample_rate

    @property
    def duration_s(self) -> float:
        """Length in seconds of the audio read so far."""
        return self._n_read / self.sample_rate

    def count(self) -> int | None:
        """Return the number of samples per channel; ``None`` if only decoding can determine it."""
        if self._contents.loss is not None or not can_reach_its_end(self._file):
            return None
        for part in self._parts[1:]:
            if self._open_next(part) is not None or not can_reach_its_end(self._file):
                return None
        return self._n_said

    def skip(self, time_s: float) -> float:
        """Start at a time instead of at the beginning, if that is possible without decoding.

        Returns:
            Where reading starts, in seconds: 0 in a file of several parts, or without a length
            in the header.
        """
        at = min(max(0, round(time_s * self.sample_rate)), self._file.frames)
        if tuple(self._parts) == (None,) and self._n_said is not None:
            with suppress(*FAULTS):
                self._n_read = self._n_of_part = self._file.seek(at)
        return self.duration_s

    def decode_all(self) -> int:
        """Decode everything only to determine the length: return samples per channel."""
        for _ in self._decoded():
            pass
        return self._n_read

    def blocks(
        self, sample_rate: int | None = None, channels: Channels = "mix"
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the waveform, resampled by soxr at high quality if necessary.

        Args:
            sample_rate: in Hz; ``None``: that of the file.
            channels: ``mix``: their average, ``first``: only the first, ``each``: all of them.

        Yields:
            Float32 (n,), or (n, n_channels) for ``each``; full scale at -1 and 1.

        Raises:
            DataError: if the file is damaged (see ``salvage``), or holds no samples, or samples
                that are not finite or implausibly large.
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
            raise DataError(f"{self.path}: holds no samples; exclude it")
        if len(last[0]):
            yield _joined(last, channels)

    def _columns(self, channels: Channels) -> Iterator[list[NDArray[np.float32]]]:
        for note in self.notes:
            self._tell(note)
        for block in self._decoded():
            if fault := fault_of_samples(block):
                at_s = self.duration_s - (len(block) - first_fault(block)) / self.sample_rate
                raise DataError(
                    f"{self.path}: holds {fault}, from {at_s:.2f} s on; write it again, or "
                    f"exclude it"
                )
            if channels == "each":
                yield list(block.T)
            elif channels == "first" or block.shape[1] == 1:
                yield [block[:, 0]]
            else:
                yield [block.mean(axis=1)]

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield (n, n_channels) as far as it can be decoded."""
        reason, longest = self._contents.loss, longest_s()
        for i, part in enumerate(self._parts):
            if i and (obstacle := self._open_next(part)) is not None:
                reason = obstacle
                break
            fault = None
            while fault is None:
                block, fault = self._decode()
                self._n_read += len(block)
                self._n_of_part += len(block)
                if fault is not None and not self._n_read:
                    raise unreadable(self.path, fault)
                if not len(block):
                    break
                if self.duration_s > longest:
                    length = fault_of_length(self.duration_s)
                    raise DataError(f"{self.path}: holds {length}; split it, or exclude it")
                yield block
            if fault is not None:
                reason = reason_of(fault)
                break
        said_s = self.header_s
        if reason is None and self._n_said is not None:
            said_s = said_s or self._n_said / self.sample_rate
            reason = "" if said_s - self.duration_s > _MISSING_S else None
        if reason is not None:
            self._lose(said_s, reason)

    def _lose(self, said_s: float | None, reason: str) -> None:
        """Note how far a damaged recording was read, or reject it."""
        is_known = said_s is not None and said_s - self.duration_s > _MISSING_S
        self.loss = (
            f"breaks off after {self.duration_s:.2f} s of "
            f"{f'{said_s:.2f} s' if is_known else 'unknown length'}"
            f"{f' ({reason})' if reason else ''}"
        )
        if self._salvage is None:
            raise DataError(f"{self.path}: {self.loss}; {ADVICE}")
        self._tell(f"{self.loss}; the decoded part is used")

    def _tell(self, what: str) -> None:
        if self._salvage is not None:
            self._salvage(f"{self.path}: {what}")

    def _decode(self) -> tuple[NDArray[np.float32], BaseException | None]:
        n_samples = min(_BLOCK, _BLOCK_OF_ALL // self.n_channels, _BLOCK_S * self.sample_rate)
        # After the last of them there may be tags, which are not samples to the decoder.
        n_samples = min(n_samples, self._file.frames - self._n_of_part)
        block = np.full((n_samples, self.n_channels), np.nan, dtype=np.float32)
        try:
            return self._file.read(out=block), None
        except FAULTS as error:
            n_decoded = int(np.isnan(block[:, 0]).argmax())  # the rest was not written to
            return block[:n_decoded], error

    def _open_next(self, part: ByteRange | None) -> str | None:
        """Go to the next part; return why that is not possible."""
        try:
            file = open_audio(self.path, self._copy, part)
        except DataError as error:
            return str(error).removeprefix(f"{self.path}: ").split(";")[0]
        kind = (file.samplerate, file.channels)
        if kind != (self.sample_rate, self.n_channels):
            file.close()
            return f"what follows has {kind[0]} Hz and {kind[1]} channels"
        self._file.close()
        self._file = file
        self._n_of_part = 0
        self._count_part()
        return None

    def _count_part(self) -> None:
        known = self._n_said is not None and self._file.frames < UNKNOWN_LENGTH
        self._n_said = cast(int, self._n_said) + int(self._file.frames) if known else None

    def _fault_of_header(self) -> str | None:
        return (
            fault_of_channels(self.n_channels)
            or fault_of_rate(self.sample_rate)
            or fault_of_length(self.header_s or 0.0)
        )

    def _close(self) -> None:
        self._file.close()
        if self._copy is not None:
            self._copy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def audio_blocks(
    path: Path, sample_rate: int, channels: Channels = "mix", salvage: Tell | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield a recording block by block: see :class:`AudioReader` and its ``blocks``.

    Raises:
        DataError: if the file is missing, cannot be decoded, or holds no samples or samples
            that are not finite or implausibly large.
    """
    with AudioReader(path, salvage=salvage) as reader:
        yield from reader.blocks(sample_rate, channels)


def read_audio(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Read a recording as a mono waveform at ``sample_rate``: the average of its channels.

    Args:
        path: a file that libsndfile reads: wav, flac, ogg, mp3, ...
        sample_rate: in Hz; other rates are resampled by soxr at high quality.

    Returns:
        Waveform, float32 (n_samples,), full scale at -1 and 1.

    Raises:
        DataError: as :func:`audio_blocks`.
    """
    return np.concatenate(list(audio_blocks(path, sample_rate)))


def read_excerpt(path: Path, sample_rate: int, start_s: float, end_s: float) -> NDArray[np.float32]:
    """Read the excerpt of :func:`read_audio` from one time to another, without holding more.

    The decodable part of a damaged recording is used without another warning.

    Args:
        path: of the recording.
        sample_rate: in Hz.
        start_s: seconds from its start.
        end_s: the same; it may be after the end of the recording.

    Raises:
        DataError: as :func:`read_audio`.
    """
    first, last = round(start_s * sample_rate), round(end_s * sample_rate)
    kept, at = [np.zeros(0, np.float32)], 0
    for block in audio_blocks(path, sample_rate, salvage=lambda _: None):
        kept.append(block[max(0, first - at) : max(0, last - at)].copy())
        at += len(block)
        if at >= last:
            break
    return np.concatenate(kept)


def _joined(columns: list[NDArray[np.float32]], channels: Channels) -> NDArray[np.float32]:
    return np.stack(columns, axis=1) if channels == "each" else columns[0]
