"""Feedback rules: what a model feeds back to itself where the truth is not fed.

A rule maps the logits of one step to what is fed to the next, and every back end runs the same
rules. There are two kinds. *Activities* of C classes are fed as they are; a *token* is one choice
out of C and fed as its embedding, a row of a table (C, D). No gradient ever passes through a rule;
the table does receive that of every row that was fed.
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


class TokenRule(Protocol):
    """Maps the logits (B, C) of time step ``step`` to the tokens (B,) chosen, int64."""

    def __call__(self, logits: Tensor, step: int) -> Tensor:
        """Return the ids, each in [0, C)."""
        ...


@dataclass(frozen=True)
class Likeliest:
    """The token with the highest logit, the first of several. Amplifies rounding as a threshold."""

    def __call__(self, logits: Tensor, step: int) -> Tensor:  # noqa: D102
        return logits.argmax(1)


@dataclass(frozen=True)
class Drawn:
    """A token drawn with the model's own probabilities, the softmax of the logits.

    The first token up to which the probabilities add up to more than ``noise[:, step]``.

    Args:
        noise: uniforms in [0, 1), (B, T, 1); drawn by the caller, so that a run repeats exactly.
    """

    noise: Tensor

    def __call__(self, logits: Tensor, step: int) -> Tensor:  # noqa: D102
        weights = torch.exp(logits - logits.amax(1, keepdim=True))
        sums = weights.double().cumsum(1)  # (B, C); float32 loses the unlikely of 100,000 tokens
        wanted = sums[:, -1:] * self.noise[:, step].double().clamp(max=BELOW_ONE)
        chosen = torch.searchsorted(sums, wanted, right=True).squeeze(1)
        return chosen.clamp(max=logits.shape[1] - 1)  # NaN has no place among the sums


@dataclass(frozen=True)
class Expected:
    """No choice at all: every token's embedding, weighted with the token's probability."""

    def __call__(self, logits: Tensor, step: int) -> Tensor:
        """Return the probabilities (B, C)."""
        return torch.softmax(logits, dim=1)


BELOW_ONE = 1 - 2.0**-24
"""The largest uniform: one that was rounded up to 1 would stand for no token."""


Rule = FeedbackRule | TokenRule | Expected

HARD, SAMPLED, SOFT = 0, 1, 2
KINDS: dict[type, int] = {
    Thresholded: HARD, Sampled: SAMPLED, Soft: SOFT,
    Likeliest: HARD, Drawn: SAMPLED, Expected: SOFT,
}  # fmt: skip
"""What compiled scans know the named rules by."""


def is_named(rule: Rule) -> bool:
    """Whether compiled scans know the rule; others are the caller's own."""
    return type(rule) in KINDS


def make_rule(feedback: Feedback | Rule, noise: Tensor | None, *, is_token: bool) -> Rule:
    """Return the rule named ``feedback``, or ``feedback`` itself if it is a rule already.

    Raises:
        ValueError: if the name is unknown, or ``sampled`` comes without noise.
    """
    if not isinstance(feedback, str):
        return feedback
    if feedback not in FEEDBACKS:
        raise ValueError(
            f"feedback={feedback!r}: expected one of {', '.join(FEEDBACKS)}, or a rule"
        )
    if feedback == "hard":
        return Likeliest() if is_token else Thresholded()
    if feedback == "soft":
        return Expected() if is_token else Soft()
    if noise is None:
        shape = "(B, T, 1)" if is_token else "(B, T, C)"
        raise ValueError(f"feedback='sampled' needs noise: uniforms in [0, 1) of {shape}")
    return Drawn(noise) if is_token else Sampled(noise)
