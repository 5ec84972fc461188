"""A learning rate that falls along a cosine."""

from __future__ import annotations

import math

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.training.lr_schedules.warmup import Warmup


@component("lr_schedule", "cosine")
class Cosine(Warmup):
    """Half a cosine down from trainer.lr, without restarts: Loshchilov and Hutter 2017.

    It ends with trainer.epochs (or max_updates), regardless of patience: a run resumed with more
    epochs follows a new curve, unless ``updates`` fixes its length.
    """

    warmup_updates: int = setting(
        0,
        "updates of an initial linear rise to trainer.lr",
        unit="updates",
        at_least=0,
        role=Role.FREE,
    )
    updates: int | None = setting(
        None,
        "updates until the end of the decay; null: all of trainer.epochs",
        unit="updates",
        at_least=1,
        role=Role.FREE,
    )
    floor: float = setting(0.0, "final share of trainer.lr", at_least=0, at_most=1, role=Role.FREE)

    def factor(self, update: int, n_updates: int) -> float:
        """Share of trainer.lr for update number ``update``, from 0, of all."""
        length = max(1, (self.updates or n_updates) - self.warmup_updates)
        share = min(1.0, max(0, update - self.warmup_updates) / length)
        fallen = self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2
        return super().factor(update, n_updates) * fallen
