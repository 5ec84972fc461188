"""The mean teacher: a moving average of the weights that labels unlabelled data.

Source: Tarvainen and Valpola 2017, "Mean teachers are better role models"; the settings are those
of the DCASE task 4 baselines (``desed_task``), except for the rise of the decay
(:mod:`sed_cli.training.average`).
"""

from __future__ import annotations

import math

from torch import nn

from sed_cli.training.average import Average

DECAY = 0.999
"""Default decay of the average, unless ``trainer.ema`` is set."""


class Teacher:
    """The averaged model, and the weight of its labels.

    Args:
        average: of the trained weights.
        weight: final weight of the consistency loss.
        n_updates: number of updates until then.
    """

    def __init__(self, average: Average, weight: float, n_updates: int) -> None:
        self._average, self._weight, self._n_updates = average, weight, n_updates
        self.weight = 0.0

    @property
    def model(self) -> nn.Module:
        """The current average."""
        return self._average.model

    def at(self, update: int, p_teacher: float) -> None:
        """Set the weight to that of an update, from 0.

        A teacher-forced model is poor in free running, and its labels are free running: their
        weight is the share of free running in its training.
        """
        self.weight = self._weight * risen(update, self._n_updates) * (1.0 - p_teacher)


def risen(update: int, n_updates: int) -> float:
    """Ramp of a weight over some updates, from e^-5 to 1 along a Gaussian."""
    return math.exp(-5.0 * (1.0 - min(1.0, update / n_updates if n_updates else 1.0)) ** 2)
