"""The CRNN: convolutions, pooling over frequency, recurrence with or without feedback."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from sed_cli.config.pooling import check_pooling
from sed_cli.config.registry import Names, component, component_named
from sed_cli.config.settings import DEFAULT, Role, range_faults, setting
from sed_cli.config.training import DetectorModelConfig
from sed_cli.models import defaults

if TYPE_CHECKING:
    from sed_cli.models.crnn import CRNN


@component("model", "crnn", original=True)
class CRNNConfig(DetectorModelConfig):
    """Convolutions over time and frequency, a GRU over time, with feedback of the last step."""

    GRUS: ClassVar[int] = 1
    SIZES: ClassVar[tuple[str, ...]] = (
        "model.rnn_hidden",
        "model.conv_channels",
        "model.kernel_size",
    )

    conv_channels: int = setting(
        defaults.CONV_CHANNELS, "number of channels of each convolution block", at_least=1
    )
    kernel_size: int = setting(
        defaults.KERNEL_SIZE, "kernel size of the convolutions, odd", at_least=1
    )
    pooling: list[int] = setting(
        list(defaults.POOLING),
        "pooling factors over frequency, one per block; the default reduces 40 bands to 1",
    )
    rnn_hidden: int = setting(defaults.RNN_HIDDEN, "H, units of the GRU", at_least=1)
    dropout: float = setting(
        defaults.DROPOUT, "probability of dropping a value after each block", at_least=0, below=1
    )
    feedback: bool = setting(defaults.FEEDBACK, "feed the previous step's activities to the GRU")
    onsets: bool = setting(
        defaults.ONSETS,
        "add outputs for onsets, which separate touching events",
        before=DEFAULT,
    )
    fed_outputs: str = setting(
        defaults.FED_OUTPUTS,
        "outputs that are fed back, with onsets: all, activities, onsets",
        choices=("all", "activities", "onsets"),
        before=DEFAULT,
    )
    onset_weight: float = setting(
        0.25,
        "weight of the loss of onsets; that of activities is 1",
        above=0,
        role=Role.FREE,
        before=DEFAULT,
    )

    clip_pooling: str = setting(
        defaults.CLIP_POOLING,
        "pooling of frame probabilities into those of a clip, for weak labels",
        choices=Names("clip_pooling"),
        before=DEFAULT,
    )

    @property
    def has_feedback(self) -> bool:
        """Whether the model has feedback from the previous step."""
        return self.feedback

    @property
    def onset_loss_weight(self) -> float:
        """Weight of the loss of onsets."""
        return self.onset_weight

    def faults(self, prefix: str = "model.") -> list[str]:
        """Faults in ranges, and in a kernel that would shift frames."""
        faults = range_faults(self, prefix)
        faults.require(
            self.kernel_size % 2 == 1,
            f"{prefix}kernel_size={self.kernel_size}: expected an odd number, so that frames "
            "stay centred",
        )
        faults.require(
            self.fed_outputs == "all" or (self.onsets and self.feedback),
            f"{prefix}fed_outputs={self.fed_outputs} chooses among activities and onsets, but "
            f"{prefix}onsets={str(self.onsets).lower()} and {prefix}feedback="
            f"{str(self.feedback).lower()}: drop it, or set {prefix}onsets=true",
        )
        return faults

    def faults_with(self, n_mels: int) -> list[str]:
        """Add faults in the pooling for the number of mel bands."""
        return [*self.faults(), *check_pooling(self.pooling, n_mels)]

    def least_weights(self, n_features: int, n_classes: int) -> int:
        """Number of weights in all blocks, the GRU and the readout."""
        channels, hidden = self.conv_channels, self.rnn_hidden
        inputs = [1, *[channels] * (len(self.pooling) - 1)]
        blocks = sum(channels * (n * self.kernel_size**2 + 3) for n in inputs)
        n_outputs = n_classes * (2 if self.onsets else 1)
        n_inputs = self.n_read(n_features)
        if self.feedback:
            n_inputs += n_outputs if self.fed_outputs == "all" else n_classes
        ways = self.GRUS
        grus = ways * 3 * hidden * (n_inputs + hidden + 2)
        return blocks + grus + n_outputs * (ways * hidden + 1)

    def n_read(self, n_features: int) -> int:
        """Features of a frame after the convolutions."""
        return self.conv_channels * (n_features // math.prod(self.pooling))

    def least_activations(self, n_features: int) -> int:
        """Outputs of each convolution, kept for its gradient, and the states of the GRU."""
        bands, count = n_features, 0
        for factor in self.pooling:
            count += self.conv_channels * bands
            bands //= factor
        return count + self.rnn_hidden

    def sizes(self, n_classes: int) -> dict[str, Any]:
        """Arguments of the model from these settings."""
        pooling = component_named("clip_pooling", self.clip_pooling)()
        return {
            "n_classes": n_classes,
            "conv_channels": self.conv_channels,
            "kernel_size": self.kernel_size,
            "pooling": self.pooling,
            "rnn_hidden": self.rnn_hidden,
            "dropout": self.dropout,
            "feedback": self.feedback,
            "onsets": self.onsets,
            "clip_head": pooling.build(n_classes),
            "fed_outputs": self.fed_outputs,
        }

    def build(self, *, n_mels: int, n_classes: int) -> CRNN:
        """Build the model with random weights."""
        from sed_cli.models.crnn import CRNN

        return CRNN(n_mels=n_mels, **self.sizes(n_classes))
