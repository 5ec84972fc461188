"""The base of schedules.

A *schedule* maps an iteration to ``p_teacher``, the probability that the ground truth of step t-1
is fed back at step t: 1 is teacher forcing, 0 is free running. A schedule may also depend on
the step of the sequence. Each is a class in a file of :mod:`sed_cli.sampling.schedules`, and is
chosen by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, overload

from sed_cli.config.registry import component_named
from sed_cli.config.settings import MISSING, is_checked
from sed_cli.config.training import SamplerConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class Schedule(SamplerConfig, ABC):
    """Bounds, and probabilities for numbers and tensors; a subclass defines the curve.

    Attributes:
        asks_model: whether the model's confidence decides the feedback, instead of draws.
        caveat: note for simulations, which have no model.

    Raises:
        ValueError: for settings out of range, all in one message.
    """

    asks_model: ClassVar[bool] = False
    caveat: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if isinstance(self.feedback, str):  # created in Python: with its name, or without one
            name = "hard" if self.feedback == MISSING else self.feedback
            self.feedback = component_named("feedback", name)()
        if is_checked() and (faults := self.faults("")):
            raise ValueError("; ".join(faults))

    def for_batches(self, batches_per_epoch: int) -> Self:
        """Return the schedule for a loader of so many batches; most do not depend on it."""
        return self

    @property
    def follows_steps(self) -> bool:
        """Whether p_teacher also depends on the step of the sequence."""
        return type(self).along is not Schedule.along

    @overload
    def probability(self, i: int, t: int = 0) -> float: ...
    @overload
    def probability(self, i: Tensor, t: int | Tensor = 0) -> Tensor: ...

    def probability(self, i: int | Tensor, t: int | Tensor = 0) -> float | Tensor:
        """Return p_teacher at iteration ``i`` and step ``t`` of a sequence.

        Args:
            i: iteration, at least 0; an int, or a tensor of iterations of any shape.
            t: step, from 0; an int, or steps of the shape of ``i``. Only schedules that follow
                decoding steps use it.

        Returns:
            A float for an int; for a tensor a float64 tensor of its shape and device. All values
            lie in [p_min, p_max].

        Raises:
            ValueError: if an iteration is negative.
        """
        import torch

        iterations = torch.as_tensor(i, dtype=torch.float64)
        if iterations.numel() and bool((iterations < 0).any()):
            raise ValueError(f"i={i}: expected an iteration of at least 0")
        steps = torch.as_tensor(t, dtype=torch.float64, device=iterations.device)
        p = self.along(iterations, steps).clamp(self.p_min, self.p_max)
        return p if isinstance(i, torch.Tensor) else float(p)

    def along(self, iterations: Tensor, steps: Tensor) -> Tensor:
        """Unbounded probability at float64 ``iterations`` and ``steps``; the same at any step."""
        return self.curve(iterations)

    @abstractmethod
    def curve(self, iterations: Tensor) -> Tensor:
        """Unbounded probability for float64 ``iterations``; the caller applies the bounds."""
