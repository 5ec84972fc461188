"""A mirrored inverse sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedules.inverse_sigmoid import InverseSigmoidSchedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "rising_inverse_sigmoid")
class RisingInverseSigmoidSchedule(InverseSigmoidSchedule):
    """Teutsch and Mäder 2022: 1 - k / (k + exp(i / k)), from free running to teacher forcing.

    Source: "Flipped classroom: effective teaching for time series forecasting" (arXiv 2210.08959).
    """

    p_min: float = setting(0.0, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Stay low for about k log k iterations, then rise."""
        return 1 - super().curve(iterations)
