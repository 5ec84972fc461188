"""Per-channel energy normalisation."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from sed_cli.audio.front_ends.logmel import MelConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import setting

if TYPE_CHECKING:
    from sed_cli.audio.pcen import PCEN


@component("front_end", "pcen")
class PCENConfig(MelConfig):
    """Mel bands, each normalised by its recent past (PCEN): for varying noise and distances.

    Source: Wang et al. 2017; the defaults are librosa's.
    """

    gain: float = setting(
        0.98, "alpha, exponent of the normalisation by the past level", at_least=0, at_most=1
    )
    bias: float = setting(2.0, "delta, added before the root", at_least=0)
    power: float = setting(0.5, "r, exponent of the root", above=0, at_most=1)
    time_constant: float = setting(
        0.4, "time constant of the average over the past", unit="s", above=0
    )
    eps: float = setting(1e-10, "power of silence: the floor of log-mel", above=0)

    def build(self) -> PCEN:
        """Build the transform."""
        from sed_cli.audio.features import LogMel
        from sed_cli.audio.pcen import PCEN

        of_bands = {each.name for each in fields(MelConfig)} - {"kind"}
        mel = LogMel(**{name: getattr(self, name) for name in of_bands}, is_log=False)
        return PCEN(
            mel,
            gain=self.gain,
            bias=self.bias,
            power=self.power,
            time_constant_s=self.time_constant,
            eps=self.eps,
        )
