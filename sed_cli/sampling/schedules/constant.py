"""The same probability throughout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "constant")
class ConstantSchedule(Schedule):
    """Teacher forcing (p = 1), free running (p = 0), or anything between."""

    p: float = setting(1.0, "p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Return ``p`` for each iteration."""
        return iterations.new_full(iterations.shape, self.p)
