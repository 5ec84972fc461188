"""A mirrored exponential decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedules.exponential import ExponentialSchedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "rising_exponential")
class RisingExponentialSchedule(ExponentialSchedule):
    """Teutsch and Mäder 2022: 1 - k ** i, from free running towards teacher forcing.

    Source: "Flipped classroom: effective teaching for time series forecasting" (arXiv 2210.08959).
    """

    p_min: float = setting(0.0, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)

    def curve(self, iterations: Tensor) -> Tensor:
        """Rise quickly, then ever more slowly."""
        return 1 - super().curve(iterations)
