"""Settings of train and eval, with the checks that cross their groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sed_cli.config.data import (
    DATA_SETS,
    EVENT_CLASSES,
    AnnotatedConfig,
    AnyDataConfig,
    DataConfig,
    SoundscapesConfig,
)
from sed_cli.config.evaluation import (
    EvaluationConfig,
    SequenceEvaluationConfig,
)
from sed_cli.config.every_verb import DEVICE, DEVICES, SizedConfig
from sed_cli.config.faults import Faults
from sed_cli.config.monitors import OF_TOKENS, column_of, faults_of_figures
from sed_cli.config.registry import components
from sed_cli.config.settings import DEFAULT, MISSING, Role, setting
from sed_cli.config.tokens import TOKEN_SETS, TokenSetConfig
from sed_cli.config.trainer import MEAN_TEACHER, SELF_TRAINING, TrainerConfig
from sed_cli.config.training import (
    AugmentConfig,
    DetectorModelConfig,
    FeatureConfig,
    SamplerConfig,
    SequenceModelConfig,
)

_BYTES_A_WEIGHT = 8  # the weight and its gradient, in float32


@dataclass
class AnyTrainConfig(SizedConfig):
    """``sedtf train`` of any task.

    Attributes:
        MODEL: name of the model, for messages.
        DATA_SETS: classes of its training data, by ``data.kind``.
    """

    MODEL: ClassVar[str]
    DATA_SETS: ClassVar[Mapping[str, type[AnyDataConfig]]]

    task: str = setting(MISSING, "sed: sound event detection; sequence: next-token prediction")
    seed: int = setting(
        0,
        "seed of weights, batches, dropout and sampling",
        at_least=0,
        at_most=2**32 - 1,
        role=Role.FREE,
    )
    device: str = setting("auto", DEVICE, choices=DEVICES, role=Role.PLACE)
    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE | Role.FREE
    )
    resume: str | None = setting(
        None,
        "run folder of a training to resume, with its original settings",
        role=Role.PLACE | Role.FREE,
    )
    resume_sweep: str | None = setting(
        None,
        "folder of a sweep to resume, with -m; runs only the remaining jobs",
        role=Role.PLACE | Role.FREE,
    )
    init: str | None = setting(
        None,
        "run or checkpoint with initial weights, used where shapes match",
        role=Role.PATH | Role.FREE,
        before=DEFAULT,
    )
    sampler: SamplerConfig = setting()
    data: AnyDataConfig = setting()
    trainer: TrainerConfig = setting()

    @classmethod
    def with_newer_settings(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add settings that runs of earlier versions lack, if others tell which value they had."""
        return dict(values)

    def model_faults(self) -> list[str]:
        """Faults in settings that determine weight sizes; a checkpoint with any is rejected."""
        return []

    def take_files_of(self, checkpoint: Path) -> None:
        """Use the files in a checkpoint folder instead of those of the training.

        Raises:
            CheckpointError: if one is missing or invalid.
        """

    @property
    def n_trained_first(self) -> int:
        """Number of trainings whose result the run needs first."""
        return 0

    def loss_faults(self) -> list[str]:
        """Fault if the loss is for another task."""
        loss = self.trainer.loss
        if self.task == loss.TASK:
            return []
        return [f"trainer.loss={loss.name} is a loss for task={loss.TASK}: choose another"]


@dataclass
class TrainConfig(AnyTrainConfig):
    """``sedtf train``: a detector."""

    MODEL: ClassVar[str] = "a detector"
    DATA_SETS: ClassVar[Mapping[str, type[AnyDataConfig]]] = DATA_SETS

    task: str = setting("sed", "sound event detection", choices=("sed",))
    init_normalisation: float = setting(
        0.0,
        "share of init's feature statistics in the normalisation; 0: only those of the new data, "
        "1: only those of init",
        at_least=0,
        at_most=1,
        role=Role.FREE,
        before=DEFAULT,
    )
    teacher: str | None = setting(
        None,
        "run, checkpoint or folder of runs that labels data.train.unlabelled; null: "
        "trainer.teachers are trained first",
        role=Role.PATH | Role.FREE,
        before=DEFAULT,
    )
    feature: FeatureConfig = setting()
    model: DetectorModelConfig = setting()
    data: DataConfig = setting()
    augment: AugmentConfig = setting()
    evaluation: EvaluationConfig = setting()

    @classmethod
    def with_newer_settings(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The first runs that learned from recordings without labels had a mean teacher."""
        data = values["data"]
        split = data.get("train") if isinstance(data, Mapping) else None
        learns = isinstance(split, Mapping) and split.get("unlabelled") is not None
        trainer = {"unlabelled": MEAN_TEACHER} if learns else {}
        return {**values, "trainer": trainer | values["trainer"]}

    @property
    def n_trained_first(self) -> int:
        """Number of teachers, for recordings without labels."""
        split = getattr(self.data, "train", None)
        has_unlabelled = getattr(split, "unlabelled", None) is not None
        is_needed = has_unlabelled and self.trainer.unlabelled == SELF_TRAINING
        return self.trainer.teachers if is_needed and self.teacher is None else 0

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults in all groups, and in their combinations."""
        faults = Faults(super().faults(named))
        faults += self.model_faults()
        faults += self._file_faults()
        faults += self.sampler.faults()
        faults += self.data.faults()
        faults += self.augment.faults_with(self.feature)
        faults += self.trainer.faults()
        faults += self.loss_faults()
        faults += faults_of_figures(self.trainer.monitor, self.trainer.figures)
        split = getattr(self.data, "train", None)
        has_unlabelled = getattr(split, "unlabelled", None) is not None
        faults += self.trainer.faults_of_average(
            named,
            has_unlabelled=has_unlabelled,
            learns_clips=getattr(split, "weak", None) is not None,
        )
        faults.require(
            self.teacher is None or "trainer.teachers" not in named,
            f"trainer.teachers={self.trainer.teachers} has no effect with teacher={self.teacher}, "
            f"which is trained already: drop one",
        )
        faults += self.evaluation.faults()
        for key in ("metric", "min_gap_s", "min_duration_s", "decoder"):
            faults.require(
                getattr(self.evaluation, key) is not None,
                f"evaluation.{key}=null: null stands for the value in a checkpoint, which does "
                "not exist yet; drop it, or give a value",
            )
        if isinstance(self.data, AnnotatedConfig) and self.data.train is None:
            faults.append("data.train=null: training needs a training split")
        faults.require(
            self.init is not None or "init_normalisation" not in named,
            f"init_normalisation={self.init_normalisation} has no effect without init: drop it, or "
            f"give init=RUN",
        )
        meaningless = sorted(key for key in named if re.match(r"sampler\b", key))
        if not self.model.has_feedback and meaningless:
            faults.append(
                f"{', '.join(meaningless)} set, but this model has no feedback for a sampler to "
                "control: drop it, or choose a model with feedback, such as model=crnn"
            )
        faults += [*self._clip_faults(), *self._batch_faults()]
        return [*faults, *self.recording_faults(self.data), *self._too_large()]

    def _too_large(self) -> list[str]:
        """Faults if the model or a batch does not fit into memory."""
        if self.model_faults() or self.data.faults() or self.trainer.faults():
            return []  # sizes that have already been reported
        if self.feature.FILE:
            return []  # it has the number of features, and has not been read yet
        data, n_features = self.data, self.feature.n_features
        named = getattr(data, "classes", None)
        is_generated = isinstance(data, SoundscapesConfig)
        usual = len(EVENT_CLASSES) if is_generated and data.bank is None else 1  # type: ignore[attr-defined]
        n_classes = len(named) if named else usual
        # Recordings on disk may be shorter than a sequence: only one frame is certain.
        n_frames = self.trainer.batch_size * (data.sequence_length if is_generated else 1)
        n_weights = self.model.least_weights(n_features, n_classes)
        faults = self.memory_faults(
            _BYTES_A_WEIGHT * n_weights,
            f"a model of {n_weights:.3g} weights",
            self.model.SIZES,
            device=self.device,
        )
        n_numbers = n_frames * self.model.least_activations(n_features)
        return faults or self.memory_faults(
            4 * n_numbers,
            f"a batch of {n_frames} frames",
            ("trainer.batch_size", "data.sequence_length", *self.model.SIZES),
            device=self.device,
        )

    def _clip_faults(self) -> list[str]:
        """Fault if a pooling into clips would not be trained."""
        name = getattr(self.model, "clip_pooling", None)
        pooling = components("clip_pooling").get(str(name))
        train = getattr(self.data, "train", None)
        if pooling is None or not pooling.IS_LEARNT or getattr(train, "weak", None) is not None:
            return []
        return [
            f"model.clip_pooling={name} is learnt from weakly labelled clips, but there are "
            "none: name them with data.train.weak, or drop it"
        ]

    def model_faults(self) -> list[str]:
        """Faults in the features and the model."""
        if self.feature.FILE:  # which a checkpoint has copied
            return [*self.feature.faults(), *self.model.faults("model.")]
        return [*self.feature.faults(), *self.model.faults_with(self.feature.n_features)]

    def take_files_of(self, checkpoint: Path) -> None:
        """Use the checkpoint's copy of the file that computes the features."""
        self.feature = self.feature.kept(checkpoint)

    def _file_faults(self) -> list[str]:
        """Faults in the file that computes the features, and in its fit to the model."""
        if not self.feature.FILE:
            return []
        known = {*self.model_faults()}
        return self.feature.file_faults() or [
            fault for fault in self.model.faults_with(self.feature.n_features) if fault not in known
        ]

    def _batch_faults(self) -> list[str]:
        """Sequence length and batch size, if the size of the training split is known."""
        data, batch_size = self.data, self.trainer.batch_size * self.trainer.accumulate
        if not isinstance(data, SoundscapesConfig) or data.sequence_length < 1:
            return []
        sizes = (data.duration_s, data.n_train, self.feature.sample_rate, self.feature.hop_length)
        if not all(0 < size < 2**53 for size in sizes):  # has already been reported
            return []
        n_frames = 1 + int(data.duration_s * self.feature.sample_rate) // self.feature.hop_length
        n_sequences = data.n_train * -(-n_frames // data.sequence_length)
        faults = Faults()
        said = f"trainer.batch_size={self.trainer.batch_size}"
        said += f", trainer.accumulate={self.trainer.accumulate}" * (self.trainer.accumulate > 1)
        faults.require(
            n_sequences >= batch_size,
            f"{said}, but {data.n_train} recordings of {n_frames} frames "
            f"give {n_sequences} sequences of data.sequence_length={data.sequence_length}: fewer "
            f"than one batch; lower one of them or raise data.n_train",
        )
        faults.require(
            data.sequence_length <= n_frames,
            f"data.sequence_length={data.sequence_length} frames, but a recording of "
            f"{data.duration_s:g} s has {n_frames}: the rest would be padding; "
            f"set data.sequence_length={n_frames} or less",
        )
        return faults


@dataclass
class SequenceTrainConfig(AnyTrainConfig):
    """``sedtf train task=sequence``: a model of the next token."""

    MODEL: ClassVar[str] = "a sequence model"
    DATA_SETS: ClassVar[Mapping[str, type[AnyDataConfig]]] = TOKEN_SETS

    task: str = setting("sequence", "next-token prediction", choices=("sequence",))
    model: SequenceModelConfig = setting()
    data: TokenSetConfig = setting()
    evaluation: SequenceEvaluationConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults in all groups, and in their combinations."""
        faults = Faults(super().faults(named))
        faults += self.model.faults("model.")
        faults += self.sampler.faults()
        faults.require(
            self.sampler.coin != "class",
            "sampler.coin=class draws for each class, but task=sequence has one token per step: "
            "expected step or sequence",
        )
        faults.require(
            self.sampler.feedback.serves_tokens,
            f"sampler.feedback={self.sampler.feedback.name} feeds back activities, and "
            f"task=sequence has tokens: choose another such as hard, or give the rule a "
            f"method for tokens",
        )
        faults.require(
            self.sampler.target_noise == 0,
            f"sampler.target_noise={self.sampler.target_noise:g} flips activities, and "
            f"task=sequence has tokens: drop it",
        )
        faults += self.data.faults()
        faults += self.trainer.faults()
        faults += self.loss_faults()
        faults += self.trainer.faults_of_average(named, has_unlabelled=False)
        faults.require(
            column_of(self.trainer.monitor) in OF_TOKENS,
            f"trainer.monitor={self.trainer.monitor}: expected one of {', '.join(OF_TOKENS)}",
        )
        faults.require(
            not self.trainer.figures,
            f"trainer.figures={self.trainer.figures}: all metrics of task=sequence are in "
            f"history.csv; drop it",
        )
        for key, off in (("max_positive_weight", None), ("balance", 0)):
            value = getattr(self.trainer, key)
            faults.require(
                value == off,
                f"trainer.{key}={value} is for activities of classes, and task=sequence has "
                f"tokens: drop it",
            )
        faults.require(
            self.trainer.precision == "float32",
            f"trainer.precision={self.trainer.precision}: task=sequence has no convolutions to "
            f"speed up; expected float32",
        )
        faults += self.evaluation.faults()
        if not self.model.faults("model."):
            n_weights = self.model.least_weights()
            what = f"a model of {n_weights:.3g} weights"
            faults += self.memory_faults(
                _BYTES_A_WEIGHT * n_weights, what, self.model.SIZES, device=self.device
            )
        return faults


TASKS: dict[str, type[AnyTrainConfig]] = {"sed": TrainConfig, "sequence": SequenceTrainConfig}


def root_of(task: Any) -> type[AnyTrainConfig]:
    """Settings of the training of a task; runs without a task are detectors."""
    return TASKS.get(str(task), TrainConfig)
