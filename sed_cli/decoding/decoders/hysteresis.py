"""Two thresholds for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting

if TYPE_CHECKING:
    from sed_cli.decoding.decoder import Fitting
    from sed_cli.decoding.hysteresis import HysteresisDecoder


@component("decoder", "hysteresis")
class HysteresisConfig(DecoderConfig):
    """An event starts above an upper threshold and continues above a lower one; both tuned."""

    upper: float | None = setting(
        None,
        "upper threshold, above which an event starts, for all classes; null: tuned",
        at_least=0,
        at_most=1,
    )
    lower: float | None = setting(
        None,
        "lower threshold, above which an event continues, for all classes; null: tuned",
        at_least=0,
        at_most=1,
    )

    def faults(self, prefix: str = "evaluation.decoder.") -> list[str]:
        """Faults in ranges, and in the order of the thresholds."""
        faults = Faults(super().faults(prefix))
        if self.upper is not None and self.lower is not None:
            faults.require(
                self.lower <= self.upper,
                f"{prefix}lower={self.lower} and upper={self.upper}: expected lower <= upper",
            )
        return faults

    def fit(self, task: Fitting) -> HysteresisDecoder:
        """Tune thresholds, minimum durations and minimum gaps of each class on validation."""
        from sed_cli.decoding.hysteresis import fit

        return fit(task, self.upper, self.lower)

    @classmethod
    def read(
        cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float
    ) -> HysteresisDecoder:
        """Undo :meth:`HysteresisDecoder.as_json`."""
        from sed_cli.decoding.hysteresis import HysteresisDecoder

        return HysteresisDecoder.from_json(values, classes, hop_s)
