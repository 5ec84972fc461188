"""The model's own confidence instead of a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import range_faults, setting
from sed_cli.sampling.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@component("schedule", "confidence")
class ConfidenceSchedule(Schedule):
    """Liu et al. 2021: the target at low confidence, then the model's own output, then noise.

    A first, teacher-forced pass over the batch gives the probability of each step's target: of all
    activities of a frame jointly (``coin=step``), of each class separately (``coin=class``), or of
    the token. Up to ``target_at_most`` the target is fed, up to ``own_at_most`` the model's own
    output, above it the target of a random step of the same sequence.

    Source: "Confidence-aware scheduled sampling for neural machine translation" (arXiv 2107.10427);
    differs: the outputs fed back come from the trained pass, not from the first one.
    """

    asks_model: ClassVar[bool] = True
    caveat: ClassVar[str] = (
        "confidence depends on the model: this simulation draws it uniformly from 0 to 1 at each "
        "step, and counts only targets fed at low confidence"
    )

    target_at_most: float = setting(
        0.9,
        "the target is fed back up to this probability of the target",
        at_least=0,
        at_most=1,
    )
    own_at_most: float = setting(
        0.95,
        "the model's own output is fed back up to this probability; above, a random target",
        at_least=0,
        at_most=1,
    )

    def faults(self, prefix: str = "sampler.") -> list[str]:
        """Faults in ranges, their order, and settings for curves and draws."""
        faults = range_faults(self, prefix)
        faults.require(
            self.target_at_most <= self.own_at_most,
            f"{prefix}target_at_most={self.target_at_most} and own_at_most={self.own_at_most}: "
            f"expected 0 <= target_at_most <= own_at_most <= 1",
        )
        faults.require(
            self.coin != "sequence",
            f"{prefix}coin=sequence, but the confidence differs from step to step: expected step "
            f"or class",
        )
        for key, only in (("p_min", 0.0), ("p_max", 1.0), ("unit", "update")):
            faults.require(
                getattr(self, key) == only,
                f"{prefix}{key}={getattr(self, key)} is for a curve over iterations, and "
                f"sampler=confidence has none: drop it",
            )
        return faults

    def curve(self, iterations: Tensor) -> Tensor:
        """Share of targets fed back, if confidences are uniform."""
        return iterations.new_full(iterations.shape, self.target_at_most)
