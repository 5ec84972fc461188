"""A conformer in the place of the recurrence."""

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
        "a layer is as large as a GRU of this many units: half as many numbers per frame",
        at_least=2,
        at_most=2**14,
    )
    n_heads: int = setting(
        4, "attention heads; rnn_hidden is a multiple of twice this number", at_least=1
    )
    n_layers: int = setting(1, "of the conformer", at_least=1, at_most=128)
    time_kernel: int = setting(
        15, "of its convolutions over time, odd", unit="frames", at_least=1, at_most=9999
    )
    window: int = setting(
        512,
        "frames read at once, at most; longer recordings are read in windows that overlap by half",
        unit="frames",
        at_least=4,
    )

    def faults(self, prefix: str = "model.") -> list[str]:
        """Faults of the convolutions, and of sizes that do not divide."""
        faults = Faults(super().faults(prefix))
        if faults:  # what follows computes with them
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
            f"{prefix}time_kernel={self.time_kernel}: expected an odd number, so that frames keep "
            "their place",
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
