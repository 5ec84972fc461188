"""A rising straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "rising_linear")
class RisingLinearSchedule(Schedule):
    """Teutsch and Mäder 2022: k + c i, from free running towards teacher forcing.

    Source: "Flipped classroom: effective teaching for time series forecasting" (arXiv 2210.08959).
    """

    k: float = setting(0.0, "start of the line", role=Role.FREE)
    c: float = setting(
        0.002, "rise per iteration: from 0 to 1 in 500 updates", above=0, role=Role.FREE
    )

    def curve(self, iterations: Tensor) -> Tensor:
        """Rise by ``c`` per iteration."""
        return self.k + self.c * iterations
