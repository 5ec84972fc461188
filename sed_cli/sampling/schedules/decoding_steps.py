"""A decay along the steps of a sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sed_cli.config.registry import component
from sed_cli.config.settings import Role, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "decoding_steps")
class DecodingStepsSchedule(Schedule):
    """Liu et al. 2021: base ** t at step t of a sequence.

    With ``k``, combined with a decay over iterations: base ** (t (1 - f(i))), where f(i) = k / (k +
    exp(i / k)) falls from 1, teacher forcing, to 0.

    Source: "Scheduled sampling based on decoding steps for neural machine translation" (arXiv
    2108.12963), the exponential decay, and the composite of it with an inverse sigmoid; differs: t
    counts from 0, the first step whose output is fed back.
    """

    base: float = setting(0.99, "0.99: half after 69 steps", above=0, below=1, role=Role.FREE)
    k: float | None = setting(
        None,
        "combine with an inverse sigmoid over iterations; 50: half way after 196 iterations, the "
        "paper has 20000; null: no dependence on the iteration",
        at_least=1,
        role=Role.FREE,
    )

    def curve(self, iterations: Tensor) -> Tensor:
        """Probability at the first step of a sequence."""
        return self.along(iterations, iterations.new_zeros(()))

    def along(self, iterations: Tensor, steps: Tensor) -> Tensor:
        """Fall by the factor ``base`` per step, at first by less with ``k``."""
        steps = steps.expand_as(iterations)
        if self.k is not None:
            steps = steps * (iterations / self.k - math.log(self.k)).sigmoid()
        return iterations.new_tensor(self.base).pow(steps)
