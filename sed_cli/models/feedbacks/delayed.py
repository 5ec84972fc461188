"""Delayed decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.models.feedback import DELAYED
from sed_cli.models.feedbacks.hard import Hard

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "delayed")
class Delayed(Hard):
    """The thresholded class activities of an earlier frame.

    Step t gets those of step t - ``frames``, and zeros before; a delay of 1 would equal ``hard``.
    The state is a queue with the oldest activities first.

    Source: Huang et al. 2018, whose recurrence gets delayed outputs.
    """

    ORDER: ClassVar[int] = 4

    frames: int = setting(8, "delay", unit="frames", at_least=2, at_most=64)

    @property
    def carried(self) -> int:
        """The queue."""
        return self.frames

    @property
    def memory(self) -> tuple[int, float]:
        """The length of the queue follows from the carried values."""
        return DELAYED, 0.0

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        """The queue without its oldest activities, and with the new ones."""
        import torch

        return torch.cat([before[:, chosen.shape[1] :], chosen], dim=1)

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """The same."""
        chosen = super().add_to_graph(g, logits, before)
        _, *kept = g.nodes("Split", before, names=[None] * self.frames, axis=1)
        name: str = g.node("Concat", *kept, chosen, axis=1)
        return name
