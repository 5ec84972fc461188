"""Feedback rules: what a model feeds back to itself where the truth is not fed.

A rule maps the logits of one step to the activities fed to the next. Every back end runs the same
rules, and no gradient ever passes through one. A new kind of feedback (tokens instead of
activities, say) is a new rule, never a new loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

Feedback = Literal["hard", "sampled", "soft"]

FEEDBACKS: tuple[Feedback, ...] = ("hard", "sampled", "soft")


class FeedbackRule(Protocol):
    """Maps the logits (B, C) of time step ``step`` to the feedback (B, C) it stands for."""

    def __call__(self, logits: Tensor, step: int) -> Tensor:
        """Return the feedback, of the logits' dtype; it is taken without gradient."""
        ...


@dataclass(frozen=True)
class Thresholded:
    """1 where the probability is above 0.5, which is where the logit is above 0, else 0.

    Source: Drossos et al. 2019, section 2. A threshold amplifies rounding: where a logit is 0 up
    to rounding, two back ends that sum in another order may decide differently, and the sequence
    goes on differently from there, each as right as the other.
    """

    def __call__(self, logits: Tensor, step: int) -> Tensor:  # noqa: D102
        return (logits > 0).to(logits.dtype)


@dataclass(frozen=True)
class Sampled:
    """1 with the model's own probability: where ``noise[:, step] < sigmoid(logits)``.

    Args:
        noise: uniforms in [0, 1), (B, T, C); drawn by the caller, so that a run repeats exactly.
    """

    noise: Tensor

    def __call__(self, logits: Tensor, step: int) -> Tensor:  # noqa: D102
        return (self.noise[:, step] < torch.sigmoid(logits)).to(logits.dtype)


@dataclass(frozen=True)
class Soft:
    """The probabilities themselves."""

    def __call__(self, logits: Tensor, step: int) -> Tensor:  # noqa: D102
        return torch.sigmoid(logits)


def make_rule(feedback: Feedback | FeedbackRule, noise: Tensor | None) -> FeedbackRule:
    """Return the rule named ``feedback``, or ``feedback`` itself if it is a rule already.

    Raises:
        ValueError: if the name is unknown, or ``sampled`` comes without noise.
    """
    if not isinstance(feedback, str):
        return feedback
    if feedback == "hard":
        return Thresholded()
    if feedback == "soft":
        return Soft()
    if feedback == "sampled":
        if noise is None:
            raise ValueError("feedback='sampled' needs noise: uniforms in [0, 1) of (B, T, C)")
        return Sampled(noise)
    raise ValueError(f"feedback={feedback!r}: expected one of {', '.join(FEEDBACKS)}, or a rule")
