"""An inverse sigmoid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "inverse_sigmoid")
class InverseSigmoidSchedule(Schedule):
    """Bengio et al. 2015, section 2.4: k / (k + exp(i / k))."""

    k: float = setting(50.0, "50: half after 196 iterations", at_least=1, role=Role.FREE)
    p_min: float = setting(0.05, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Stay high for about k log k iterations, then fall."""
        # sigmoid(log k - i / k) is the same number without the overflow of exp(i / k).
        return (math.log(self.k) - iterations / self.k).sigmoid()
