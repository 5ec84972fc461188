"""The CRNN: convolutions, pooling over frequency, recurrence with or without feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sed_cli.config.pooling import check_pooling
from sed_cli.config.registry import component
from sed_cli.config.settings import DEFAULT, Role, range_faults, setting
from sed_cli.config.training import DetectorModelConfig
from sed_cli.models import defaults

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN


@component("model", "crnn", original=True)
class CRNNConfig(DetectorModelConfig):
    """Convolutions over time and frequency, a GRU over time, with feedback of the last step."""

    conv_channels: int = setting(defaults.CONV_CHANNELS, "of each convolution block", at_least=1)
    kernel_size: int = setting(defaults.KERNEL_SIZE, "of the convolutions, odd", at_least=1)
    pooling: list[int] = setting(
        list(defaults.POOLING), "over frequency, a factor a block: 40 bands become 1"
    )
    rnn_hidden: int = setting(defaults.RNN_HIDDEN, "H, units of the GRU", at_least=1)
    dropout: float = setting(
        defaults.DROPOUT, "probability of dropping a value after each block", at_least=0, below=1
    )
    feedback: bool = setting(
        defaults.FEEDBACK, "feed the activities of the previous step to the GRU"
    )
    onsets: bool = setting(
        defaults.ONSETS,
        "outputs for the frames in which events begin, too: they separate touching events",
        before=DEFAULT,
    )
    onset_weight: float = setting(
        0.25,
        "of the loss of onsets, beside 1 of activities",
        above=0,
        role=Role.FREE,
        before=DEFAULT,
    )

    @property
    def has_feedback(self) -> bool:
        """Whether the model is fed the previous step."""
        return self.feedback

    @property
    def onset_loss_weight(self) -> float:
        """Of the loss of onsets."""
        return self.onset_weight

    def faults(self, prefix: str = "model.") -> list[str]:
        """Faults of ranges, and of a kernel that would shift frames."""
        faults = range_faults(self, prefix)
        faults.require(
            self.kernel_size % 2 == 1,
            f"{prefix}kernel_size={self.kernel_size}: expected an odd number, so that frames stay "
            f"put",
        )
        return faults

    def faults_with(self, n_mels: int) -> list[str]:
        """Faults of the pooling against the number of mel bands too."""
        return [*self.faults(), *check_pooling(self.pooling, n_mels)]

    def sizes(self) -> dict[str, Any]:
        """Arguments of the model that these settings give."""
        return {
            "conv_channels": self.conv_channels,
            "kernel_size": self.kernel_size,
            "pooling": self.pooling,
            "rnn_hidden": self.rnn_hidden,
            "dropout": self.dropout,
            "feedback": self.feedback,
            "onsets": self.onsets,
        }

    def build(self, *, n_mels: int, n_classes: int) -> CRNN:
        """Build the model with random weights."""
        from sed_cli.models.crnn import CRNN

        return CRNN(n_mels=n_mels, n_classes=n_classes, **self.sizes())
