"""The paper's schedule: a decaying sigmoid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "scheduled")
class ScheduledSampler(Schedule):
    """Drossos et al. 2019: min(p_max, 1 - min(1 - p_min, 2 / (1 + exp(-gamma i / N_b)) - 1)).

    Source: their equations 4 and 5. The published code clamps with p_min instead of 1 - p_min, so
    that its probability never falls; this class follows the formula.
    """

    gamma: float = setting(
        0.3,
        "steepness: at the start p_teacher falls by gamma / 2 per epoch; 0.3 reaches p_min after "
        "13 epochs; the paper, which trains for hundreds of epochs, uses 10/80 to 10/120",
        above=0,
        role=Role.FREE,
    )
    p_min: float = setting(0.05, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)
    p_max: float = setting(0.9, "highest p_teacher", at_least=0, at_most=1, role=Role.FREE)
    batches_per_epoch: int | None = setting(
        None, "N_b; null: the number of batches of the training data", above=0, role=Role.FREE
    )

    def for_batches(self, batches_per_epoch: int) -> Self:
        """Take the loader's N_b unless the settings give one."""
        return replace(self, batches_per_epoch=self.batches_per_epoch or batches_per_epoch)

    def curve(self, iterations: Tensor) -> Tensor:
        """Decay with the iteration, counted in epochs.

        Raises:
            ValueError: if ``batches_per_epoch`` is not known.
        """
        if self.batches_per_epoch is None:
            raise ValueError("batches_per_epoch=None: give a number, or call for_batches first")
        # 2 / (1 + exp(-x)) - 1 is tanh(x / 2), which does not lose digits near 0.
        return 1.0 - (self.gamma * iterations / self.batches_per_epoch / 2.0).tanh()
