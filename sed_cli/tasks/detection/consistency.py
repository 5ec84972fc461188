"""Learning from a teacher model where annotations are missing.

The teacher runs as in evaluation: free-running, without dropout, with its batch-norm statistics.
Its labels therefore depend neither on the batch nor on any draw except those of the augmentations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sed_cli.data.sequences import SequenceBatch
from sed_cli.decoding.onsets import of_activities
from sed_cli.models import CRNN
from sed_cli.models.recurrence import Feedback
from sed_cli.tasks.detection.chunks import evaluating
from sed_cli.training.teacher import Teacher

_SURE = 15.0
"""Logit of a known activity; its cross-entropy is close to that of a hard label."""


class Unknown(NamedTuple):
    """The parts of a batch that only the teacher can label."""

    frames: Tensor  # bool (B, T, C)
    clips: Tensor  # bool (B, C)

    @classmethod
    def of(cls, batch: SequenceBatch, n_classes: int) -> Unknown:
        """Frames without a target, and classes of clips in which no frame has one."""
        valid = batch.valid[..., None]  # (B, T, 1)
        if batch.known is None:
            n_sequences, n_frames, _ = batch.targets.shape
            shape = (n_sequences, n_frames, n_classes)
            return cls(torch.zeros(shape).bool(), torch.zeros(n_sequences, n_classes).bool())
        unknown = ~of_activities(batch.known, n_classes)
        if batch.laid is not None:  # the teacher did not get the mixture
            unknown = unknown & ~of_activities(batch.laid, n_classes).isnan()
        clips = (unknown | ~valid).all(1)
        if batch.tags is not None:
            clips &= batch.tags[:, :n_classes].isnan()
        return cls(unknown & valid, clips)

    def counts(self) -> tuple[Tensor, Tensor]:
        """The number of both."""
        return self.frames.sum(), self.clips.sum()


@torch.no_grad()
def taught(
    teacher: Teacher, batch: SequenceBatch, unknown: Unknown, feedback: Feedback, n_outputs: int
) -> Tensor:
    """Logits of the teacher (B, T, n_outputs); 0 in sequences that are fully annotated."""
    model = teacher.model
    assert isinstance(model, CRNN)
    device = model.readout.weight.device
    heard = batch.log_mel if batch.other_view is None else batch.other_view
    logits = heard.new_zeros(*heard.shape[:2], n_outputs, device=device)
    rows = unknown.frames.any(2).any(1)
    if rows.any():
        own = rows.to(device)
        with evaluating(model):
            logits[own] = model(
                heard[rows].to(device), lengths=batch.lengths[rows].to(device), feedback=feedback
            ).to(logits.dtype)
    return logits


def with_laid(logits: Tensor, batch: SequenceBatch) -> Tensor:
    """The teacher's logits, certain of events that were mixed in for the student only."""
    if batch.laid is None:
        return logits
    return torch.where(batch.laid.to(logits.device) > 0, _SURE, logits)


def distances(
    model: CRNN,
    student: Tensor,
    teacher: Tensor,
    valid: Tensor,
    unknown: Unknown,
    kind: str = "mse",
) -> tuple[Tensor, Tensor]:
    """Sums of differences between probabilities, over frames and over clips.

    Args:
        model: the student; it pools both.
        student: its logits (B, T, C), with onsets (B, T, 2C).
        teacher: those of the teacher.
        valid: frames that are not padding, bool (B, T).
        unknown: the frames and clips that count.
        kind: ``bce``, cross-entropy with the teacher's, or ``mse``, squared differences.
    """
    of_frames = (of_activities(each, model.n_classes) for each in (student, teacher))
    of_clips = (model.clip_logits(each, valid) for each in (student, teacher))
    sums = []
    for both, counted in zip((of_frames, of_clips), unknown, strict=True):
        pair = tuple(both)
        own, target = pair[0], pair[1].detach().sigmoid()
        apart = (
            binary_cross_entropy_with_logits(own, target, reduction="none")
            if kind == "bce"
            else (own.sigmoid() - target).square()
        )
        sums.append((apart * counted.to(apart.device)).sum())
    return sums[0], sums[1]
