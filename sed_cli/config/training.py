"""Settings of the parts of a training: features, model, sampler, augmentation, loss and others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sed_cli.config.feedback import FeedbackConfig
from sed_cli.config.registry import components
from sed_cli.config.settings import DEFAULT, MISSING, Role, Settings, range_faults, setting

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


_HIGHEST_RATE = 10_000_000  # Hz; recorders of bats take 500 kHz


@dataclass
class FeatureConfig(Settings, ABC):
    """A front end, from waveforms to features; ``kind`` selects it.

    Attributes:
        FILE: name in a checkpoint of the file that computes the features; "": none. Such a file
            also determines the number of features.
    """

    KIND: ClassVar[str] = "front_end"
    FILE: ClassVar[str] = ""

    kind: str = setting()
    sample_rate: int = setting(
        16000,
        "sample rate of the features; other recordings are resampled",
        unit="Hz",
        at_least=1,
        at_most=_HIGHEST_RATE,
    )
    hop_length: int = setting(
        512, "hop size, from one frame to the next", unit="samples", at_least=1
    )

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate

    @property
    @abstractmethod
    def n_features(self) -> int:
        """M, the number of features per frame."""

    @abstractmethod
    def build(self) -> Any:
        """Build the front end: a :class:`sed_cli.audio.features.FrontEnd`."""

    def file_faults(self) -> list[str]:
        """Faults in the file that computes the features."""
        return []

    def content(self) -> str:
        """Hash of the file that computes the features; "" without one."""
        return ""

    def keep(self, folder: Path) -> None:
        """Write into a checkpoint folder the files that :meth:`build` needs."""

    def kept(self, folder: Path) -> Self:
        """Return the settings with the files of a checkpoint folder."""
        return self


@dataclass
class PowerConfig(FeatureConfig, ABC):
    """Features that are a function of the power in bands, so that sounds can be mixed on them."""

    @abstractmethod
    def build_power(self) -> Any:
        """Build the front end of the power itself, with the centres of the bands."""

    @abstractmethod
    def to_power(self, features: Tensor) -> Tensor:
        """Power of the bands; zero below the resolution of the features."""

    @abstractmethod
    def from_power(self, power: Tensor) -> Tensor:
        """Features of the power of the bands."""

    @abstractmethod
    def amplified(self, features: Tensor, decibels: Tensor) -> Tensor:
        """Features (T, M) of a sound after changing the level of its bands by (M,) dB."""


@dataclass
class DetectorModelConfig(Settings, ABC):
    """A model from spectrograms to logits; ``kind`` selects it."""

    KIND: ClassVar[str] = "model"
    SIZES: ClassVar[tuple[str, ...]] = ()
    """Keys of the settings that determine its memory."""

    kind: str = setting()

    def least_weights(self, n_features: int, n_classes: int) -> int:
        """Minimum number of weights of the model; 0: unknown, so never too many."""
        return 0

    def least_activations(self, n_features: int) -> int:
        """Minimum count of numbers that an update keeps per frame; 0: unknown."""
        return 0

    @property
    def has_feedback(self) -> bool:
        """Whether the model has feedback, so that a sampler has an effect."""
        return True

    @property
    def onset_loss_weight(self) -> float:
        """Weight of the loss of onset outputs; that of activities is 1."""
        return 1.0

    def faults_with(self, n_mels: int) -> list[str]:
        """All faults, also with regard to the number of mel bands."""
        return self.faults("model.")

    @abstractmethod
    def build(self, *, n_mels: int, n_classes: int) -> Any:
        """Build the model, a CRNN or a subclass, with random weights."""


@dataclass
class SequenceModelConfig(Settings, ABC):
    """A model of the next token; ``kind`` selects it."""

    KIND: ClassVar[str] = "model"
    SIZES: ClassVar[tuple[str, ...]] = ()
    """Keys of the settings that determine its memory."""

    kind: str = setting()

    def least_weights(self) -> int:
        """Minimum number of weights of the model; 0: unknown, so never too many."""
        return 0

    @abstractmethod
    def build(self, *, n_tokens: int, n_source_tokens: int | None) -> Any:
        """Build the model with random weights; without ``n_source_tokens`` it has no encoder."""


@dataclass
class SamplerConfig(Settings):
    """Settings of all samplers: bounds, unit of iterations, scope of draws, feedback rule."""

    KIND: ClassVar[str] = "schedule"

    schedule: str = setting(MISSING, "schedule of p_teacher over iterations", role=Role.FREE)
    p_min: float = setting(0.0, "lowest p_teacher", at_least=0, at_most=1, role=Role.FREE)
    p_max: float = setting(1.0, "highest p_teacher", at_least=0, at_most=1, role=Role.FREE)
    unit: str = setting(
        "update",
        "unit of an iteration: update (the paper), time_step (the tutorial)",
        choices=("update", "time_step"),
        role=Role.FREE,
    )
    coin: str = setting(
        "step",
        "one draw per step, per sequence, or per class and step",
        choices=("step", "sequence", "class"),
    )
    feedback: FeedbackConfig = setting(MISSING, "how the model's own output is fed back")
    target_noise: float = setting(
        0.0,
        "probability of flipping a target activity that is fed back, to imitate the model's own "
        "errors (task=sed)",
        at_least=0,
        below=1,
        before=DEFAULT,
    )

    def faults(self, prefix: str = "sampler.") -> list[str]:
        """Faults in ranges, the order of the bounds and the feedback rule."""
        faults = range_faults(self, prefix)
        faults += self.feedback.faults(f"{prefix}feedback.")
        faults.require(
            self.p_min <= self.p_max,
            f"{prefix}p_min={self.p_min} and p_max={self.p_max}: expected 0 <= p_min <= p_max <= 1",
        )
        return faults


@dataclass
class AugmentConfig(Settings):
    """Augmentations of training sequences, drawn anew in each epoch and applied in this order."""

    JOINS: ClassVar[str] = "augmentation"  # their fields form the class of the group

    def parts(self) -> list[Any]:
        """The augmentations, each with its own fields, in the order in which they are applied."""
        return [
            part(**{each.name: getattr(self, each.name) for each in fields(part)})
            for part in components(self.JOINS).values()
        ]

    def faults_with(self, feature: FeatureConfig, prefix: str = "augment.") -> list[str]:
        """Faults in each, also with regard to the features."""
        faults = [fault for part in self.parts() for fault in part.faults_with(feature, prefix)]
        return [
            *faults,
            *(
                f"{prefix}{fields(part)[0].name} needs the power of bands, which "
                f"feature={feature.kind} does not have: drop it, or choose feature=logmel"
                for part in self.parts()
                if part.is_active and part.ON_POWER and not isinstance(feature, PowerConfig)
            ),
        ]


@dataclass
class LossConfig(Settings, ABC):
    """An element-wise loss; ``name`` selects it."""

    KIND: ClassVar[str] = "loss"
    TASK: ClassVar[str] = "sed"  # the task whose outputs it takes

    name: str = setting()

    @abstractmethod
    def per_output(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each output, without reduction.

        Args:
            logits: (B, T, C), or (N, C) of tokens.
            targets: activities in [0, 1], (B, T, C); of tokens their ids, int64 (N,).

        Returns:
            Losses of the shape of ``targets``.
        """


@dataclass
class OptimizerConfig(Settings, ABC):
    """An optimiser; ``name`` selects it."""

    KIND: ClassVar[str] = "optimizer"

    name: str = setting()

    @abstractmethod
    def build(self, parameters: Iterable[Parameter], lr: float) -> Optimizer:
        """Build the optimiser of some parameters, with learning rate ``lr``."""


@dataclass
class LrScheduleConfig(Settings, ABC):
    """A learning-rate schedule; ``name`` selects it."""

    KIND: ClassVar[str] = "lr_schedule"
    # Whether it is stepped after each epoch, with its score (the higher the better), instead of
    # after each update.
    BY_SCORE: ClassVar[bool] = False

    name: str = setting()

    @abstractmethod
    def build(self, optimizer: Optimizer, n_updates: int) -> LRScheduler | None:
        """Build the schedule of an optimiser, for at most so many updates."""
