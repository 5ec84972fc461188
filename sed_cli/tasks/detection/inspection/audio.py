"""The kinds of audio files in a data set, from their headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sed_cli.audio import AudioFacts


@dataclass(frozen=True, kw_only=True)
class AudioKind:
    """Files of one sample rate, channel count and format.

    Args:
        sample_rate: in Hz.
        n_channels: of the files; training averages them.
        format: container and coding, such as ``WAV PCM_16``.
        n_files: number of such files.
        seconds: of audio.
    """

    sample_rate: int
    n_channels: int
    format: str
    n_files: int
    seconds: float


def audio_kinds(headers: Iterable[AudioFacts]) -> list[AudioKind]:
    """Count files by kind, the most frequent first."""
    n_files: Counter[tuple[int, int, str]] = Counter()
    seconds: Counter[tuple[int, int, str]] = Counter()
    for header in headers:
        kind = (header.sample_rate, header.n_channels, header.format)
        n_files[kind] += 1
        seconds[kind] += header.duration_s  # type: ignore[assignment]
    return [
        AudioKind(
            sample_rate=kind[0],
            n_channels=kind[1],
            format=kind[2],
            n_files=count,
            seconds=float(seconds[kind]),
        )
        for kind, count in sorted(n_files.items(), key=lambda item: (-item[1], item[0]))
    ]
