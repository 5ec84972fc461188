"""Recordings as wholes: what they hold, pooled of their frames."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sed_cli.data.sets import Recording
from sed_cli.metrics.detection import count_frames, figures
from sed_cli.metrics.known import clip_reference
from sed_cli.metrics.ranking import N_BINS, count_ranked, mean_average_precision
from sed_cli.system.distributed import summed
from sed_cli.system.files import replacing


class ClipCounts:
    """Counts of recordings as wholes, of C classes: those of the metrics ``clip``, ``clip_map``."""

    def __init__(self, n_classes: int) -> None:
        self._counts = np.zeros((1 + n_classes, 4), dtype=np.int64)
        self._ranked = np.zeros((n_classes, 2, N_BINS), dtype=np.int64)

    def add(
        self, recording: Recording, of_clip: NDArray[np.float32], classes: Sequence[str]
    ) -> None:
        """Count a recording with the probabilities of its classes (C,)."""
        present, known = clip_reference(recording.events, classes, recording.known())
        self._counts += count_frames(present, (of_clip[None] > 0.5) & known)
        self._ranked += count_ranked(present, of_clip[None], known)

    def figures(self) -> dict[str, float]:
        """F1 and mean average precision, over all ranks, by column of the history."""
        counts, ranked = (summed(torch.from_numpy(x)).numpy() for x in (self._counts, self._ranked))
        return {
            "validation_clip_f1": float(figures(counts[0])["f1"]),
            "validation_clip_map": float(mean_average_precision(ranked)),
        }


def write_clips(
    path: Path, clips: Mapping[str, NDArray[np.float32]], classes: Sequence[str]
) -> None:
    """Write the probability of each class in each recording: a row a file, a column a class."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["filename", *classes])
        for name, of_clip in clips.items():
            writer.writerow([name, *(f"{value:.6f}" for value in of_clip.tolist())])
