"""Facts about a recording that are known before it is decoded for its features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sed_cli.audio.files import AudioReader
from sed_cli.errors import DataError


class Signature(NamedTuple):
    """A signature that changes whenever a file is written, replaced or touched."""

    size: int
    modified_ns: int
    changed_ns: int  # of the inode: unlike the time above, no program can set it back
    inode: int


def signature(path: Path) -> Signature:
    """Return the signature of a file.

    Raises:
        DataError: if the file does not exist.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: no such audio file ({error.strerror})") from error
    return Signature(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """The contents of a file.

    Args:
        duration_s: length in seconds of the decodable part.
        sample_rate: in Hz.
        n_channels: of the file.
        format: container and coding, such as ``WAV PCM_16``.
        notes: deviations from the header, one clause each.
        loss: how far a damaged file can be read; ``None``: it is whole.
    """

    duration_s: float
    sample_rate: int
    n_channels: int
    format: str
    notes: tuple[str, ...] = ()
    loss: str | None = None


_known: dict[Path, tuple[Signature, AudioFacts]] = {}


def inspect_audio(path: Path) -> AudioFacts:
    """Examine a file by its header and structure; it is decoded only if these disagree.

    Damage in the middle of a file, which its structure does not show, is found when it is decoded.
    The result is remembered while the process runs, unless the file changes;
    :func:`sed_cli.data.cache.known_audio.inspect_all` stores it permanently.

    Raises:
        DataError: if the file is missing, cannot be decoded, or its header is implausible.
    """
    now = signature(path) if path.is_file() else None
    known = _known.get(path)
    if known is not None and known[0] == now:
        return known[1]
    facts = _inspect(path)
    if now is not None:
        remember_audio(path, now, facts)
    return facts


def remember_audio(path: Path, of: Signature, facts: AudioFacts) -> None:
    """Remember the facts of a file with a certain signature for :func:`inspect_audio`."""
    _known[path] = (of, facts)


def _inspect(path: Path) -> AudioFacts:
    with AudioReader(path) as reader:
        n_samples, loss = reader.count(), None
    if n_samples is None:
        with AudioReader(path, salvage=lambda _: None) as reader:
            n_samples = reader.decode_all()
            loss = reader.loss
    return AudioFacts(
        duration_s=n_samples / reader.sample_rate,
        sample_rate=reader.sample_rate,
        n_channels=reader.n_channels,
        format=reader.format,
        notes=reader.notes,
        loss=loss,
    )


def duration_s(path: Path) -> float:
    """Length in seconds of the decodable part of a recording.

    Raises:
        DataError: as :func:`inspect_audio`.
    """
    return inspect_audio(path).duration_s
