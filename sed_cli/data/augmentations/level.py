"""Changes of level and spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import MOST_DB, Augmentation, Draws, Item, Others, Training, uniform

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from sed_cli.config.training import FeatureConfig


@component("augmentation", "level", original=True)
class Level(Augmentation):
    """Change the level, overall and per band; silence stays silent.

    Gain and filter are added: the filter may raise what the gain lowers below the floor.
    """

    ORDER: ClassVar[int] = 3
    ON_POWER: ClassVar[bool] = True
    KEEPS_TARGETS: ClassVar[bool] = True

    gain_db: list[float] = setting(
        [0.0, 0.0],
        "range of level changes",
        unit="dB",
        at_least=-MOST_DB,
        at_most=MOST_DB,
    )
    filter_db: float = setting(
        0.0,
        "maximum change of a band's level",
        unit="dB",
        at_least=0,
        at_most=MOST_DB,
    )

    @property
    def is_active(self) -> bool:
        """Whether there is any change."""
        return any(self.gain_db) or self.filter_db > 0

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """Faults in ranges and the pair."""
        faults = Faults(super().faults_with(feature, prefix))
        faults.ranges(prefix, self, "gain_db")
        return faults

    def apply(self, item: Item, draws: Draws, others: Others, prepared: Training) -> Item:
        """Add an offset to each band."""
        import torch

        decibels = torch.zeros(item.log_mel.shape[1])
        if any(self.gain_db):
            decibels += uniform(self.gain_db, draws.generator("level.gain"))
        if self.filter_db:
            decibels += _filter(self.filter_db, len(decibels), draws.generator("level.filter"))
        if not decibels.any():
            return item
        return item._replace(log_mel=prepared.power.amplified(item.log_mel, decibels))


def _filter(most_db: float, n_mels: int, draw: np.random.Generator) -> Tensor:
    """Gain of each band (M,): straight lines between three to six random points.

    Source: Nam et al. 2022 (FilterAugment, linear type).
    """
    import numpy as np
    import torch

    n_points = int(draw.integers(3, 7))
    places = np.sort(np.concatenate([[0, n_mels - 1], draw.uniform(0, n_mels - 1, n_points - 2)]))
    gains = draw.uniform(-most_db, most_db, n_points)
    return torch.from_numpy(np.interp(np.arange(n_mels), places, gains)).float()
