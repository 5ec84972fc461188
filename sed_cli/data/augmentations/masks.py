"""Masking of time and frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.data.augmentation import Augmentation, Draws, Item, Others, Training

if TYPE_CHECKING:
    from sed_cli.config.training import FeatureConfig

_MOST_MASKS = 1000


@component("augmentation", "masks", original=True)
class Masks(Augmentation):
    """Mask ranges of time and of frequency; activities stay, to be inferred from context.

    Source: Park et al. 2019 (SpecAugment), without warping; by torchaudio.
    """

    ORDER: ClassVar[int] = 5
    KEEPS_TARGETS: ClassVar[bool] = True

    time_masks: int = setting(0, "number of time masks", at_least=0, at_most=_MOST_MASKS)
    time_mask_frames: int = setting(16, "maximum length of a time mask", unit="frames", at_least=1)
    time_mask_share: float = setting(
        0.2, "maximum length of a time mask, as a share of the sequence", at_least=0, at_most=1
    )
    frequency_masks: int = setting(0, "number of frequency masks", at_least=0, at_most=_MOST_MASKS)
    frequency_mask_bands: int = setting(
        6, "maximum width of a frequency mask", unit="bands", at_least=1
    )

    @property
    def is_active(self) -> bool:
        """Whether there are any."""
        return self.time_masks + self.frequency_masks > 0

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """Add faults with regard to the number of bands."""
        faults = Faults(super().faults_with(feature, prefix))
        faults.require(
            not self.frequency_masks or self.frequency_mask_bands < feature.n_features,
            f"{prefix}frequency_mask_bands={self.frequency_mask_bands}, but there are "
            f"feature.n_mels={feature.n_features} bands: expected fewer, or nothing would be left",
        )
        return faults

    def apply(self, item: Item, draws: Draws, others: Others, prepared: Training) -> Item:
        """Fill them with the mean of each band."""
        import torch

        from sed_cli.system.torchaudio_import import import_torchaudio

        mask_along_axis = import_torchaudio("functional").mask_along_axis
        seed = int(draws.generator("masks").integers(2**63))
        n_frames, n_mels = item.log_mel.shape
        frames, bands = torch.ones(1, 1, n_frames), torch.ones(1, n_mels, 1)
        # torchaudio draws from torch's generator, which is reserved for weights and dropout.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for _ in range(self.frequency_masks):
                bands = mask_along_axis(bands, self.frequency_mask_bands + 1, 0.0, 1)
            for _ in range(self.time_masks):
                frames = mask_along_axis(
                    frames, self.time_mask_frames + 1, 0.0, 2, self.time_mask_share
                )
        kept = (frames * bands)[0].T > 0  # (T, M)
        return item._replace(log_mel=torch.where(kept, item.log_mel, prepared.fill))
