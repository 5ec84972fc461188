"""Schedules and coins: iteration -> p_teacher -> teacher mask.

Pure of any model: what is fed back is decided here, how it is fed is the recurrence's business
(:mod:`sed_cli.models.recurrence`).

A *schedule* maps an iteration to ``p_teacher``, the probability that the ground truth of step t-1
is fed at step t: 1 is teacher forcing, 0 is free running. *Coins* turn the probability into a
teacher mask with a random generator of their own, so that drawing them disturbs nothing else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor

from sed_cli.schema import (
    ConstantConfig,
    ExponentialConfig,
    InverseSigmoidConfig,
    LinearConfig,
    SamplerConfig,
    ScheduledConfig,
)

Unit = Literal["update", "time_step"]
Coin = Literal["step", "sequence", "class"]

UNITS: tuple[Unit, ...] = ("update", "time_step")
COINS: tuple[Coin, ...] = ("step", "sequence", "class")


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """What every schedule shares: the bounds and the two ways of asking for a probability.

    Args:
        p_min: lowest probability, in [0, p_max].
        p_max: highest probability, in [p_min, 1].

    Raises:
        ValueError: if ``0 <= p_min <= p_max <= 1`` does not hold.
    """

    p_min: float = 0.0
    p_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.p_min <= self.p_max <= 1.0:
            raise ValueError(
                f"p_min={self.p_min} and p_max={self.p_max}: expected 0 <= p_min <= p_max <= 1"
            )

    @overload
    def probability(self, i: int) -> float: ...
    @overload
    def probability(self, i: Tensor) -> Tensor: ...

    def probability(self, i: int | Tensor) -> float | Tensor:
        """Return p_teacher at iteration ``i``.

        Args:
            i: iteration, at least 0; an int, or a tensor of iterations of any shape.

        Returns:
            A float for an int; for a tensor a float64 tensor of its shape and device. All values
            lie in [p_min, p_max].

        Raises:
            ValueError: if an iteration is negative.
        """
        iterations = torch.as_tensor(i, dtype=torch.float64)
        if iterations.numel() and bool((iterations < 0).any()):
            raise ValueError(f"i={i}: an iteration is at least 0")
        p = self._decay(iterations).clamp(self.p_min, self.p_max)
        return p if isinstance(i, Tensor) else float(p)

    @abstractmethod
    def _decay(self, iterations: Tensor) -> Tensor:
        """Unbounded probability for float64 ``iterations``; bounds are applied by the caller."""


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value}: expected a finite number above 0")


@dataclass(frozen=True, kw_only=True)
class ScheduledSampler(Schedule):
    """The schedule of this project's method: a decaying sigmoid.

    p_teacher(i) = min(p_max, 1 - min(1 - p_min, 2 / (1 + exp(-gamma * i / N_b)) - 1)).

    Source: Drossos et al. 2019, eq. 4 and 5. The published code clamps with p_min where the
    formula has 1 - p_min, so that its probability never falls; here the formula holds.

    Args:
        batches_per_epoch: N_b, batches in an epoch, at least 1.
        gamma: steepness, above 0; at the start the probability falls by gamma / 2 an epoch.
        p_min: lowest probability, in [0, p_max].
        p_max: highest probability, in [p_min, 1].
    """

    batches_per_epoch: int
    gamma: float
    p_min: float = 0.05
    p_max: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_positive(batches_per_epoch=self.batches_per_epoch, gamma=self.gamma)

    def _decay(self, iterations: Tensor) -> Tensor:
        # 2 / (1 + exp(-x)) - 1 is tanh(x / 2), which does not lose digits near 0.
        return 1.0 - torch.tanh(self.gamma * iterations / self.batches_per_epoch / 2.0)


@dataclass(frozen=True, kw_only=True)
class LinearSchedule(Schedule):
    """max(p_min, k - c * i). Source: Bengio et al. 2015, section 2.4 (their epsilon is p_min)."""

    k: float = 1.0
    c: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_positive(c=self.c)

    def _decay(self, iterations: Tensor) -> Tensor:
        return self.k - self.c * iterations


@dataclass(frozen=True, kw_only=True)
class ExponentialSchedule(Schedule):
    """k ** i with 0 < k < 1. Source: Bengio et al. 2015, section 2.4."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.k < 1.0:
            raise ValueError(f"k={self.k}: an exponential schedule needs 0 < k < 1")

    def _decay(self, iterations: Tensor) -> Tensor:
        return torch.pow(torch.tensor(self.k, dtype=torch.float64), iterations)


@dataclass(frozen=True, kw_only=True)
class InverseSigmoidSchedule(Schedule):
    """k / (k + exp(i / k)) with k >= 1. Source: Bengio et al. 2015, section 2.4."""

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.k >= 1.0 and math.isfinite(self.k)):
            raise ValueError(f"k={self.k}: an inverse sigmoid schedule needs k >= 1")

    def _decay(self, iterations: Tensor) -> Tensor:
        # sigmoid(log k - i / k) is the same number without the overflow of exp(i / k).
        return torch.sigmoid(math.log(self.k) - iterations / self.k)


@dataclass(frozen=True, kw_only=True)
class ConstantSchedule(Schedule):
    """The same probability for ever: 1 is teacher forcing, 0 is free running."""

    p: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.p <= 1.0:
            raise ValueError(f"p={self.p}: a probability lies in [0, 1]")

    def _decay(self, iterations: Tensor) -> Tensor:
        return torch.full_like(iterations, self.p)


class TeacherCoins:
    """Draws teacher masks, counting iterations as it goes.

    Args:
        schedule: maps the iteration to p_teacher.
        unit: ``update``: the iteration advances once a call of :meth:`draw` (the paper);
            ``time_step``: it advances at every time step (the tutorial and the published code).
        coin: ``step``: a coin per sample and step; ``sequence``: one per sample, tossed at its
            first step; ``class``: one per sample, step and class.
        seed: of the coins' own generator.

    Raises:
        ValueError: if ``unit`` or ``coin`` is unknown.
    """

    def __init__(
        self, *, schedule: Schedule, unit: Unit = "update", coin: Coin = "step", seed: int = 0
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit={unit!r}: expected one of {', '.join(UNITS)}")
        if coin not in COINS:
            raise ValueError(f"coin={coin!r}: expected one of {', '.join(COINS)}")
        self.schedule = schedule
        self.unit: Unit = unit
        self.coin: Coin = coin
        self.iteration = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._part: tuple[int, int, int] | None = None

    @property
    def p_teacher(self) -> float:
        """Probability that holds for the next coin."""
        return self.schedule.probability(self.iteration)

    @contextmanager
    def part_of(self, n_sequences: int, n_steps: int, first: int) -> Iterator[None]:
        """Draw in the block for some sequences of a batch what they get in the whole of it.

        Args:
            n_sequences: of the whole batch.
            n_steps: of its longest sequence.
            first: place in it of the first sequence that is drawn for.
        """
        self._part = (n_sequences, n_steps, first)
        try:
            yield
        finally:
            self._part = None

    def draw(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        """Toss the coins of one batch and advance the iteration.

        Returns:
            Teacher mask, bool on the CPU: (B, T), or (B, T, C) for ``coin="class"``.
        """
        if self._part is not None:
            whole, longest, first = self._part
            return self._draw(whole, longest, n_classes)[first : first + n_sequences, :n_steps]
        return self._draw(n_sequences, n_steps, n_classes)

    def _draw(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        p = self.probabilities(n_steps)  # (T,)
        if self.coin == "sequence":
            tosses = self._uniform(n_sequences, 1)  # (B, 1)
            mask = (tosses < p[:1]).expand(n_sequences, n_steps).clone()  # (B, T)
        elif self.coin == "class":
            mask = self._uniform(n_sequences, n_steps, n_classes) < p[:, None]  # (B, T, C)
        else:
            mask = self._uniform(n_sequences, n_steps) < p  # (B, T)
        self.iteration += n_steps if self.unit == "time_step" else 1
        return mask

    def probabilities(self, n_steps: int) -> Tensor:
        """p_teacher of the next ``n_steps`` time steps, float64 (T,)."""
        counted = torch.arange(n_steps)
        steps = counted if self.unit == "time_step" else torch.zeros_like(counted)
        return self.schedule.probability(self.iteration + steps)

    def noise(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        """Draw uniforms in [0, 1) for sampled feedback, float32 (B, T, C), from the same source."""
        if self._part is not None:
            whole, longest, first = self._part
            noise = self._uniform(whole, longest, n_classes)[first : first + n_sequences, :n_steps]
            return noise.float()
        return self._uniform(n_sequences, n_steps, n_classes).float()

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """Everything that :meth:`load_state_dict` needs to go on with the very same coins."""
        return {"iteration": self.iteration, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.iteration = int(state["iteration"])
        self._generator.set_state(state["generator"])


def make_schedule(config: SamplerConfig, *, batches_per_epoch: int) -> Schedule:
    """Build the schedule that a configuration describes.

    Args:
        config: of the sampler.
        batches_per_epoch: N_b where the configuration leaves it open.
    """
    bounds = {"p_min": config.p_min, "p_max": config.p_max}
    match config:
        case ScheduledConfig():
            n_batches = config.batches_per_epoch or batches_per_epoch
            return ScheduledSampler(batches_per_epoch=n_batches, gamma=config.gamma, **bounds)
        case LinearConfig():
            return LinearSchedule(k=config.k, c=config.c, **bounds)
        case ExponentialConfig():
            return ExponentialSchedule(k=config.k, **bounds)
        case InverseSigmoidConfig():
            return InverseSigmoidSchedule(k=config.k, **bounds)
        case ConstantConfig():
            return ConstantSchedule(p=config.p, **bounds)
    raise ValueError(f"schedule={config.schedule!r}: unknown")


def make_coins(config: SamplerConfig, *, batches_per_epoch: int, seed: int) -> TeacherCoins:
    """Build the coins that a configuration describes; they draw from a generator of their own."""
    return TeacherCoins(
        schedule=make_schedule(config, batches_per_epoch=batches_per_epoch),
        unit=cast(Unit, config.unit),
        coin=cast(Coin, config.coin),
        seed=seed,
    )
