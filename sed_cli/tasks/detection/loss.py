"""The loss of a detector's outputs; rare classes may have a higher weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sed_cli.config.verbs import TrainConfig
from sed_cli.data.sequences import Sequences
from sed_cli.decoding.onsets import of_activities, of_onsets
from sed_cli.tasks.detection.rarity import count_targets
from sed_cli.training.weighting import OutputLoss, WeightedLoss, positive_weights


class DetectorLoss:
    """The configured loss, for activities and, if there are any, onsets.

    Args:
        config: of the run.
        sequences: of the training split.
        n_classes: C.
        has_onsets: whether the outputs are (..., 2C), with onsets last.

    Attributes:
        clip_weight: of clips, relative to 1 for frames.
        weights: of active targets, one for each output; ``None``: all equal.
    """

    def __init__(
        self, config: TrainConfig, sequences: Sequences, *, n_classes: int, has_onsets: bool
    ) -> None:
        self._loss, self._n_classes = config.trainer.loss, n_classes
        self.clip_weight = config.trainer.clip_weight
        self._onset_weight = config.model.onset_loss_weight if has_onsets else None
        self.weights: Tensor | None = None
        if config.trainer.max_positive_weight is not None:
            limit = config.trainer.max_positive_weight
            self.weights = positive_weights(*count_targets(sequences), limit)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each class (..., C), including that of its onset."""
        if self._onset_weight is None:
            return self.of_activities.per_output(logits, targets)
        losses = self._of(of_activities, logits, targets)
        return losses + self._onset_weight * self._of(of_onsets, logits, targets)

    @property
    def of_activities(self) -> OutputLoss:
        """The loss of activities only."""
        return self._weighted(of_activities)

    def of_clips(self, logits: Tensor, tags: Tensor | None) -> Tensor:
        """Sum of the weighted losses of weakly labelled clips (B, C).

        The logits of other clips enter with weight 0, so that the weights of the pooling take part
        in every batch.

        Args:
            logits: of all clips.
            tags: classes of the clips; NaN where a clip has none; ``None``: no clip has any.
        """
        if tags is None:
            tags = torch.full_like(logits, torch.nan)
        tags = tags[:, : self._n_classes].to(logits)
        losses = self._loss.per_output(logits[:, None], tags.nan_to_num()[:, None])[:, 0]
        return self.clip_weight * (losses * ~tags.isnan()).sum()

    def describe_weights(self, labels: tuple[str, ...]) -> str:
        """The weight of each class's activities, on one line."""
        assert self.weights is not None
        weights = of_activities(self.weights, self._n_classes).tolist()
        return ", ".join(
            f"{label} {weight:.3g}" for label, weight in zip(labels, weights, strict=True)
        )

    def _of(self, part: Callable[[Tensor, int], Tensor], logits: Tensor, targets: Tensor) -> Tensor:
        own = (part(each, self._n_classes) for each in (logits, targets))
        return self._weighted(part).per_output(*own)

    def _weighted(self, part: Callable[[Tensor, int], Tensor]) -> OutputLoss:
        if self.weights is None:
            return self._loss
        return WeightedLoss(self._loss, part(self.weights, self._n_classes))


def least_constant_loss(loss: OutputLoss, share: Tensor, n_frames: Tensor | None = None) -> float:
    """Mean over classes of the lowest loss of a constant output, for a share of active frames (C,).

    Outputs are tried in steps of 0.05 in log-odds, and at the share itself, which is optimal for
    binary cross-entropy. Classes are weighted by ``n_frames`` (C,); ``None``: equally.
    """
    steps = torch.linspace(-15, 15, 601, dtype=share.dtype)[:, None].expand(-1, len(share))
    logits = torch.cat([steps, share.logit(1e-12)[None]])[None]  # (1, 602, C)
    if_active, if_silent = (
        loss.per_output(logits, torch.full_like(logits, target)) for target in (1.0, 0.0)
    )
    losses = (share * if_active + (1 - share) * if_silent).amin(dim=1)  # (1, C)
    if n_frames is not None:
        losses = losses * (n_frames / n_frames.double().mean())
    return float(losses.mean())
