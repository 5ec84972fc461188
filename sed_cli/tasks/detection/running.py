"""A detector run freely over whole recordings, short ones batched together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.data.sequences import Sequences, collate
from sed_cli.data.sets import Recording
from sed_cli.tasks.detection.detector import Detector

_FRAMES_AT_ONCE = 16_384  # per batch of recordings, so that memory stays bounded


def run_freely(
    detector: Detector, recordings: Sequence[Recording]
) -> Iterator[tuple[Recording, Tensor]]:
    """Yield each recording with its logits (T, C) on the CPU; long ones first."""
    for group in _group_by_length(recordings):
        if group[0].n_frames > _FRAMES_AT_ONCE:  # too long to share its group
            yield group[0], _logits_of_long(detector, group[0])
            continue
        sequences = Sequences(group)
        batch = collate([sequences[index] for index in range(len(sequences))])
        logits = detector.logits(batch.log_mel, batch.lengths).cpu()
        for recording, of_one in zip(group, logits, strict=True):
            yield recording, of_one[: recording.n_frames]


def _logits_of_long(detector: Detector, recording: Recording) -> Tensor:
    """Run over a recording in pieces: (T, C) on the CPU."""
    pieces = (
        torch.from_numpy(recording.log_mel[first : first + _FRAMES_AT_ONCE])
        for first in range(0, recording.n_frames, _FRAMES_AT_ONCE)
    )
    return torch.cat([logits.cpu() for logits in detector.logits_of_blocks(pieces)])


def forced_probabilities(detector: Detector, recording: Recording) -> NDArray[np.float32]:
    """Run over a recording with teacher forcing at every step: probabilities (T, C)."""
    log_mel, targets = Sequences([recording], onsets=detector.model.has_onsets)[0]
    return probabilities_of(detector.forced_logits(log_mel, targets).cpu())


def _group_by_length(recordings: Sequence[Recording]) -> Iterator[list[Recording]]:
    group: list[Recording] = []
    for recording in sorted(recordings, key=lambda r: r.n_frames, reverse=True):
        if group and (len(group) + 1) * group[0].n_frames > _FRAMES_AT_ONCE:
            yield group
            group = []
        group.append(recording)
    if group:
        yield group


def probabilities_of(logits: Tensor) -> NDArray[np.float32]:
    """Turn logits into the probabilities that thresholds apply to, (T, C)."""
    probabilities: NDArray[np.float32] = torch.sigmoid(logits).numpy()
    return probabilities
