"""Mixing with another sequence."""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import Augmentation, Draws, Item, Others, Training


@component("augmentation", "mixup", original=True)
class Mixup(Augmentation):
    """Mix in another sequence; classes active in either are active in the mixture.

    Source: the hard labels and the mixing before the logarithm are those of the DCASE task 4
    baselines (``desed_task/data_augm.py``), the weights those of Gong et al. 2021 (PSLA): near a
    half, since inaudible sounds should not be targets.
    """

    ORDER: ClassVar[int] = 1
    ON_POWER: ClassVar[bool] = True

    mixup: float = setting(
        0.0,
        "probability of mixing in another sequence; the labels of both count",
        at_least=0,
        at_most=1,
    )
    mixup_alpha: float = setting(
        10.0,
        "its share is drawn from Beta(alpha, alpha): larger values are nearer 0.5",
        above=0,
        at_most=1_000_000,
    )

    @property
    def is_active(self) -> bool:
        """Whether its probability is above 0."""
        return self.mixup > 0

    def apply(self, item: Item, draws: Draws, others: Others, prepared: Training) -> Item:
        """Mix the powers."""
        import torch

        n_sequences = others.n_sequences
        draw = draws.chance(self.mixup, "mixup")
        if draw is None or n_sequences < 2:
            return item
        number = (others.number + int(draw.integers(1, n_sequences))) % n_sequences
        other = Item(*others.sequences[number])
        share = float(draw.beta(self.mixup_alpha, self.mixup_alpha))
        feature = prepared.power
        n_frames = min(len(item.log_mel), len(other.log_mel))
        power = feature.to_power(item.log_mel) * share
        power[:n_frames] += feature.to_power(other.log_mel[:n_frames]) * (1 - share)
        targets, laid = item.targets.clone(), other.targets[:n_frames]
        if n_frames < len(other.targets):  # its content may be in the part cut off
            laid = torch.where(laid.isposinf(), torch.nan, laid)
        targets[:n_frames] = torch.maximum(targets[:n_frames], laid)
        return Item(feature.from_power(power), targets)
