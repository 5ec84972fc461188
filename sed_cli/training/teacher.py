"""The mean teacher: a moving average of the weights that labels what nobody has labelled.

Source: Tarvainen and Valpola 2017, "Mean teachers are better role models"; the settings are those
of the DCASE task 4 baselines (``desed_task``), but that the decay of the average rises otherwise
(:mod:`sed_cli.training.average`).
"""

from __future__ import annotations

import math

from torch import nn

from sed_cli.training.average import Average

DECAY = 0.999
"""Of the average, unless ``trainer.ema`` says otherwise."""


class Teacher:
    """The averaged model, and what it counts for.

    Args:
        average: of the weights that are trained.
        weight: of the consistency in the end.
        n_updates: until then.
    """

    def __init__(self, average: Average, weight: float, n_updates: int) -> None:
        self._average, self._weight, self._n_updates = average, weight, n_updates
        self.weight = 0.0

    @property
    def model(self) -> nn.Module:
        """The average as it is now."""
        return self._average.model

    def at(self, update: int, p_teacher: float) -> None:
        """Set the weight to that of an update, from 0.

        A model that has been fed the ground truth hardly knows how to run free, and free-running
        labels are all that it has to give: they count by the share of what it has been fed itself.
        """
        self.weight = self._weight * risen(update, self._n_updates) * (1.0 - p_teacher)


def risen(update: int, n_updates: int) -> float:
    """Share of a weight that rises over some updates, from e^-5 to 1 along a Gaussian."""
    return math.exp(-5.0 * (1.0 - min(1.0, update / n_updates if n_updates else 1.0)) ** 2)
