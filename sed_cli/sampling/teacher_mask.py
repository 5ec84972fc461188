"""The teacher mask: Bernoulli draws with the probability of a schedule.

They have their own random generator, so that drawing them does not affect other random numbers.
The mask decides where targets are fed back; the recurrence feeds them
(:mod:`sed_cli.models.recurrence`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor

from sed_cli.config.training import SamplerConfig
from sed_cli.sampling.schedule import Schedule
from sed_cli.sampling.schedules.confidence import ConfidenceSchedule
from sed_cli.system.distributed import summed

Unit = Literal["update", "time_step"]
Coin = Literal["step", "sequence", "class"]

UNITS: tuple[Unit, ...] = ("update", "time_step")
COINS: tuple[Coin, ...] = ("step", "sequence", "class")

_MOST_STEPS = 10_000_000  # of a batch in a state that is read: files are untrusted


class TeacherCoins:
    """Draws teacher masks and counts iterations.

    Args:
        schedule: maps the iteration to p_teacher.
        unit: ``update``: the iteration advances with each call of :meth:`draw` (the paper);
            ``time_step``: it advances at every time step (the tutorial and the published code).
        coin: ``step``: one draw per sample and step; ``sequence``: one per sample, with the
            probability of its first step (under a schedule that follows decoding steps, compared
            with each step's probability); ``class``: one per sample, step and class.
        seed: of its own generator.

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
        self._n_steps = 1  # of the last batch
        self._share: Tensor | None = None  # of its steps with the target fed back, by confidence
        self._generator = torch.Generator().manual_seed(seed)
        self._part: tuple[int, int, int] | None = None

    @property
    def p_teacher(self) -> float:
        """Probability of the next draw, or the mean over a batch like the last one.

        If the model's confidence decides, the share of targets in the last batch.
        """
        if self._share is not None:
            return float(self._share)
        if not self.schedule.follows_steps:
            return self.schedule.probability(self.iteration)
        return float(self.probabilities(self._n_steps).mean())

    @contextmanager
    def part_of(self, n_sequences: int, n_steps: int, first: int) -> Iterator[None]:
        """In this block, draw for some sequences of a batch what they get in the whole batch.

        Args:
            n_sequences: of the whole batch.
            n_steps: of its longest sequence.
            first: index of the first of these sequences in it.
        """
        self._part = (n_sequences, n_steps, first)
        try:
            yield
        finally:
            self._part = None

    def draw(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        """Draw the mask of one batch and advance the iteration.

        Returns:
            Teacher mask, bool on the CPU: (B, T), or (B, T, C) for ``coin="class"``.
        """
        if self._part is not None:
            whole, longest, first = self._part
            return self._draw(whole, longest, n_classes)[first : first + n_sequences, :n_steps]
        return self._draw(n_sequences, n_steps, n_classes)

    def _draw(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        self._n_steps = n_steps
        p = self.probabilities(n_steps)  # (T,)
        if self.coin == "sequence":
            steps = torch.arange(n_steps)
            p = self.schedule.probability(torch.full_like(steps, self.iteration), steps)
            mask = self._uniform(n_sequences, 1) < p  # (B, T)
        elif self.coin == "class":
            mask = self._uniform(n_sequences, n_steps, n_classes) < p[:, None]  # (B, T, C)
        else:
            mask = self._uniform(n_sequences, n_steps) < p  # (B, T)
        self.iteration += n_steps if self.unit == "time_step" else 1
        return mask

    def choose(
        self, targets: Tensor, confidence: Tensor, valid: Tensor, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decide the feedback of one batch by the model's confidence, and advance the iteration.

        Args:
            targets: activities (B, T, C), with onsets (B, T, 2C), or ids (B, T).
            confidence: probability that the model assigns to them, (B, T), or (B, T, C) per class.
            valid: bool (B, T), set on the steps that are not padding.
            known: where targets are known, bool of the shape of ``targets``; None: everywhere.

        Returns:
            The targets to feed back, of the shape of ``targets``: for steps above the upper
            bound, the target of a random step of the same sequence. And the teacher mask, bool of
            the shape of ``confidence``; with ``known``, of its shape and set only there.
        """
        schedule = cast(ConfidenceSchedule, self.schedule)
        of_classes = confidence if confidence.ndim == 3 else confidence[..., None]  # (B, T, n)
        is_target = of_classes <= schedule.target_at_most
        is_random = of_classes > schedule.own_at_most
        n_valid = valid.sum(dim=1)[:, None, None]  # (B, 1, 1)
        noise = self.noise(*of_classes.shape).to(targets.device)
        steps = torch.minimum((noise * n_valid).long(), n_valid - 1)  # (B, T, n)
        rows = targets if targets.ndim == 3 else targets[..., None]  # (B, T, rows of n or one)
        fits = rows.shape[2] // steps.shape[2]
        random = rows.gather(1, steps.repeat(1, 1, fits))
        fed = torch.where(is_random.repeat(1, 1, fits), random, rows)
        counted = valid[..., None].expand_as(is_target)
        mask = is_target | is_random
        if known is not None:
            n_own = is_target.shape[2]
            counted = counted & (known[..., :n_own] if n_own > 1 else known.any(2, keepdim=True))
            # A random step may have an unknown target.
            drawn = known.gather(1, steps.repeat(1, 1, fits))
            mask = (mask & ~is_random).repeat(1, 1, fits) | (is_random.repeat(1, 1, fits) & drawn)
            mask = mask & known
        sums = summed(torch.stack([(is_target & counted).sum(), counted.sum()]).double())
        self._share = sums[0] / sums[1].clamp(min=1)
        self.iteration += 1
        return fed.view_as(targets), mask if known is not None else mask.view_as(confidence)

    def probabilities(self, n_steps: int) -> Tensor:
        """p_teacher of the next ``n_steps`` time steps, float64 (T,)."""
        steps = torch.arange(n_steps)
        counted = steps if self.unit == "time_step" else torch.zeros_like(steps)
        return self.schedule.probability(self.iteration + counted, steps)

    def noise(self, n_sequences: int, n_steps: int, n_classes: int) -> Tensor:
        """Draw uniforms in [0, 1) for sampled feedback, float32 (B, T, C), from this generator."""
        if self._part is not None:
            whole, longest, first = self._part
            noise = self._uniform(whole, longest, n_classes)[first : first + n_sequences, :n_steps]
            return noise.float()
        return self._uniform(n_sequences, n_steps, n_classes).float()

    def flipped(self, targets: Tensor, probability: float) -> Tensor:
        """Flip activities (B, T, C) in [0, 1] with a probability, drawn from this generator."""
        is_flipped = self.noise(*targets.shape).to(targets.device) < probability
        return torch.where(is_flipped, 1 - targets, targets)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """State for :meth:`load_state_dict`, to continue with exactly the same draws."""
        state = {"iteration": self.iteration, "generator": self._generator.get_state()}
        return {**state, "n_steps": self._n_steps, "share": self._share}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: for an impossible state.
        """
        self.iteration = int(state["iteration"])
        self._generator.set_state(state["generator"])
        # Older states lack these two, which p_teacher needs between batches.
        self._n_steps = int(state.get("n_steps", 1))
        self._share = state.get("share")
        if not 1 <= self._n_steps <= _MOST_STEPS:
            raise ValueError(f"{self._n_steps} steps")
        if self._share is not None and not 0 <= float(self._share) <= 1:
            raise ValueError(f"a share of {float(self._share)}")


def make_coins(config: SamplerConfig, *, batches_per_epoch: int, seed: int) -> TeacherCoins:
    """Build the draws of a configuration; they have their own generator.

    Args:
        config: of the sampler, a schedule among them.
        batches_per_epoch: N_b unless the configuration sets it.
        seed: of the generator.
    """
    return TeacherCoins(
        schedule=cast(Schedule, config).for_batches(batches_per_epoch),
        unit=cast(Unit, config.unit),
        coin=cast(Coin, config.coin),
        seed=seed,
    )
