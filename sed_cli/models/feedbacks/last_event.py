"""The class of the last event, and the time since its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.models.feedback import LAST_EVENT
from sed_cli.models.feedbacks.hard import Hard

if TYPE_CHECKING:
    from torch import Tensor


@component("feedback", "last_event")
class LastEvent(Hard):
    """The class of the last finished event, the time since its end, and current activities.

    Three numbers per class, from the thresholded activities: 1 for the class of the event that
    ended last (or of all that ended in that frame); then exp(-t / ``decay_frames``), t the frames
    since that end, or 0 for other classes; then its activity. The first two persist through silence
    until another event ends; all are 0 before the first one.
    """

    ORDER: ClassVar[int] = 6

    decay_frames: float = setting(
        50.0, "time constant of the decay since its end", unit="frames", above=0
    )
    running: bool = setting(True, "also feed back the current activities")

    @property
    def width(self) -> int:
        """The class, its time, and the activities if requested."""
        return 3 if self.running else 2

    @property
    def entries(self) -> tuple[str, ...]:
        """The activity of rules without memory."""
        return ("last", "since", "activity")[: self.width]

    @property
    def carried(self) -> int:
        """All three: an end is detected from the previous activities."""
        return 3

    @property
    def fading(self) -> float:
        """Decay factor per frame."""
        return math.exp(-1 / self.decay_frames)

    @property
    def memory(self) -> tuple[int, float]:
        """The rate of decay."""
        return LAST_EVENT, self.fading

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        """The last event changes for all classes when any event ends."""
        import torch

        last, since, active = before.chunk(3, dim=1)
        over = (active > 0.5) & ~(chosen > 0.5)  # (B, C)
        is_new = over.any(dim=1, keepdim=True)
        now = over.to(before.dtype)
        return torch.cat(
            [torch.where(is_new, now, last), torch.where(is_new, now, self.fading * since), chosen],
            dim=1,
        )

    def add_to_graph(self, g: Any, logits: str, before: str) -> str:
        """The same."""
        import numpy as np

        chosen = super().add_to_graph(g, logits, before)
        half = g.weight("half", np.float32(0.5))
        last, since, active = g.nodes("Split", before, names=[None] * 3, axis=1)
        went_on = g.node("Greater", chosen, half)
        over = g.node("And", g.node("Greater", active, half), g.node("Not", went_on))
        now = g.node("Cast", over, to=g.FLOAT)
        any_over = g.node("ReduceMax", now, axes=[1], keepdims=1)
        is_new = g.node("Greater", any_over, half)
        faded = g.node("Mul", since, g.weight("fading", np.float32(self.fading)))
        parts = [g.node("Where", is_new, now, each) for each in (last, faded)]
        name: str = g.node("Concat", *parts, chosen, axis=1)
        return name
