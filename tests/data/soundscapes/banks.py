"""Small banks of real audio files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def write_clip(
    path: Path,
    *,
    seed: int | None = None,
    rate: int = RATE,
    n_channels: int = 1,
    onset_s: float = 0.1,
    duration_s: float = 0.3,
    length_s: float = 0.6,
) -> Path:
    """Write a silent clip with a burst, coloured by ``seed`` (by default by the path)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path.name).encode()) if seed is None else seed)
    time = np.arange(round(length_s * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(200, 2000) * time) + 0.2 * rng.standard_normal(len(time))
    waveform = 0.3 * tone * ((time >= onset_s) & (time < onset_s + duration_s))
    soundfile.write(path, np.stack([waveform] * n_channels, axis=1), rate)
    return path


def write_bank(folder: Path, files: Iterable[str]) -> Path:
    """Write a clip for each path under ``folder``."""
    for file in files:
        write_clip(folder / file)
    return folder


def fold_bank(folder: Path, *, classes: Iterable[str] = ("cat", "dog", "owl")) -> Path:
    """Five folds with one source per class, two takes of each, in wav, flac and ogg."""
    files = []
    for number, label in enumerate(classes):
        for fold in range(1, 6):
            ending = ("wav", "flac", "ogg")[fold % 3]
            files += [f"{label}/{fold}-{100 * number + fold}-{take}.{ending}" for take in "AB"]
    return write_bank(folder, files)
