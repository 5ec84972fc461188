"""p_teacher over a simulated run: values for its file and figures, and the expected draws.

Most schedules have one number per iteration. One that follows decoding steps has one for each
step of a sequence; if an iteration is a whole batch, its number is their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.sampling.teacher_mask import TeacherCoins

Floats = NDArray[np.float64]

_MOST = 1 << 21  # probabilities computed at once


class Expected(NamedTuple):
    """Expected share of teacher-forced steps, and the variance of one draw, each (N,)."""

    share: Floats
    variance: Floats


class Probabilities:
    """p_teacher of one sampler over batches of ``n_steps`` steps."""

    def __init__(self, coins: TeacherCoins, n_steps: int) -> None:
        self._coins, self._n_steps = coins, n_steps
        self._per_batch = n_steps if coins.unit == "time_step" else 1
        # Draws for whole sequences are made at their first step.
        self._toss_every = self._per_batch if coins.coin == "sequence" else 1
        # Whether the iteration advances from one step of a draw to the next.
        self._advances = coins.unit == "time_step" and coins.coin != "sequence"

    def rows(self, iterations: Tensor) -> Floats:
        """p_teacher at iterations (N,), as in ``curve.csv``."""
        schedule = self._coins.schedule
        if schedule.follows_steps and self._per_batch == 1:
            return np.concatenate([part.mean(axis=1) for part in self._by_step(iterations)])
        rows: Floats = schedule.probability(iterations, iterations % self._n_steps).numpy()
        return rows

    def shown(self, iterations: NDArray[np.int64]) -> tuple[Floats, tuple[Floats, Floats] | None]:
        """Values for figures at iterations (N,), and their range along a batch."""
        at = torch.from_numpy(iterations)
        if not self._coins.schedule.follows_steps:
            return self.rows(at), None
        parts = list(self._by_step(at - at % self._per_batch))
        first, last = (np.concatenate([part[:, end] for part in parts]) for end in (0, -1))
        return np.concatenate([part.mean(axis=1) for part in parts]), (first, last)

    def expected(self, start: int, p: Floats) -> Expected:
        """Expected draws at iterations from ``start`` on, whose :meth:`rows` are ``p``."""
        every = self._toss_every
        if not self._coins.schedule.follows_steps or self._advances:
            tossed = p[-start % every :: every]
            return Expected(tossed, tossed * (1.0 - tossed))
        firsts = torch.arange(start + -start % every, start + len(p), every)
        if not len(firsts):
            return Expected(np.empty(0), np.empty(0))
        parts = [self._of_steps(of_steps) for of_steps in self._by_step(firsts)]
        return Expected(*map(np.concatenate, zip(*parts, strict=True)))

    def _of_steps(self, p: Floats) -> Expected:
        """Expected draws of batches whose steps have probabilities (N, T)."""
        share = p.mean(axis=1)
        if self._coins.coin != "sequence":
            return Expected(share, (p * (1.0 - p)).mean(axis=1))
        # One draw for all steps: two steps are both teacher-forced with the lower probability.
        lower = np.sort(p, axis=1)[:, ::-1] * (2 * np.arange(self._n_steps) + 1)
        return Expected(share, lower.sum(axis=1) / self._n_steps**2 - share**2)

    def _by_step(self, firsts: Tensor) -> Iterator[Floats]:
        """Probabilities (N, T) of each step of the batches that start at iterations, in parts."""
        steps = torch.arange(self._n_steps)
        counted = steps if self._advances else torch.zeros_like(steps)
        n_rows = max(1, _MOST // self._n_steps)
        for start in range(0, len(firsts), n_rows):
            at = firsts[start : start + n_rows, None] + counted
            yield self._coins.schedule.probability(at, steps.expand_as(at)).numpy()
