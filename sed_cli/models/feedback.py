"""What a rule of feedback is: what a model feeds back to itself where the ground truth is not fed.

A rule makes of the logits of one step what is fed to the next. There are two kinds of outputs:
*activities* of C classes are fed as they are; a *token* is one choice out of C, fed as its row of a
table of embeddings (C, D). Each rule is a class in a file of :mod:`sed_cli.models.feedbacks`, which
a configuration chooses by its name; its fields are its settings. No gradient ever passes through a
rule; a table does receive that of every row that was fed.

A rule with a memory carries ``carried * C`` numbers from one step to the next, and the model is fed
the first ``width * C`` of them. They are all there is to its state, so a stream that keeps them
continues exactly.

What a rule says here in torch is its definition. Compiled scans (:mod:`.recurrence`) have it once
more, by the numbers that it carries; a rule without one runs in torch's operations.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.feedback import FeedbackConfig
from sed_cli.config.registry import is_ours
from sed_cli.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

OWN, HARD, SAMPLED, SOFT = -1, 0, 1, 2
"""What compiled scans know our rules by; those that they know nothing of are the caller's own."""
NO_MEMORY, DELAYED, TRACE, LAST_EVENT = 0, 1, 2, 3
"""And the memory of a rule."""
BELOW_ONE = 1 - 2.0**-24
"""The largest uniform: one that was rounded up to 1 would stand for no token."""


class FeedbackRule(FeedbackConfig):
    """A rule; it holds nothing itself from one step to the next: what it carries is handed to it.

    Attributes:
        code: of its activities and tokens, for compiled scans.
        draws: whether it is given uniforms.
        decides: whether rounding may turn what it feeds into something else.
    """

    ORDER: ClassVar[int] = 0
    code: ClassVar[int] = OWN
    draws: ClassVar[bool] = False
    decides: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """How many numbers are fed for each class."""
        return 1

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of these numbers; weights of inputs of the same name may stand for each other."""
        if self.width == 1:
            return ("activity",)
        return tuple(f"{self.name} {number}" for number in range(self.width))

    @property
    def carried(self) -> int:
        """How many are carried to the next step for each class: those fed, and then others."""
        return self.width

    @property
    def memory(self) -> tuple[int, float]:
        """What compiled scans know the memory by: its code, and a number that it depends on."""
        return NO_MEMORY, 0.0

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
        """What is carried to the next step, and fed as far as ``width`` says.

        Args:
            chosen: the target where the teacher mask is set, else :meth:`activities`, (B, C).
            before: what was carried to this step, (B, carried * C); zeros at first.

        Returns:
            (B, carried * C); to a rule without a memory, ``chosen``.
        """
        return chosen

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """Add to a graph of ONNX what is fed; without it a model fed by the rule is not exported.

        Args:
            g: a :class:`sed_cli.export.builder.GraphBuilder`.
            logits: name of those of a step, (B, C).
            before: name of what was carried to that step, (B, carried * C).

        Returns:
            Name of what is carried to the next step, likewise.

        Raises:
            UserError: if it has no form in ONNX; ``sedtf export`` asks before.
        """
        raise UserError(
            f"sampler.feedback={self.name} has no form in ONNX: give {type(self).__name__} a "
            f"method add_to_graph"
        )

    @property
    def serves_tokens(self) -> bool:
        """Whether it is a rule for tokens too; a memory is one of activities alone."""
        return type(self).tokens is not FeedbackRule.tokens and not self.remembers

    @property
    def serves_graphs(self) -> bool:
        """Whether it can be exported."""
        return type(self).add_to_graph is not FeedbackRule.add_to_graph

    @property
    def remembers(self) -> bool:
        """Whether what is fed is more than what was chosen at the step."""
        return type(self).fed is not FeedbackRule.fed

    @property
    def is_compiled(self) -> bool:
        """Whether compiled scans have it; what derives from one of ours may differ from it."""
        is_known = self.code != OWN and (not self.remembers or self.memory[0] != NO_MEMORY)
        return is_known and is_ours(type(self))
