"""Whole recordings: the classes in them, pooled over frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.system.files import replacing


def write_clips(
    path: Path, clips: Mapping[str, NDArray[np.float32]], classes: Sequence[str]
) -> None:
    """Write the probability of each class in each recording: a row per file, a column per class."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["filename", *classes])
        for name, of_clip in clips.items():
            writer.writerow([name, *(f"{value:.6f}" for value in of_clip.tolist())])
