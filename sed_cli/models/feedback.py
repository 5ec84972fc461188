"""Feedback rules: how a model's own output is fed back where the ground truth is not.

A rule maps the logits of one step to the input of the next. There are two kinds of outputs:
*activities* of C classes are fed back directly; a *token* is one choice out of C, fed back as
its row of a table of embeddings (C, D). Each rule is a class in a file of
:mod:`sed_cli.models.feedbacks`, chosen by its name; its fields are its settings. Gradients never
pass through a rule; a table receives the gradient of every row that was fed.

A rule with memory carries ``carried * C`` numbers from one step to the next, and the model gets
the first ``width * C`` of them. They are its complete state, so a stream that keeps them
continues exactly.

The torch code here is the definition of a rule. Compiled scans (:mod:`.recurrence`) reimplement
it, identified by a code; a rule without a code runs in torch operations.
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
"""Codes of our rules in compiled scans; custom rules have none."""
NO_MEMORY, DELAYED, TRACE, LAST_EVENT = 0, 1, 2, 3
"""Codes of memories of rules."""
BELOW_ONE = 1 - 2.0**-24
"""The largest uniform: one rounded up to 1 would select no token."""


class FeedbackRule(FeedbackConfig):
    """A rule; it is stateless: carried numbers are passed to it.

    Attributes:
        code: of its activities and tokens, for compiled scans.
        draws: whether it needs uniforms.
        decides: whether rounding may change its output discontinuously.
    """

    ORDER: ClassVar[int] = 0
    code: ClassVar[int] = OWN
    draws: ClassVar[bool] = False
    decides: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """Number of inputs per class."""
        return 1

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of these inputs; weights of inputs of the same name are interchangeable."""
        if self.width == 1:
            return ("activity",)
        return tuple(f"{self.name} {number}" for number in range(self.width))

    @property
    def carried(self) -> int:
        """Number of values carried to the next step per class: the inputs first."""
        return self.width

    @property
    def memory(self) -> tuple[int, float]:
        """The memory's identification for compiled scans: its code, and its parameter."""
        return NO_MEMORY, 0.0

    @abstractmethod
    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """The model's own activities to feed back, without gradient.

        Args:
            logits: of one step, (B, C).
            noise: uniforms in [0, 1), (B, C); None unless it draws.

        Returns:
            (B, C), of the logits' dtype.
        """

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """The model's own tokens, for ``task=sequence``; optional.

        Args:
            logits: of one step, (B, C).
            noise: uniforms in [0, 1), (B, 1); None unless it draws.

        Returns:
            Ids in [0, C), int64 (B,).

        Raises:
            UserError: if it only supports activities; callers check this earlier.
        """
        raise UserError(
            f"sampler.feedback={self.name} feeds back activities, and task=sequence has tokens: "
            f"choose another, or give {type(self).__name__} a method tokens"
        )

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        """Values carried to the next step, the first ``width`` per class as inputs.

        Args:
            chosen: the target where the teacher mask is set, else :meth:`activities`, (B, C).
            before: values carried to this step, (B, carried * C); zeros at first.

        Returns:
            (B, carried * C); ``chosen`` for a rule without memory.
        """
        return chosen

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """Add the rule to an ONNX graph; without it a model with the rule cannot be exported.

        Args:
            g: a :class:`sed_cli.export.builder.GraphBuilder`.
            logits: name of those of a step, (B, C).
            before: name of the values carried to that step, (B, carried * C).

        Returns:
            Name of the values carried to the next step, likewise.

        Raises:
            UserError: if it has no ONNX form; ``sedtf export`` checks this earlier.
        """
        raise UserError(
            f"sampler.feedback={self.name} has no ONNX form: give {type(self).__name__} a "
            f"method add_to_graph"
        )

    @property
    def serves_tokens(self) -> bool:
        """Whether it supports tokens; rules with memory do not."""
        return type(self).tokens is not FeedbackRule.tokens and not self.remembers

    @property
    def serves_graphs(self) -> bool:
        """Whether it can be exported."""
        return type(self).add_to_graph is not FeedbackRule.add_to_graph

    @property
    def remembers(self) -> bool:
        """Whether it has memory beyond the chosen activities."""
        return type(self).fed is not FeedbackRule.fed

    @property
    def is_compiled(self) -> bool:
        """Whether compiled scans implement it; subclasses of our rules may differ."""
        is_known = self.code != OWN and (not self.remembers or self.memory[0] != NO_MEMORY)
        return is_known and is_ours(type(self))
