"""Audio files to waveforms, waveforms to log-mel spectrograms."""

from __future__ import annotations

from sed_cli.audio.features import LogMel
from sed_cli.audio.files import duration_s, read_audio

__all__ = ["LogMel", "duration_s", "read_audio"]
