"""Kinds of audio files, from their headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import inspect_audio
from sed_cli.tasks.detection.inspection.audio import audio_kinds


def test_kinds_are_distinguished_and_counted(tmp_path: Path) -> None:
    for name, rate, n_channels in [
        ("a.wav", 8000, 1),
        ("b.wav", 8000, 1),
        ("c.wav", 8000, 2),
        ("d.flac", 44100, 1),
    ]:
        soundfile.write(tmp_path / name, np.zeros((rate, n_channels)), rate)

    kinds = audio_kinds(inspect_audio(path) for path in sorted(tmp_path.iterdir()))

    assert [(k.sample_rate, k.n_channels, k.format, k.n_files) for k in kinds] == [
        (8000, 1, "WAV PCM_16", 2),
        (8000, 2, "WAV PCM_16", 1),
        (44100, 1, "FLAC PCM_16", 1),
    ]
    assert sum(kind.seconds for kind in kinds) == pytest.approx(4.0)
