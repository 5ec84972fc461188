"""Audio files to waveforms, waveforms to log-mel spectrograms."""

from __future__ import annotations

from sed_cli.audio.features import LogMel
from sed_cli.audio.files import AudioReader, Channels, audio_blocks, duration_s, read_audio
from sed_cli.audio.resampling import Resampler, resample
from sed_cli.audio.stream import LogMelStream, feature_blocks

__all__ = [
    "AudioReader",
    "Channels",
    "LogMel",
    "LogMelStream",
    "Resampler",
    "audio_blocks",
    "duration_s",
    "feature_blocks",
    "read_audio",
    "resample",
]
