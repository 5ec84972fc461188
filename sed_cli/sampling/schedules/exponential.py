"""An exponential decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "exponential")
class ExponentialSchedule(Schedule):
    """Bengio et al. 2015, section 2.4: k ** i."""

    k: float = setting(
        0.995, "base; 0.995: half after 138 iterations", above=0, below=1, role=Role.FREE
    )
    p_min: float = setting(0.05, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Fall by the factor ``k`` per iteration."""
        return iterations.new_tensor(self.k).pow(iterations)
