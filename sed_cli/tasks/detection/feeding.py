"""Feedback during training: the teacher mask, and the model outputs that replace targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sed_cli.decoding.onsets import of_activities
from sed_cli.models import CRNN
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import repeatable
from sed_cli.sampling import confidence
from sed_cli.sampling.teacher_mask import TeacherCoins


@dataclass(frozen=True, kw_only=True)
class TrainingFeedback:
    """The feedback of a model in training.

    Args:
        model: with C classes.
        rule: turns the model's own output into feedback.
        is_sampled: whether the sampler is used; false: the model runs freely or has no feedback.
        target_noise: probability that an activity of a target is flipped before it is fed back.
    """

    model: CRNN
    rule: FeedbackRule
    is_sampled: bool
    target_noise: float

    def logits(
        self,
        log_mel: Tensor,
        targets: Tensor,
        valid: Tensor,
        coins: TeacherCoins,
        *,
        lengths: Tensor | None,
        known: Tensor | None,
    ) -> Tensor:
        """Run the model on a batch.

        Args:
            log_mel: (B, T, M).
            targets: feedback where the teacher mask is true, (B, T, C) or with onsets (B, T, 2C).
            valid: bool (B, T), false on padding.
            coins: draw the mask.
            lengths: number of valid frames, (B,); None: all frames.
            known: where the mask may be true, bool, shaped as ``targets``; None: everywhere.

        Returns:
            Logits, shaped as ``targets``.
        """
        if self.is_sampled and coins.schedule.asks_model:
            return self._by_confidence(log_mel, targets, valid, coins, lengths, known)
        mask = None
        if self.is_sampled:
            n_sequences, n_steps, _ = targets.shape
            mask = coins.draw(n_sequences, n_steps, self.model.n_classes)
            mask = self._limited(mask, known)
        logits: Tensor = self.model(
            log_mel,
            self._flipped(targets, coins),
            mask,
            lengths=lengths,
            feedback=self.rule,
            noise=self._noise(targets, coins),
        )
        return logits

    def _by_confidence(
        self,
        log_mel: Tensor,
        targets: Tensor,
        valid: Tensor,
        coins: TeacherCoins,
        lengths: Tensor | None,
        known: Tensor | None,
    ) -> Tensor:
        """Run the recurrence twice: first teacher-forced for its confidence, then fed by that."""
        features = self.model.encode(log_mel, lengths)
        n_classes = self.model.n_classes
        with torch.no_grad():
            everywhere = torch.ones(targets.shape[:2], dtype=torch.bool)
            first, _ = self.model.decode(
                features,
                targets,
                self._limited(everywhere, known),
                lengths=lengths,
                feedback=repeatable(self.rule),
            )
            activities = (of_activities(each, n_classes) for each in (first, targets))
            known = None if known is None else known.to(targets.device)
            counted = None if known is None else of_activities(known, n_classes)
            sure = confidence.of_activities(*activities, each=coins.coin == "class", known=counted)
            fed, mask = coins.choose(targets, sure, valid, known)
        logits, _ = self.model.decode(
            features,
            self._flipped(fed, coins),
            self._limited(mask, None) if known is None else mask,
            lengths=lengths,
            feedback=self.rule,
            noise=self._noise(targets, coins),
        )
        return logits

    def _limited(self, mask: Tensor, known: Tensor | None) -> Tensor:
        """Apply the draw of an activity to its onset too; clear the mask at unknown targets."""
        if mask.ndim == 3 and self.model.has_onsets:
            mask = mask.repeat(1, 1, 2)
        if known is None:
            return mask
        return (mask if mask.ndim == 3 else mask[..., None]) & known.to(mask.device)

    def _flipped(self, targets: Tensor, coins: TeacherCoins) -> Tensor:
        return coins.flipped(targets, self.target_noise) if self.target_noise else targets

    def _noise(self, targets: Tensor, coins: TeacherCoins) -> Tensor | None:
        if not self.is_sampled or not self.rule.draws:
            return None
        return coins.noise(*targets.shape).to(targets.device)
