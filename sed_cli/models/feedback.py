"""What a rule of feedback is: what a model feeds back to itself where the ground truth is not fed.

A rule makes of the logits of one step what is fed to the next. There are two kinds of outputs:
*activities* of C classes are fed as they are; a *token* is one choice out of C, fed as its row of a
table of embeddings (C, D). Each rule is a class in a file of :mod:`sed_cli.models.feedbacks`, which
a configuration chooses by its name. No gradient ever passes through a rule; a table does receive
that of every row that was fed.

What a rule says here in torch is its definition. Compiled scans (:mod:`.recurrence`) have it once
more, by the number that the class carries; a rule without one runs in torch's operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

OWN, HARD, SAMPLED, SOFT = -1, 0, 1, 2
"""What compiled scans know our rules by; those that they know nothing of are the caller's own."""
BELOW_ONE = 1 - 2.0**-24
"""The largest uniform: one that was rounded up to 1 would stand for no token."""


class FeedbackRule(ABC):
    """A rule; it holds nothing from one step to the next but what it has fed."""

    KIND: ClassVar[str] = "feedback"

    ORDER: ClassVar[int] = 0
    code: ClassVar[int] = OWN  # of compiled scans
    draws: ClassVar[bool] = False  # whether it is given uniforms
    decides: ClassVar[bool] = False  # whether rounding may turn what it feeds into something else

    name: str = ""  # which a component has

    @abstractmethod
    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """What stands for the model's own activities, taken without gradient.

        Args:
            logits: of one step, (B, C).
            noise: uniforms in [0, 1), (B, C); None unless it draws.

        Returns:
            (B, C), of the logits' dtype.
        """

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """The model's own tokens, for ``task=sequence``; without it a rule is for activities alone.

        Args:
            logits: of one step, (B, C).
            noise: uniforms in [0, 1), (B, 1); None unless it draws.

        Returns:
            Ids in [0, C), int64 (B,).

        Raises:
            UserError: if it is a rule for activities alone; what composes and builds asks before.
        """
        raise UserError(
            f"sampler.feedback={self.name} feeds activities, and task=sequence has tokens: choose "
            f"another, or give {type(self).__name__} a method tokens"
        )

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        """What is fed to the next step; a rule with a memory makes it of what was fed before, too.

        Args:
            chosen: the target where the teacher mask is set, else :meth:`activities`, (B, C).
            before: what was fed one step earlier, (B, C); zeros at first.
        """
        return chosen

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """Add to a graph of ONNX what is fed; without it a model fed by the rule is not exported.

        Args:
            g: a :class:`sed_cli.export.builder.GraphBuilder`.
            logits: name of those of a step, (B, C).
            before: name of what was fed at that step, (B, C).

        Returns:
            Name of what is fed to the next step, (B, C).

        Raises:
            UserError: if it has no form in ONNX; ``sedtf export`` asks before.
        """
        raise UserError(
            f"sampler.feedback={self.name} has no form in ONNX: give {type(self).__name__} a "
            f"method add_to_graph"
        )

    @property
    def serves_tokens(self) -> bool:
        """Whether it is a rule for tokens too."""
        return type(self).tokens is not FeedbackRule.tokens

    @property
    def serves_graphs(self) -> bool:
        """Whether it can be exported."""
        return type(self).add_to_graph is not FeedbackRule.add_to_graph

    @property
    def remembers(self) -> bool:
        """Whether what is fed is more than what was chosen at the step."""
        return type(self).fed is not FeedbackRule.fed
