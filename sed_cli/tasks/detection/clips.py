"""Recordings as wholes: what they hold, pooled of their frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sed_cli.models.clips import LinearSoftmaxPooling
from sed_cli.system.files import replacing


def linear_softmax(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Pool the probabilities of frames (T, C) to those of a clip (C,), without any model."""
    logits = torch.from_numpy(np.asarray(probabilities, np.float32)).logit(1e-7)
    pooled: NDArray[np.float32] = LinearSoftmaxPooling()(logits[None])[0].sigmoid().numpy()
    return pooled


def write_clips(
    path: Path, clips: Mapping[str, NDArray[np.float32]], classes: Sequence[str]
) -> None:
    """Write the probability of each class in each recording: a row a file, a column a class."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["filename", *classes])
        for name, of_clip in clips.items():
            writer.writerow([name, *(f"{value:.6f}" for value in of_clip.tolist())])
