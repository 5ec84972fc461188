"""Frequency shift by whole bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import Augmentation, Draws, Item, Others, Training

if TYPE_CHECKING:
    from sed_cli.config.training import FeatureConfig


@component("augmentation", "band_shift")
class BandShift(Augmentation):
    """Move all bands up or down together, the frequency shift of detectors on mel spectrograms.

    Above 1 kHz, where mel bands are equally wide on a logarithmic axis, this changes the pitch;
    below, partials of a sound move apart or together.
    """

    # Before the masks, after changes of the recording itself.
    ORDER: ClassVar[int] = 4
    KEEPS_TARGETS: ClassVar[bool] = True

    band_shift: int = setting(
        0,
        "maximum shift up or down, drawn for each sequence; 0: none",
        unit="bands",
        at_least=0,
    )

    @property
    def is_active(self) -> bool:
        """Whether there is any."""
        return self.band_shift > 0

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """Add faults with regard to the number of bands."""
        faults = Faults(super().faults_with(feature, prefix))
        faults.require(
            self.band_shift < feature.n_features,
            f"{prefix}band_shift={self.band_shift}, but there are "
            f"feature.n_mels={feature.n_features} bands: expected fewer, or nothing would be left",
        )
        return faults

    def apply(self, item: Item, draws: Draws, others: Others, prepared: Training) -> Item:
        """Shift the bands of (T, M); new ones at the edge get their mean."""
        draw = draws.generator("band_shift")
        shift = int(draw.integers(-self.band_shift, self.band_shift + 1))
        if not shift:
            return item
        log_mel = item.log_mel.roll(shift, 1)
        edge = slice(0, shift) if shift > 0 else slice(shift, None)
        log_mel[:, edge] = prepared.fill[edge]
        return item._replace(log_mel=log_mel)
