"""A conformer instead of the recurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sed_cli.config.faults import Faults
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.models import defaults
from sed_cli.models.kinds.crnn import CRNNConfig

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN


@component("model", "conformer")
class ConformerConfig(CRNNConfig):
    """Convolutions over time and frequency, then a conformer that reads windows; no feedback."""

    feedback: ClassVar[bool] = False  # type: ignore[misc]  # no setting here: nothing can be fed

    rnn_hidden: int = setting(
        defaults.RNN_HIDDEN,
        "units of a GRU of the same size as a layer, which has half as many numbers per frame",
        at_least=2,
        at_most=2**14,
    )
    n_heads: int = setting(
        4,
        "number of attention heads; rnn_hidden must be a multiple of twice this number",
        at_least=1,
    )
    n_layers: int = setting(1, "number of conformer layers", at_least=1, at_most=128)
    time_kernel: int = setting(
        15,
        "kernel size of its convolutions over time, odd",
        unit="frames",
        at_least=1,
        at_most=9999,
    )
    window: int = setting(
        512,
        "maximum frames read at once; longer recordings are read in windows that overlap by half",
        unit="frames",
        at_least=4,
    )

    def faults(self, prefix: str = "model.") -> list[str]:
        """Faults in the convolutions, and in sizes that are not multiples."""
        faults = Faults(super().faults(prefix))
        if faults:  # the checks below compute with them
            return faults
        step = 2 * self.n_heads
        faults.require(
            self.rnn_hidden % step == 0,
            f"{prefix}rnn_hidden={self.rnn_hidden} is not a multiple of {step}: a frame has half "
            "as "
            f"many numbers, and each of {prefix}n_heads={self.n_heads} takes an equal share; set "
            f"rnn_hidden={max(1, self.rnn_hidden // step) * step}",
        )
        faults.require(
            self.time_kernel % 2 == 1,
            f"{prefix}time_kernel={self.time_kernel}: expected an odd number, so that frames "
            "stay centred",
        )
        return faults

    def build(self, *, n_mels: int, n_classes: int) -> CRNN:
        """Build the model with random weights."""
        from sed_cli.models.conformer import ConformerDetector

        return ConformerDetector(
            n_mels=n_mels,
            n_heads=self.n_heads,
            n_layers=self.n_layers,
            time_kernel=self.time_kernel,
            window=self.window,
            **self.sizes(n_classes),
        )
