"""A decaying trace of activities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.models.feedback import TRACE
from sed_cli.models.feedbacks.hard import Hard

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "trace")
class Trace(Hard):
    """A leaky trace of the thresholded class activities: 1 while active, then decaying.

    The maximum of the previous frame's activity and ``factor`` times the previous trace: n frames
    after the last active one it is ``factor`` to the power of n.
    """

    ORDER: ClassVar[int] = 5

    factor: float = setting(0.97, "decay of the trace per frame", above=0, below=1)

    @property
    def memory(self) -> tuple[int, float]:
        """The factor."""
        return TRACE, self.factor

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        """The maximum of the two."""
        return chosen.maximum(self.factor * before)

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """The same."""
        import numpy as np

        chosen = super().add_to_graph(g, logits, before)
        faded = g.node("Mul", before, g.weight("factor", np.float32(self.factor)))
        name: str = g.node("Max", chosen, faded)
        return name
