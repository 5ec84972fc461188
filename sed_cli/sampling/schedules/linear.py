"""A straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "linear")
class LinearSchedule(Schedule):
    """Bengio et al. 2015, section 2.4: max(p_min, k - c i) (their epsilon is p_min)."""

    k: float = setting(1.0, "start of the line", role=Role.FREE)
    c: float = setting(
        0.002, "fall per iteration: from 1 to p_min in 475 updates", above=0, role=Role.FREE
    )
    p_min: float = setting(0.05, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Fall by ``c`` per iteration."""
        return self.k - self.c * iterations
