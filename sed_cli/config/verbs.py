"""Settings of the verbs: a class each, with the checks that cross its groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import (
    DATA_SETS,
    AnnotatedConfig,
    AnyDataConfig,
    DataConfig,
    SoundscapesConfig,
)
from sed_cli.config.evaluation import (
    METRICS,
    DecodingConfig,
    EvaluationConfig,
    SequenceEvaluationConfig,
)
from sed_cli.config.faults import Faults
from sed_cli.config.plugins import files_in_use
from sed_cli.config.registry import Names
from sed_cli.config.settings import MISSING, Role, range_faults, setting
from sed_cli.config.tokens import TOKEN_SETS, TokenSetConfig
from sed_cli.config.training import (
    MONITORS,
    MONITORS_OF_SEQUENCES,
    MOST_THREADS,
    AugmentConfig,
    DetectorModelConfig,
    FeatureConfig,
    SamplerConfig,
    SequenceModelConfig,
    TrainerConfig,
)
from sed_cli.config.values import vary_sampler

JSONL = "jsonl"  # events as they are found, a line of JSON each
PCM_DTYPES = ("s16", "s32", "f32")
DEVICES = ("auto", "cpu", "cuda")

_DEVICE = "auto (CUDA when there is one), cpu, cuda"
_CHECKPOINT = "a run folder (its best epoch) or a checkpoint folder"
_THREADS = "CPU threads; null: torch's choice"


@dataclass
class VerbConfig:
    """What every verb takes."""

    plugins: list[str] = setting(
        [],
        "Python files with components of your own (docs/extending.md)",
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """All that is wrong with the configuration.

        Args:
            named: the keys that the user gave.
        """
        unknown = {*self.plugins} - {*map(str, files_in_use())}
        return [
            *range_faults(self, ""),
            *(
                f"plugins={file} stands in a file of configs, and is imported only where the "
                f"command names it: add plugins=[{file}]"
                for file in sorted(unknown)
            ),
        ]


@dataclass
class AnyTrainConfig(VerbConfig):
    """``sedtf train`` of any task.

    Attributes:
        MODEL: what is trained, for messages.
        DATA_SETS: classes of the data that it is trained on, by ``data.kind``.
        BEFORE_CHOICE: components that runs of version 0.1 had, which named none.
    """

    MODEL: ClassVar[str]
    DATA_SETS: ClassVar[Mapping[str, type[AnyDataConfig]]]
    BEFORE_CHOICE: ClassVar[Mapping[str, str]]

    task: str = setting(MISSING, "sed: sound event detection; sequence: the next token")
    seed: int = setting(
        0,
        "of weights, batches, dropout and sampling",
        at_least=0,
        at_most=2**32 - 1,
        role=Role.FREE,
    )
    device: str = setting("auto", _DEVICE, choices=DEVICES, role=Role.PLACE)
    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE | Role.FREE)
    resume: str | None = setting(
        None,
        "a run folder to continue, with the settings it was started with",
        role=Role.PLACE | Role.FREE,
    )
    resume_sweep: str | None = setting(
        None,
        "with -m: the folder of a sweep; only what is not done there is run",
        role=Role.PLACE | Role.FREE,
    )
    sampler: SamplerConfig = setting()
    data: AnyDataConfig = setting()
    trainer: TrainerConfig = setting()

    def model_faults(self) -> list[str]:
        """Faults of what the sizes of the weights follow from; a checkpoint is read with none."""
        return []

    def loss_faults(self) -> list[str]:
        """Faults of a loss of other outputs than the task's."""
        loss = self.trainer.loss
        if self.task == loss.TASK:
            return []
        return [f"trainer.loss={loss.name} is a loss of task={loss.TASK}: choose another"]


@dataclass
class TrainConfig(AnyTrainConfig):
    """``sedtf train``: a detector."""

    MODEL: ClassVar[str] = "a detector"
    DATA_SETS: ClassVar[Mapping[str, type[AnyDataConfig]]] = DATA_SETS
    BEFORE_CHOICE: ClassVar[Mapping[str, str]] = {
        "model": "crnn",
        "loss": "bce",
        "feature": "logmel",
    }

    task: str = setting("sed", "sound event detection", choices=("sed",))
    feature: FeatureConfig = setting()
    model: DetectorModelConfig = setting()
    data: DataConfig = setting()
    augment: AugmentConfig = setting()
    evaluation: EvaluationConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of all groups, alone and against each other."""
        faults = Faults(super().faults(named))
        faults += self.model_faults()
        faults += self.sampler.faults()
        faults += self.data.faults()
        faults += self.augment.faults_with(self.feature)
        faults += self.trainer.faults()
        faults += self.loss_faults()
        faults.one_of("trainer.", self.trainer, "monitor", MONITORS)
        faults += self.evaluation.faults()
        for key in ("metric", "min_gap_s", "min_duration_s"):
            faults.require(
                getattr(self.evaluation, key) is not None,
                f"evaluation.{key}=null: that stands for what a checkpoint holds, and there is "
                f"none yet; drop it, or give a value",
            )
        if isinstance(self.data, AnnotatedConfig) and self.data.train is None:
            faults.append("data.train=null: a model cannot be trained without that split")
        meaningless = sorted(key for key in named if key.split(".")[0] == "sampler")
        if not self.model.has_feedback and meaningless:
            faults.append(
                f"{', '.join(meaningless)} set, but this model feeds nothing back "
                f"(model.feedback=false), so no sampler acts: drop that, or choose model=crnn"
            )
        return [*faults, *self._batch_faults()]

    def model_faults(self) -> list[str]:
        """Faults of the features and of the model that takes them."""
        return [*self.feature.faults(), *self.model.faults_with(self.feature.n_features)]

    def _batch_faults(self) -> list[str]:
        """Sequence length against batch size, where the size of the training split is known."""
        data, batch_size = self.data, self.trainer.batch_size
        if not isinstance(data, SoundscapesConfig) or data.sequence_length < 1:
            return []
        sizes = (data.duration_s, data.n_train, self.feature.sample_rate, self.feature.hop_length)
        if not all(0 < size < 2**53 for size in sizes):  # that is reported already
            return []
        n_frames = 1 + int(data.duration_s * self.feature.sample_rate) // self.feature.hop_length
        n_sequences = data.n_train * -(-n_frames // data.sequence_length)
        faults = Faults()
        faults.require(
            n_sequences >= batch_size,
            f"trainer.batch_size={batch_size}, but {data.n_train} recordings of {n_frames} frames "
            f"give {n_sequences} sequences of data.sequence_length={data.sequence_length}: fewer "
            f"than one batch; lower one of the two or raise data.n_train",
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
    BEFORE_CHOICE: ClassVar[Mapping[str, str]] = {"model": "language", "loss": "cross_entropy"}

    task: str = setting("sequence", "the next token", choices=("sequence",))
    model: SequenceModelConfig = setting()
    data: TokenSetConfig = setting()
    evaluation: SequenceEvaluationConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of all groups, alone and against each other."""
        faults = Faults(super().faults(named))
        faults += self.model.faults("model.")
        faults += self.sampler.faults()
        faults.require(
            self.sampler.coin != "class",
            "sampler.coin=class draws for each class, but of tokens there is one a step: "
            "expected step or sequence",
        )
        faults += self.data.faults()
        faults += self.trainer.faults()
        faults += self.loss_faults()
        faults.one_of("trainer.", self.trainer, "monitor", MONITORS_OF_SEQUENCES)
        faults.require(
            self.trainer.precision == "float32",
            f"trainer.precision={self.trainer.precision}: task=sequence has no convolutions that "
            f"would gain by it; expected float32",
        )
        return [*faults, *self.evaluation.faults()]


TASKS: dict[str, type[AnyTrainConfig]] = {"sed": TrainConfig, "sequence": SequenceTrainConfig}


def root_of(task: Any) -> type[AnyTrainConfig]:
    """Settings of the training of a task; where a run names none it is a detector's."""
    return TASKS.get(str(task), TrainConfig)


@dataclass
class EvalConfig(VerbConfig):
    """``sedtf eval``; data and post-processing are those of the checkpoint unless others are named.

    With ``evaluation.metric`` the thresholds are tuned anew, on the validation split of the run.
    """

    checkpoint: str = setting(MISSING, _CHECKPOINT, role=Role.SOURCE)
    split: str = setting("test", "train, validation or test", choices=SPLITS)
    device: str = setting("auto", _DEVICE, choices=DEVICES, role=Role.PLACE)
    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE)
    threads: int | None = setting(None, _THREADS, at_least=1, at_most=MOST_THREADS, role=Role.PLACE)
    data: AnyDataConfig | None = setting(None)
    evaluation: EvaluationConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of the groups, and of a metric to tune for where nothing is tuned."""
        faults = Faults([*super().faults(named), *self.evaluation.faults()])
        faults.require(
            self.evaluation.tune or self.evaluation.metric is None,
            f"evaluation.metric={self.evaluation.metric} asks for tuning and evaluation.tune=false "
            f"for none: drop one of the two",
        )
        return [*faults, *([] if self.data is None else self.data.faults())]


@dataclass
class ExportConfig(VerbConfig):
    """``sedtf export``; the licences are copied to the model card."""

    checkpoint: str = setting(MISSING, _CHECKPOINT)
    output_dir: str = setting(MISSING, "folder of the exported model", role=Role.PLACE)
    waveform: bool = setting(
        True, "also a graph that takes samples; adds 9 MB at the default features"
    )
    tolerance: float = setting(
        1e-5, "greatest difference of a probability from PyTorch's; more fails the job", above=0
    )
    licence: str | None = setting(None, "of the model, for its card, such as cc-by-4.0")
    data_licence: str | None = setting(None, "of the training data, for the card")


@dataclass
class SimulateConfig(VerbConfig):
    """``sedtf simulate``: ``samplers`` lays named variations of ``sampler`` over one another."""

    seed: int = setting(0, "of the teacher masks", at_least=0, at_most=2**32 - 1)
    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE)
    sampler: SamplerConfig = setting()
    samplers: dict[str, dict[str, Any]] = setting(
        {},
        "variations of sampler in one figure: '+samplers.slow.gamma=0.02' "
        "'+samplers.line={schedule: linear, c: 0.0002}'",
    )
    n_batches: int = setting(50, "batches drawn", at_least=1)
    batch_size: int = setting(16, "B, sequences in a batch", at_least=1)
    n_steps: int = setting(107, "T, time steps in a sequence", at_least=1)
    n_classes: int = setting(6, "C, for sampler.coin=class", at_least=1)
    animate: bool = setting(True, "draw forced_targets.gif")

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of the sampler and of each variation."""
        faults = Faults([*super().faults(named), *self.sampler.faults()])
        for name, changes in self.samplers.items():
            try:
                faults += vary_sampler(self.sampler, changes).faults(f"samplers.{name}.")
            except Exception as error:
                faults.append(f"samplers.{name}: {str(error).splitlines()[0]}")
        return faults


@dataclass
class SynthConfig(VerbConfig):
    """``sedtf synth``: soundscapes of ``data``, or of the recipe of a set that was written."""

    output_dir: str = setting(MISSING, "folder of the data set", role=Role.PLACE)
    recipe: str | None = setting(
        None,
        "recipe.json of a data set that was written: the same bytes again; with it only data.bank "
        "may be set: where the bank lies now",
    )
    format: str = setting("desed", "of the annotations", choices=Names("format"))
    workers: int | None = setting(None, "processes; null: one for each core", at_least=1)
    figure: bool = setting(True, "draw figures/scene.png, a recording with its events")
    data: DataConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of the soundscapes, or of settings that a recipe fixes."""
        faults = Faults(super().faults(named))
        if not isinstance(self.data, SoundscapesConfig):
            faults.append(
                "data: soundscapes are what synth writes; choose data=soundscapes, or none"
            )
            return faults
        if self.recipe is not None:
            # What a recipe does not fix: where its bank lies now.
            fixed = [
                key
                for key in sorted(named - {"data.bank"})
                if key.split(".")[0] in ("format", "data")
            ]
            faults.require(
                not fixed,
                f"{', '.join(fixed)} set, but recipe={self.recipe} fixes that: drop one of the two",
            )
            return faults
        faults += self.data.faults_of_set()
        counts = [self.data.n_train, self.data.n_validation, self.data.n_test]
        faults.require(
            any(counts),
            "data.n_train, data.n_validation and data.n_test are all 0: nothing to write",
        )
        return faults


@dataclass
class DataVerbConfig(VerbConfig):
    """``sedtf data``."""

    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE)
    sequence_gap_s: float | None = setting(
        None,
        "a longer silence ends a sequence of events, whose syntax is measured; null: sequences end "
        "with their recordings",
        unit="s",
        at_least=0,
    )
    n_faults: int = setting(
        20, "faults shown; all of them are in data.json and faults.csv", at_least=0
    )
    near_copies: bool = setting(
        False, "look for the same sound in two splits too (computes features)"
    )
    data: DataConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of the data too."""
        return [*super().faults(named), *self.data.faults()]


@dataclass
class StatusConfig(VerbConfig):
    """How far runs are."""

    dir: str = setting(MISSING, "of a sweep, a run, or of several; as in sedtf status DIR")
    watch: float | None = setting(None, "show it again and again, until Ctrl-C", unit="s", above=0)


@dataclass
class CacheConfig(VerbConfig):
    """``sedtf cache``."""

    clear: str | None = setting(
        None,
        "what a running process uses stays",
        choices=("features", "soundscapes", "all"),
    )
    older_than_days: float | None = setting(
        None, "clear only what was not used for so many days", at_least=0
    )
    cache_dir: str | None = setting(None, "null: SEDTF_CACHE, else the user's cache folder")

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of an age where nothing is cleared."""
        faults = Faults(super().faults(named))
        faults.require(
            self.clear is not None or self.older_than_days is None,
            f"older_than_days={self.older_than_days}, but nothing is cleared: add clear=all",
        )
        return faults


@dataclass
class PredictConfig(VerbConfig):
    """``sedtf predict``: ``input`` is a file, a folder, or - for standard input.

    ``decoding`` is for a sequence model; what stands before it for a detector.
    """

    checkpoint: str = setting(MISSING, _CHECKPOINT)
    input: str = setting(
        MISSING, "a recording, a folder (and all folders in it), or - for standard input"
    )
    format: str = setting("desed", "of the events", choices=Names("format", JSONL))
    channels: str = setting(
        "mix",
        "mix: their average; first: that one alone; each: one after the other",
        choices=("mix", "first", "each"),
    )
    probabilities: bool = setting(
        False, "save the probability of each class at each frame: NAME.scores.tsv"
    )
    timeline: bool = setting(False, "draw each recording with its events: NAME.timeline.png")
    decoding: DecodingConfig = setting(DecodingConfig(), "of a sequence model")
    output_dir: str | None = setting(
        None,
        "folder for all that is written; null: events of one recording go to standard output, the "
        "rest goes beside the audio",
    )
    device: str = setting("auto", _DEVICE, choices=DEVICES)
    threads: int | None = setting(
        1,
        f"{_THREADS}; more seldom pay, since blocks are small",
        at_least=1,
        at_most=MOST_THREADS,
    )

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of decoding too."""
        return [*super().faults(named), *self.decoding.faults()]


@dataclass
class ListenConfig(VerbConfig):
    """``sedtf listen``: raw PCM on standard input; ``channels`` are interleaved in it."""

    checkpoint: str = setting(MISSING, _CHECKPOINT)
    sample_rate: int | None = setting(
        None, "of the samples; null: that of the detector", unit="Hz", at_least=1000
    )
    dtype: str = setting(
        "s16",
        "s16, s32 (integers), f32 (floats in [-1, 1]); all little-endian",
        choices=PCM_DTYPES,
    )
    channels: int = setting(1, "interleaved in the samples; they are averaged", at_least=1)
    device: str = setting("cpu", _DEVICE, choices=DEVICES)
    threads: int | None = setting(1, _THREADS, at_least=1, at_most=MOST_THREADS)


@dataclass
class CompareConfig(VerbConfig):
    """``sedtf compare``: words of the command line without ``=`` are ``runs``."""

    runs: list[str] = setting([], "folders of runs, or of sweeps; as in sedtf compare RUN...")
    metric: str = setting("frame", "what is compared first", choices=METRICS)
    baseline: str | None = setting(
        None,
        "the configuration that others are compared with, such as free_running, "
        "'sampler=free_running model.rnn_hidden=32', or a run folder",
    )
    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE)

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults of a comparison of nothing too."""
        faults = Faults(super().faults(named))
        faults.require(
            bool(self.runs), "no run is named: sedtf compare RUN..., or the folder of a sweep"
        )
        return faults


@dataclass
class ReportConfig(VerbConfig):
    """``sedtf report``: the word of the command line without ``=`` is ``run``."""

    run: str = setting(MISSING, "folder of a run of train or eval; as in sedtf report RUN")
    files: int | None = setting(
        50, "recordings to look at and listen to, worst first; null: all", at_least=0
    )
    longest_s: float | None = setting(
        30.0,
        "shown of a recording at most, the part with most errors; null: all",
        unit="s",
        above=0,
    )
    device: str = setting("auto", _DEVICE, choices=DEVICES, role=Role.PLACE)
    threads: int | None = setting(None, _THREADS, at_least=1, at_most=MOST_THREADS, role=Role.PLACE)
    output_dir: str = setting(MISSING, "the run folder, exactly", role=Role.PLACE)
