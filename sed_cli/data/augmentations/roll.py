"""Circular shift in time."""

from __future__ import annotations

from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import Augmentation, Draws, Item, Others


@component("augmentation", "roll", original=True)
class Roll(Augmentation):
    """Start at another frame; the frames before it wrap around to the end."""

    ORDER: ClassVar[int] = 0

    roll: float = setting(
        0.0,
        "probability of a time roll: the sequence starts elsewhere and wraps around",
        at_least=0,
        at_most=1,
    )

    @property
    def is_active(self) -> bool:
        """Whether its probability is above 0."""
        return self.roll > 0

    def apply(self, item: Item, draws: Draws, others: Others, prepared: Any) -> Item:
        """Shift features and activities alike."""
        if (draw := draws.chance(self.roll, "roll")) is None:
            return item
        shift = int(draw.integers(len(item.log_mel)))
        return Item(item.log_mel.roll(shift, 0), item.targets.roll(shift, 0))
