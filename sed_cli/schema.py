"""The typed configuration, and the checks that cross its groups.

Every YAML file in ``conf/`` is held against one of these dataclasses, so a wrong type or an unknown
key is found before any work starts. What types cannot say is said by the ``check_*`` functions:
they return *all* faults they find, each one line that says what to do.

Keys equal argument names. Lengths are in samples or frames where the name says nothing, in seconds
with the suffix ``_s``, in hertz for rates and frequencies, in decibels with ``_db``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.util import find_spec
from typing import Any, TypeVar, cast, get_type_hints

MISSING: Any = "???"  # OmegaConf's mark for a value that the user must give
# What a table of annotations may hold; data.columns says how a table calls them.
COLUMNS = ("filename", "onset", "offset", "duration", "event_label", "soft_label")

T = TypeVar("T")


# --------------------------------------------------------------------------------- groups


@dataclass
class FeatureConfig:
    """Waveform to (log-)mel spectrogram; lengths in samples."""

    backend: str = "torchaudio"
    sample_rate: int = 16000
    window_length: int = 1024
    hop_length: int = 512
    n_fft: int = 2048
    n_mels: int = 40
    f_min: float = 0.0
    f_max: float | None = None
    is_log: bool = True

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate


@dataclass
class ModelConfig:
    """The CRNN: convolutions, pooling over frequency, recurrence with or without feedback."""

    conv_channels: int = 32
    kernel_size: int = 5
    pooling: list[int] = field(default_factory=lambda: [5, 4, 2])
    rnn_hidden: int = 64
    dropout: float = 0.25
    feedback: bool = True


@dataclass
class LanguageConfig:
    """The model of ``task=sequence``: embedding of the previous token, recurrence, softmax."""

    embedding_size: int = 64
    rnn_hidden: int = 128
    dropout: float = 0.0


@dataclass
class SamplerConfig:
    """What all samplers share: bounds, what an iteration is, what a coin decides, what is fed."""

    schedule: str = MISSING
    p_min: float = 0.0
    p_max: float = 1.0
    unit: str = "update"
    coin: str = "step"
    feedback: str = "hard"


@dataclass
class ScheduledConfig(SamplerConfig):
    """Drossos et al. 2019: a decaying sigmoid in epochs."""

    schedule: str = "scheduled"
    gamma: float = 0.3
    p_min: float = 0.05
    p_max: float = 0.9
    batches_per_epoch: int | None = None


@dataclass
class LinearConfig(SamplerConfig):
    """Bengio et al. 2015: k - c i."""

    schedule: str = "linear"
    k: float = 1.0
    c: float = 0.001


@dataclass
class ExponentialConfig(SamplerConfig):
    """Bengio et al. 2015: k ** i."""

    schedule: str = "exponential"
    k: float = 0.999


@dataclass
class InverseSigmoidConfig(SamplerConfig):
    """Bengio et al. 2015: k / (k + exp(i / k))."""

    schedule: str = "inverse_sigmoid"
    k: float = 100.0


@dataclass
class ConstantConfig(SamplerConfig):
    """Teacher forcing (p = 1), free running (p = 0), or anything between."""

    schedule: str = "constant"
    p: float = 1.0


@dataclass
class AnyDataConfig:
    """The data of any task."""

    kind: str = MISSING


@dataclass
class DataConfig(AnyDataConfig):
    """What all sets of recordings share."""

    sequence_length: int = 313
    cache_dir: str | None = None
    cache_limit_gb: float | None = None


@dataclass
class SoundscapesConfig(DataConfig):
    """Generated soundscapes: recordings a split, and how they are made."""

    kind: str = "soundscapes"
    n_train: int = 200
    n_validation: int = 40
    n_test: int = 60
    duration_s: float = 10.0
    sample_rate: int = 16000
    classes: list[str] | None = None
    polyphony: int = 2
    snr_db: list[float] = field(default_factory=lambda: [-3.0, 15.0])
    syntax_strength: float = 0.85
    transition: Any = None
    gap_s: list[float] = field(default_factory=lambda: [0.2, 1.0])
    event_duration_s: list[float] | None = None
    empty_fraction: float = 0.04
    noise_slope: list[float] = field(default_factory=lambda: [0.0, 2.0])
    seed: int = 0
    bank: str | None = None
    bank_pause_s: float = 0.5
    bank_splits: str | None = None
    split: list[float] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    split_seed: int = 0
    group: str | None = None
    strict: bool = True


@dataclass
class SplitConfig:
    """One split of an annotated set: all paths are relative to ``data.root``."""

    annotations: str = MISSING
    audio: str = "audio"
    files: str | None = None


@dataclass
class RecordedConfig(DataConfig):
    """What sets of recordings on disk share."""

    root: str = MISSING
    classes: list[str] | None = None
    fold: int | None = None
    split_seed: int = 0
    soft_threshold: float = 0.5
    strict: bool = True
    leak_check: str = "all"


@dataclass
class AnnotatedConfig(RecordedConfig):
    """Real recordings with annotations."""

    kind: str = "annotated"
    train: SplitConfig | None = field(default_factory=lambda: SplitConfig("train.tsv"))
    validation: SplitConfig | None = field(default_factory=lambda: SplitConfig("validation.tsv"))
    test: SplitConfig | None = field(default_factory=lambda: SplitConfig("test.tsv"))
    annotations: str | None = None
    audio: str = "."
    split: list[float] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    group: str | None = None
    folds: int | None = None
    whole_clips: bool = False
    columns: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(COLUMNS))
    event_duration_s: float | None = None


@dataclass
class PublishedConfig(RecordedConfig):
    """A published set as it unzips, with its splits and folds."""

    kind: str = "published"
    name: str = MISSING
    validation_share: float = 0.2


@dataclass
class TokenSetConfig(AnyDataConfig):
    """What the data of ``task=sequence`` share: sequences of symbols, and which are known.

    They are no :class:`DataConfig`: they have neither frames nor features to cache.
    """

    split: list[float] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    split_seed: int = 0
    max_vocabulary: int | None = None
    min_count: int = 1


@dataclass
class TokensConfig(TokenSetConfig):
    """Lines of a text or symbol file, or sentences of a generated grammar."""

    kind: str = "tokens"
    path: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    unit: str = "word"
    longest_sequence: int | None = 1000
    n_train: int = 3000
    n_validation: int = 500
    n_test: int = 1000
    relative_clauses: float = 0.5
    depth: int = 2
    seed: int = 0


@dataclass
class PairsConfig(TokenSetConfig):
    """Sources with their targets, from a table or made by a rule."""

    kind: str = "pairs"
    path: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    source_column: str = "source"
    target_column: str = "target"
    source_unit: str | None = None
    unit: str | None = None
    generate: str = "reverse"
    n_train: int = 3000
    n_validation: int = 500
    n_test: int = 1000
    longest: int = 8
    seed: int = 0


@dataclass
class LabelsConfig(TokenSetConfig):
    """Labels of the events of annotated recordings, in the order of their onsets."""

    kind: str = "labels"
    annotations: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    gap: float | None = None
    longest_sequence: int | None = 1000
    group: str | None = None
    columns: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(COLUMNS))
    event_duration_s: float | None = None
    soft_threshold: float = 0.5
    strict: bool = True


@dataclass
class AugmentConfig:
    """What is done to training sequences, anew in each epoch; lengths in frames and bands."""

    roll: float = 0.0
    mixup: float = 0.0
    mixup_alpha: float = 10.0
    noise: float = 0.0
    noise_snr_db: list[float] = field(default_factory=lambda: [6.0, 30.0])
    noise_slope: list[float] = field(default_factory=lambda: [0.0, 2.0])
    gain_db: list[float] = field(default_factory=lambda: [0.0, 0.0])
    filter_db: float = 0.0
    time_masks: int = 0
    time_mask_frames: int = 16
    time_mask_share: float = 0.2
    frequency_masks: int = 0
    frequency_mask_bands: int = 6


@dataclass
class TrainerConfig:
    """The optimisation: Adam on binary cross-entropy, early stopping on validation."""

    epochs: int = 25
    batch_size: int = 8
    lr: float = 2e-3
    patience: int = 10
    monitor: str = "validation_f1"
    grad_norm: float | None = 1.0
    precision: str = "float32"
    threads: int | None = None
    max_updates: int | None = None
    devices: int | None = None


@dataclass
class EvaluationConfig:
    """From probabilities to events, and what is reported of them."""

    metric: str | None = "frame"
    tune: bool = True
    min_gap_s: float | None = 0.0
    min_duration_s: float | None = 0.0
    bootstrap: int = 1000
    bootstrap_seed: int = 0
    psds: bool = False


@dataclass
class SequenceEvaluationConfig:
    """What is reported of a model of sequences beside its own figures."""

    ngrams: list[int] = field(default_factory=lambda: [1, 2, 3])
    beam_width: int = 5


@dataclass
class DecodingConfig:
    """How a model of sequences goes on after a prefix."""

    method: str = "greedy"
    temperature: float = 1.0
    beam_width: int = 5
    n_best: int = 1
    max_length: int = 100
    seed: int = 0


# ----------------------------------------------------------------------------------- roots


@dataclass
class AnyTrainConfig:
    """``sedtf train`` of any task."""

    task: str = MISSING
    seed: int = 0
    device: str = "auto"
    output_dir: str = MISSING
    resume: str | None = None
    resume_sweep: str | None = None
    sampler: SamplerConfig = MISSING
    data: AnyDataConfig = MISSING
    trainer: TrainerConfig = MISSING


@dataclass
class TrainConfig(AnyTrainConfig):
    """``sedtf train``: a detector."""

    task: str = "sed"
    feature: FeatureConfig = MISSING
    model: ModelConfig = MISSING
    data: DataConfig = MISSING
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    evaluation: EvaluationConfig = MISSING


@dataclass
class SequenceTrainConfig(AnyTrainConfig):
    """``sedtf train task=sequence``: a model of the next token."""

    task: str = "sequence"
    model: LanguageConfig = MISSING
    data: TokenSetConfig = MISSING
    evaluation: SequenceEvaluationConfig = MISSING


@dataclass
class EvalConfig:
    """``sedtf eval``; data and post-processing are those of the checkpoint unless others are named.

    With ``evaluation.metric`` the thresholds are tuned anew, on the validation split of the run.
    """

    checkpoint: str = MISSING
    split: str = "test"
    device: str = "auto"
    output_dir: str = MISSING
    threads: int | None = None
    data: AnyDataConfig | None = None
    evaluation: EvaluationConfig = MISSING


@dataclass
class ExportConfig:
    """``sedtf export``; the licences are copied to the model card."""

    checkpoint: str = MISSING
    output_dir: str = MISSING
    waveform: bool = True
    tolerance: float = 1e-5
    licence: str | None = None
    data_licence: str | None = None


@dataclass
class SimulateConfig:
    """``sedtf simulate``: ``samplers`` lays named variations of ``sampler`` over one another."""

    seed: int = 0
    output_dir: str = MISSING
    sampler: SamplerConfig = MISSING
    samplers: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_batches: int = 50
    batch_size: int = 8
    n_steps: int = 107
    n_classes: int = 6
    animate: bool = True


@dataclass
class SynthConfig:
    """``sedtf synth``: soundscapes of ``data``, or of the recipe of a set that was written."""

    output_dir: str = MISSING
    recipe: str | None = None
    format: str = "desed"
    workers: int | None = None
    figure: bool = True
    data: DataConfig = MISSING


@dataclass
class DataVerbConfig:
    """``sedtf data``."""

    output_dir: str = MISSING
    sequence_gap_s: float | None = None
    n_faults: int = 20
    near_copies: bool = False
    data: DataConfig = MISSING


@dataclass
class StatusConfig:
    """How far runs are."""

    dir: str = MISSING
    watch: float | None = None


@dataclass
class CacheConfig:
    """``sedtf cache``."""

    clear: str | None = None
    older_than_days: float | None = None
    cache_dir: str | None = None


@dataclass
class PredictConfig:
    """``sedtf predict``: ``input`` is a file, a folder, or - for standard input.

    ``decoding`` is for a model of sequences; what stands before it for a detector.
    """

    checkpoint: str = MISSING
    input: str = MISSING
    format: str = "desed"
    channels: str = "mix"
    probabilities: bool = False
    timeline: bool = False
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    output_dir: str | None = None
    device: str = "auto"
    threads: int | None = 1


@dataclass
class ListenConfig:
    """``sedtf listen``: raw PCM on standard input; ``channels`` are interleaved in it."""

    checkpoint: str = MISSING
    sample_rate: int | None = None
    dtype: str = "s16"
    channels: int = 1
    device: str = "cpu"
    threads: int | None = 1


@dataclass
class CompareConfig:
    """``sedtf compare``: words of the command line without ``=`` are ``runs``."""

    runs: list[str] = field(default_factory=list)
    metric: str = "frame"
    baseline: str | None = None
    output_dir: str = MISSING


@dataclass
class ReportConfig:
    """``sedtf report``: the word of the command line without ``=`` is ``run``."""

    run: str = MISSING
    files: int | None = 50
    longest_s: float | None = 30.0
    device: str = "auto"
    threads: int | None = None
    output_dir: str = MISSING


SAMPLERS: dict[str, type[SamplerConfig]] = {
    "scheduled": ScheduledConfig,
    "linear": LinearConfig,
    "exponential": ExponentialConfig,
    "inverse_sigmoid": InverseSigmoidConfig,
    "constant": ConstantConfig,
}
DATA_SETS: dict[str, type[DataConfig]] = {
    "soundscapes": SoundscapesConfig,
    "annotated": AnnotatedConfig,
    "published": PublishedConfig,
}
TOKEN_SETS: dict[str, type[TokenSetConfig]] = {
    "tokens": TokensConfig,
    "pairs": PairsConfig,
    "labels": LabelsConfig,
}
ROOTS: dict[str, type] = {
    "train": TrainConfig,
    "train_sequence": SequenceTrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "listen": ListenConfig,
    "export": ExportConfig,
    "simulate": SimulateConfig,
    "synth": SynthConfig,
    "data": DataVerbConfig,
    "cache": CacheConfig,
    "status": StatusConfig,
    "compare": CompareConfig,
    "report": ReportConfig,
}
GROUPS: dict[str, dict[str, type]] = {
    "feature": {"base": FeatureConfig},
    "model": {"base": ModelConfig, "language": LanguageConfig},
    "sampler": dict(SAMPLERS),
    "data": {**DATA_SETS, **TOKEN_SETS},
    "augment": {"base": AugmentConfig},
    "trainer": {"base": TrainerConfig},
    "evaluation": {"base": EvaluationConfig, "sequence": SequenceEvaluationConfig},
}

MONITORS = ("validation_f1", "validation_loss")
MONITORS_OF_SEQUENCES = (*MONITORS, "validation_perplexity")
SPLITS = ("train", "validation", "test")
EVENT_FORMATS = ("desed", "audacity", "raven", "jams", "rttm", "csv", "tut", "jsonl")
PCM_DTYPES = ("s16", "s32", "f32")
TOKEN_UNITS = ("word", "char")
PAIR_TASKS = ("reverse", "digits")
METRICS = ("frame", "segment", "segment_100ms", "event", "event_onset")

_PATHS: dict[type[AnyDataConfig], tuple[str, ...]] = {
    SoundscapesConfig: ("bank", "bank_splits", "transition"),
    RecordedConfig: ("root",),
    TokensConfig: ("path", "validation_path", "test_path"),
    PairsConfig: ("path", "validation_path", "test_path"),
    LabelsConfig: ("annotations", "train", "validation", "test"),
}


def paths_of(data: AnyDataConfig) -> tuple[str, ...]:
    """Return the keys of data whose values, if texts, are paths from the working folder."""
    return tuple(key for kind, keys in _PATHS.items() if isinstance(data, kind) for key in keys)


PUBLISHED = {
    "tut2016_home": 4,
    "tut2016_residential": 4,
    "tut2017": 4,
    "tut_synthetic_2016": 0,
    "urban_sed": 0,
    "desed_strong": 0,
    "maestro_real": 5,
}
"""Published sets, and how many folds each was published with."""
# What can be synthesised; data.soundscapes.voices says how each one sounds.
EVENT_CLASSES = (
    *("bell", "call", "clicks", "falling_chirp", "hiss", "knock", "rattle"),
    *("rising_chirp", "siren", "warble"),
)

# ----------------------------------------------------------------- from plain mappings


def build(schema: type[T], values: Mapping[str, Any]) -> T:
    """Turn a plain mapping into its dataclass, with the same type checks as the command line.

    Raises:
        omegaconf.errors.OmegaConfBaseException: for an unknown key or a wrong type.
    """
    from omegaconf import OmegaConf

    return cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), dict(values))))


def build_any_train_config(values: Mapping[str, Any]) -> TrainConfig | SequenceTrainConfig:
    """Turn what a checkpoint's ``config.yaml`` holds into a typed configuration."""
    if dict(values).get("task") == "sequence":
        return _build_typed(SequenceTrainConfig, values, TOKEN_SETS)
    return build_train_config(values)


def build_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """Turn what a detector's ``config.yaml`` holds into a typed configuration."""
    return _build_typed(TrainConfig, values, DATA_SETS)


def _build_typed(root: type[T], values: Mapping[str, Any], data_sets: Mapping[str, type]) -> T:
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(root)
    for group, kinds, key in (("sampler", SAMPLERS, "schedule"), ("data", data_sets, "kind")):
        schema[group] = OmegaConf.structured(kinds[values[group][key]])
    for name, kind in get_type_hints(root).items():
        if OmegaConf.is_missing(schema, name) and is_dataclass(kind):
            schema[name] = OmegaConf.structured(kind)
    return cast(T, OmegaConf.to_object(OmegaConf.merge(schema, dict(values))))


def vary_sampler(base: SamplerConfig, changes: Mapping[str, Any]) -> SamplerConfig:
    """Apply ``changes`` to a sampler.

    One of another schedule keeps what the coins count and decide; its curve starts from its
    schedule's defaults.
    """
    schedule = changes.get("schedule", base.schedule)
    if schedule not in SAMPLERS:
        raise ValueError(f"schedule={schedule!r}: expected one of {', '.join(SAMPLERS)}")
    start = asdict(base)
    if schedule != base.schedule:
        start = {key: start[key] for key in ("unit", "coin", "feedback")}
    return build(SAMPLERS[schedule], {**start, **changes})


# ----------------------------------------------------------------------------------- checks


class _Faults(list[str]):
    def require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.append(fault)

    def at_least(self, group: str, config: Any, low: float, *keys: str) -> None:
        for key in keys:
            value = getattr(config, key)
            if value is not None and not (value >= low and math.isfinite(value)):
                self.append(f"{group}{key}={value}: expected at least {low}")

    def above_zero(self, group: str, config: Any, *keys: str) -> None:
        for key in keys:
            value = getattr(config, key)
            if value is not None and not (value > 0 and math.isfinite(value)):
                self.append(f"{group}{key}={value}: expected a number above 0")

    def ranges(self, group: str, config: Any, *keys: str) -> None:
        for key in keys:
            pair = getattr(config, key)
            if not (len(pair) == 2 and -math.inf < pair[0] <= pair[1] < math.inf):
                self.append(f"{group}{key}={pair}: expected [lowest, highest]")

    def shares(self, group: str, config: Any, *keys: str) -> None:
        for key in keys:
            if not 0 <= getattr(config, key) <= 1:
                self.append(f"{group}{key}={getattr(config, key)}: expected a number from 0 to 1")

    def one_of(self, group: str, config: Any, key: str, choices: Iterable[str]) -> None:
        value, choices = getattr(config, key), list(choices)
        if value not in choices:
            self.append(f"{group}{key}={value}: expected one of {', '.join(choices)}")


def check_feature(feature: FeatureConfig) -> list[str]:
    """Faults within the feature group."""
    faults = _Faults()
    faults.one_of("feature.", feature, "backend", ("torchlibrosa", "torchaudio"))
    lengths = ("sample_rate", "window_length", "hop_length", "n_fft", "n_mels")
    faults.at_least("feature.", feature, 1, *lengths)
    faults.require(
        feature.window_length <= feature.n_fft,
        f"feature.window_length={feature.window_length} exceeds feature.n_fft={feature.n_fft}: "
        f"the window must fit into the transform; raise n_fft or shorten the window",
    )
    faults.require(
        feature.n_fft % 2 == 0,
        f"feature.n_fft={feature.n_fft}: expected an even number; with an odd one the mel bands of "
        f"torchaudio and torchlibrosa differ",
    )
    faults.require(
        feature.hop_length <= feature.window_length,
        f"feature.hop_length={feature.hop_length} exceeds feature.window_length="
        f"{feature.window_length}: samples between the windows would be lost; shorten the hop",
    )
    top = feature.sample_rate / 2 if feature.f_max is None else feature.f_max
    faults.require(
        0 <= feature.f_min < top <= feature.sample_rate / 2,
        f"feature.f_min={feature.f_min} and f_max={top}: expected 0 <= f_min < f_max <= "
        f"sample_rate / 2 = {feature.sample_rate / 2:g} Hz",
    )
    return faults


def check_model(model: ModelConfig, n_mels: int) -> list[str]:
    """Faults of the model, alone and against the number of mel bands."""
    faults = _Faults()
    faults.at_least("model.", model, 1, "conv_channels", "kernel_size", "rnn_hidden")
    faults.require(
        model.kernel_size % 2 == 1,
        f"model.kernel_size={model.kernel_size}: expected an odd number, so that frames stay put",
    )
    faults += _check_dropout(model)
    faults.require(
        bool(model.pooling) and all(p >= 1 for p in model.pooling),
        f"model.pooling={model.pooling}: expected a list of factors of at least 1, one a block",
    )
    product = max(1, math.prod(model.pooling))
    fitting = max(1, n_mels // product) * product
    faults.require(
        n_mels % product == 0,
        f"feature.n_mels={n_mels} is no multiple of {product}, the product of model.pooling="
        f"{model.pooling}: bands would be dropped; set feature.n_mels={fitting} "
        f"or a fitting model.pooling",
    )
    return faults


def _check_dropout(model: ModelConfig | LanguageConfig) -> list[str]:
    if 0.0 <= model.dropout < 1.0:
        return []
    return [f"model.dropout={model.dropout}: expected 0 <= dropout < 1"]


def check_sampler(sampler: SamplerConfig, prefix: str = "sampler.") -> list[str]:
    """Faults within the sampler group."""
    faults = _Faults()
    faults.one_of(prefix, sampler, "unit", ("update", "time_step"))
    faults.one_of(prefix, sampler, "coin", ("step", "sequence", "class"))
    faults.one_of(prefix, sampler, "feedback", ("hard", "sampled", "soft"))
    faults.require(
        0.0 <= sampler.p_min <= sampler.p_max <= 1.0,
        f"{prefix}p_min={sampler.p_min} and p_max={sampler.p_max}: "
        f"expected 0 <= p_min <= p_max <= 1",
    )
    if isinstance(sampler, ScheduledConfig):
        faults.above_zero(prefix, sampler, "gamma", "batches_per_epoch")
    elif isinstance(sampler, LinearConfig):
        faults.above_zero(prefix, sampler, "c")
    elif isinstance(sampler, ExponentialConfig):
        faults.require(0 < sampler.k < 1, f"{prefix}k={sampler.k}: expected 0 < k < 1")
    elif isinstance(sampler, InverseSigmoidConfig):
        faults.at_least(prefix, sampler, 1, "k")
    elif isinstance(sampler, ConstantConfig):
        faults.require(0 <= sampler.p <= 1, f"{prefix}p={sampler.p}: expected a probability")
    return faults


def check_data(data: DataConfig) -> list[str]:
    """Faults within the data group."""
    faults = _Faults()
    faults.at_least("data.", data, 1, "sequence_length")
    faults.at_least("data.", data, 0, "cache_limit_gb")
    if isinstance(data, SoundscapesConfig):
        faults += check_soundscapes(data, "data.", fewest=1)
    if isinstance(data, RecordedConfig):
        faults.require(data.root != MISSING, "data.root is not set: name the folder of the set")
        faults.require(
            data.classes is None or (len(data.classes) == len(set(data.classes)) > 0),
            f"data.classes={data.classes}: expected distinct labels, or null",
        )
        faults.require(
            0 <= data.soft_threshold < 1,
            f"data.soft_threshold={data.soft_threshold}: expected at least 0 and less than 1",
        )
        faults.one_of("data.", data, "leak_check", ("all", "copies", "none"))
    if isinstance(data, AnnotatedConfig):
        faults += _check_annotations(data)
        faults += _check_division(data)
    if isinstance(data, PublishedConfig):
        faults.at_least("data.", data, 0, "split_seed")
        faults.one_of("data.", data, "name", PUBLISHED)
        folds = PUBLISHED.get(data.name, 0)
        faults.require(
            data.fold is None or 1 <= data.fold <= folds,
            f"data.fold={data.fold}: {data.name} has {f'folds 1 to {folds}' if folds else 'none'}; "
            f"expected one of them, or null",
        )
        faults.require(
            0 <= data.validation_share < 1,
            f"data.validation_share={data.validation_share}: expected at least 0 and less than 1",
        )
    return faults


def _check_shares(data: AnnotatedConfig | SoundscapesConfig) -> list[str]:
    """Faults of how what has no splits is divided."""
    return [*_check_split(data), *_check_group(data)]


def _check_split(data: AnnotatedConfig | SoundscapesConfig | TokenSetConfig) -> list[str]:
    faults = _Faults()
    faults.require(
        len(data.split) == len(SPLITS)
        and min(data.split) >= 0
        and 0 < data.split[0] <= 1.0
        # Written so that not-a-number counts as a fault.
        and sum(data.split) <= 1 + 1e-6,
        f"data.split={data.split}: expected the shares of training, validation and test, such as "
        f"[0.7,0.15,0.15], in all at most 1",
    )
    faults.at_least("data.", data, 0, "split_seed")
    return faults


def _check_group(data: AnnotatedConfig | SoundscapesConfig | LabelsConfig) -> list[str]:
    try:
        re.compile(data.group or "")
    except re.error as error:
        return [f"data.group={data.group}: no regular expression ({error})"]
    return []


def _check_division(data: AnnotatedConfig) -> list[str]:
    """Faults of how a set without splits is divided."""
    faults = _Faults(_check_shares(data))
    faults.at_least("data.", data, 2, "folds")
    faults.require(
        (data.folds is None) == (data.fold is None),
        f"data.folds={data.folds} and data.fold={data.fold}: set both, such as data.folds=5 "
        f"data.fold=1 (all of them: -m data.fold=1,2,3,4,5)",
    )
    if data.folds is not None and data.fold is not None:
        faults.require(
            1 <= data.fold <= data.folds,
            f"data.fold={data.fold}: expected a number from 1 to data.folds={data.folds}",
        )
    lists = [name for name in SPLITS if getattr(data, name) and getattr(data, name).files]
    faults.require(
        not lists or data.annotations is not None,
        f"data.{lists[0] if lists else ''}.files lists recordings of a set without splits: "
        f"name its annotations with data.annotations",
    )
    faults.require(
        not (lists and data.folds),
        f"data.folds={data.folds}, but data.{lists[0] if lists else ''}.files lists the "
        f"recordings of a split: drop one of the two",
    )
    return faults


def check_soundscapes(values: Any, prefix: str, *, fewest: int = 0) -> list[str]:
    """Faults of what soundscapes are made of: the one place that knows these ranges.

    Args:
        values: a :class:`SoundscapesConfig`, or the settings of a set, which have its keys but
            those that say where a bank comes from.
        prefix: of the keys in the messages.
        fewest: recordings that each split needs.
    """
    faults = _Faults()
    faults.at_least(prefix, values, fewest, "n_train", "n_validation", "n_test")
    faults.at_least(prefix, values, 1, "duration_s", "polyphony")
    faults.at_least(prefix, values, 8000, "sample_rate")
    faults.at_least(prefix, values, 0, "seed", "bank_pause_s")
    for key in ("syntax_strength", "empty_fraction"):
        value = getattr(values, key)
        faults.require(0 <= value <= 1, f"{prefix}{key}={value}: expected a number from 0 to 1")
    for key, (low, high) in _RANGES.items():
        pair = getattr(values, key)
        faults.require(
            pair is None or (len(pair) == 2 and low <= pair[0] <= pair[1] <= high),
            f"{prefix}{key}={None if pair is None else list(pair)}: expected two numbers, "
            f"the lower one first, from {low:g} to {high:g}",
        )
    faults += _check_classes(values, prefix)
    if isinstance(values, SoundscapesConfig):
        faults += _check_bank(values)
    return faults


_RANGES = {
    "snr_db": (-60.0, 60.0),
    "gap_s": (0.0, 60.0),
    "noise_slope": (0.0, 4.0),
    "event_duration_s": (0.05, 3600.0),
}


def _check_classes(values: Any, prefix: str) -> list[str]:
    faults = _Faults()
    classes = values.classes
    if classes is None:
        return faults
    named = f"{prefix}classes={list(classes)}"
    faults.require(len(classes) > 0, f"{named}: expected at least one class")
    faults.require(len(set(classes)) == len(classes), f"{named} repeats a class: name each once")
    if values.bank is None and (unknown := sorted(set(classes) - set(EVENT_CLASSES))):
        faults.append(
            f"{named}: {', '.join(unknown)} cannot be synthesised: choose from "
            f"{', '.join(EVENT_CLASSES)}, or name a bank with data.bank"
        )
    return faults


def _check_bank(data: SoundscapesConfig) -> list[str]:
    faults = _Faults(_check_shares(data))
    for key in ("bank_splits", "group"):
        faults.require(
            data.bank is not None or getattr(data, key) is None,
            f"data.{key} is set, but there is no bank: name its folder with data.bank",
        )
    return faults


def _check_annotations(data: AnnotatedConfig | LabelsConfig) -> list[str]:
    faults = _Faults()
    unknown = [ours for ours in data.columns if ours not in COLUMNS]
    faults.require(
        not unknown,
        f"data.columns.{' and '.join(unknown)}: expected {', '.join(COLUMNS)}, each with the "
        f"name of its column in the tables, such as data.columns.event_label=species",
    )
    faults.above_zero("data.", data, "event_duration_s")
    return faults


def check_tokens(data: TokenSetConfig) -> list[str]:
    """Faults within the data group of ``task=sequence``."""
    faults = _Faults(_check_split(data))
    faults.at_least("data.", data, 1, "max_vocabulary", "min_count")
    if isinstance(data, TokensConfig | LabelsConfig):
        faults.at_least("data.", data, 1, "longest_sequence")
    if isinstance(data, TokensConfig):
        faults.one_of("data.", data, "unit", TOKEN_UNITS)
        faults.shares("data.", data, "relative_clauses")
        faults.at_least("data.", data, 0, "depth")
        faults += _check_generated(data, "a generated grammar")
    if isinstance(data, PairsConfig):
        for key in ("unit", "source_unit"):
            if getattr(data, key) is not None:
                faults.one_of("data.", data, key, TOKEN_UNITS)
        faults.one_of("data.", data, "generate", PAIR_TASKS)
        faults.at_least("data.", data, 1, "longest")
        faults.require(
            data.generate != "digits" or data.longest <= 18,
            f"data.longest={data.longest}, but numbers have names up to 18 digits: lower it",
        )
        faults.require(
            data.source_column != data.target_column,
            f"data.source_column={data.source_column} is data.target_column too: name two columns",
        )
        faults += _check_generated(data, "generated pairs")
    if isinstance(data, LabelsConfig):
        faults += _check_labels(data)
    return faults


def _check_generated(data: TokensConfig | PairsConfig, what: str) -> list[str]:
    """Faults of the files, or of the sizes of what is generated where there are none."""
    faults = _Faults()
    faults.at_least("data.", data, 1, "n_train")
    faults.at_least("data.", data, 0, "n_validation", "n_test", "seed")
    for key in ("validation_path", "test_path"):
        faults.require(
            data.path is not None or getattr(data, key) is None,
            f"data.{key} is set, but data.path=null asks for {what}: name the training file "
            f"with data.path",
        )
    return faults


def _check_labels(data: LabelsConfig) -> list[str]:
    faults = _Faults([*_check_annotations(data), *_check_group(data)])
    faults.at_least("data.", data, 0, "gap")
    faults.require(
        0 <= data.soft_threshold < 1,
        f"data.soft_threshold={data.soft_threshold}: expected at least 0 and less than 1",
    )
    own = [f"data.{name}" for name in SPLITS if getattr(data, name) is not None]
    faults.require(
        data.annotations is not None or data.train is not None,
        "data.annotations is not set: name a file or folder of annotations, which data.split "
        "divides, or data.train, data.validation and data.test of a set with splits",
    )
    faults.require(
        data.annotations is None or not own,
        f"data.annotations and {' and '.join(own)} are set: name the whole set, or its splits",
    )
    return faults


def check_augment(augment: AugmentConfig, n_mels: int) -> list[str]:
    """Faults of the augmentation, alone and against the number of mel bands."""
    faults = _Faults()
    faults.shares("augment.", augment, "roll", "mixup", "noise", "time_mask_share")
    faults.above_zero("augment.", augment, "mixup_alpha")
    faults.ranges("augment.", augment, "noise_snr_db", "noise_slope", "gain_db")
    faults.at_least("augment.", augment, 0, "filter_db", "time_masks", "frequency_masks")
    faults.at_least("augment.", augment, 1, "time_mask_frames", "frequency_mask_bands")
    faults.require(
        not augment.frequency_masks or augment.frequency_mask_bands < n_mels,
        f"augment.frequency_mask_bands={augment.frequency_mask_bands}, but there are "
        f"feature.n_mels={n_mels} bands: expected fewer, or nothing would be heard",
    )
    return faults


def check_trainer(trainer: TrainerConfig, monitors: Iterable[str] = MONITORS) -> list[str]:
    """Faults within the trainer group; ``monitors`` may choose the best epoch."""
    faults = _Faults()
    counts = ("epochs", "batch_size", "patience", "threads", "max_updates", "devices")
    faults.at_least("trainer.", trainer, 1, *counts)
    faults.require(
        (trainer.devices or 1) <= trainer.batch_size,
        f"trainer.devices={trainer.devices}, but a batch of trainer.batch_size="
        f"{trainer.batch_size} sequences, which they share, gives some of them nothing to do: "
        f"lower the first or raise the second",
    )
    faults.above_zero("trainer.", trainer, "lr", "grad_norm")
    faults.one_of("trainer.", trainer, "monitor", tuple(monitors))
    faults.one_of("trainer.", trainer, "precision", ("float32", "bf16"))
    return faults


def check_evaluation(evaluation: EvaluationConfig) -> list[str]:
    """Faults within the evaluation group."""
    faults = _Faults()
    if evaluation.metric is not None:
        faults.one_of("evaluation.", evaluation, "metric", METRICS)
    faults.at_least("evaluation.", evaluation, 0, "min_gap_s", "min_duration_s")
    faults.at_least("evaluation.", evaluation, 0, "bootstrap", "bootstrap_seed")
    if evaluation.psds and find_spec("sed_scores_eval") is None:
        faults.append(
            "evaluation.psds=true needs sed-scores-eval-np2: pip install 'sedtf[psds]' "
            "(it is compiled on installation, which takes a C compiler)"
        )
    return faults


def _check_root(config: Any) -> list[str]:
    faults = _Faults()
    if hasattr(config, "device"):
        faults.one_of("", config, "device", ("auto", "cpu", "cuda"))
    if hasattr(config, "seed"):
        faults.require(
            0 <= config.seed < 2**32, f"seed={config.seed}: expected a number from 0 to 2**32 - 1"
        )
    return faults


def check_train(
    config: TrainConfig | SequenceTrainConfig, named: frozenset[str] = frozenset()
) -> list[str]:
    """All faults of a training configuration; ``named`` holds the keys that the user gave."""
    if isinstance(config, SequenceTrainConfig):
        return _check_sequence_train(config)
    return _check_detector_train(config, named)


def _check_sequence_train(config: SequenceTrainConfig) -> list[str]:
    """Faults of the training of a model of sequences."""
    faults = _Faults(_check_root(config))
    faults.one_of("", config, "task", ("sequence",))
    faults.at_least("model.", config.model, 1, "embedding_size", "rnn_hidden")
    faults += _check_dropout(config.model)
    faults += check_sampler(config.sampler)
    faults.require(
        config.sampler.coin != "class",
        "sampler.coin=class tosses a coin for each class, but of tokens there is one a step: "
        "expected step or sequence",
    )
    faults += check_tokens(config.data)
    faults += check_trainer(config.trainer, MONITORS_OF_SEQUENCES)
    faults.require(
        config.trainer.precision == "float32",
        f"trainer.precision={config.trainer.precision}: task=sequence has no convolutions that "
        f"would gain by it; expected float32",
    )
    faults.at_least("evaluation.", config.evaluation, 1, "beam_width")
    orders = config.evaluation.ngrams
    faults.require(
        len(set(orders)) == len(orders) and all(1 <= order <= 3 for order in orders),
        f"evaluation.ngrams={orders}: expected some of [1,2,3], or []",
    )
    return faults


def _check_detector_train(config: TrainConfig, named: frozenset[str]) -> list[str]:
    """Faults of the training of a detector."""
    faults = _Faults(_check_root(config))
    faults.one_of("", config, "task", ("sed",))
    faults += check_feature(config.feature)
    faults += check_model(config.model, config.feature.n_mels)
    faults += check_sampler(config.sampler)
    faults += check_data(config.data)
    faults += check_augment(config.augment, config.feature.n_mels)
    faults += check_trainer(config.trainer)
    faults += check_evaluation(config.evaluation)
    for key in ("metric", "min_gap_s", "min_duration_s"):
        faults.require(
            getattr(config.evaluation, key) is not None,
            f"evaluation.{key}=null: that stands for what a checkpoint holds, and there is none "
            f"yet; drop it, or give a value",
        )
    if isinstance(config.data, AnnotatedConfig) and config.data.train is None:
        faults.append("data.train=null: a model cannot be trained without that split")
    meaningless = sorted(key for key in named if key.split(".")[0] == "sampler")
    if not config.model.feedback and meaningless:
        faults.append(
            f"{', '.join(meaningless)} set, but this model feeds nothing back "
            f"(model.feedback=false), so no sampler acts: drop that, or choose model=crnn"
        )
    faults += _check_batch(config)
    return faults


def _check_batch(config: TrainConfig) -> list[str]:
    """Sequence length against batch size, where the size of the training split is known."""
    data, batch_size = config.data, config.trainer.batch_size
    if not isinstance(data, SoundscapesConfig) or data.sequence_length < 1:
        return []
    n_frames = 1 + int(data.duration_s * config.feature.sample_rate) // config.feature.hop_length
    n_sequences = data.n_train * -(-n_frames // data.sequence_length)
    faults = _Faults()
    faults.require(
        n_sequences >= batch_size,
        f"trainer.batch_size={batch_size}, but {data.n_train} recordings of {n_frames} frames give "
        f"{n_sequences} sequences of data.sequence_length={data.sequence_length}: fewer than one "
        f"batch; lower one of the two or raise data.n_train",
    )
    faults.require(
        data.sequence_length <= n_frames,
        f"data.sequence_length={data.sequence_length} frames, but a recording of "
        f"{data.duration_s:g} s has {n_frames}: the rest would be padding; "
        f"set data.sequence_length={n_frames} or less",
    )
    return faults


def check_eval(config: EvalConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of an evaluation configuration."""
    faults = _Faults(_check_root(config))
    faults.one_of("", config, "split", SPLITS)
    faults.at_least("", config, 1, "threads")
    faults += check_evaluation(config.evaluation)
    faults.require(
        config.evaluation.tune or config.evaluation.metric is None,
        f"evaluation.metric={config.evaluation.metric} asks for tuning and evaluation.tune=false "
        f"for none: drop one of the two",
    )
    if isinstance(config.data, DataConfig):
        faults += check_data(config.data)
    elif isinstance(config.data, TokenSetConfig):
        faults += check_tokens(config.data)
    return faults


def check_export(config: ExportConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of an export's configuration."""
    faults = _Faults(_check_root(config))
    faults.above_zero("", config, "tolerance")
    return faults


def check_synth(config: SynthConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a synthesis; ``named`` holds the keys that the user gave."""
    faults = _Faults()
    faults.at_least("", config, 1, "workers")
    if not isinstance(config.data, SoundscapesConfig):
        faults.append("data: soundscapes are what synth writes; choose data=soundscapes, or none")
        return faults
    if config.recipe is not None:
        # What a recipe does not fix: where its bank lies now.
        fixed = [k for k in sorted(named - {"data.bank"}) if k.split(".")[0] in ("format", "data")]
        faults.require(
            not fixed,
            f"{', '.join(fixed)} set, but recipe={config.recipe} fixes that: drop one of the two",
        )
        return faults
    faults += check_soundscapes(config.data, "data.")
    counts = [config.data.n_train, config.data.n_validation, config.data.n_test]
    faults.require(
        any(counts), "data.n_train, data.n_validation and data.n_test are all 0: nothing to write"
    )
    return faults


def check_simulate(config: SimulateConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a simulation configuration."""
    faults = _Faults(_check_root(config))
    faults.at_least("", config, 1, "n_batches", "batch_size", "n_steps", "n_classes")
    faults += check_sampler(config.sampler)
    for name, changes in config.samplers.items():
        try:
            faults += check_sampler(vary_sampler(config.sampler, changes), f"samplers.{name}.")
        except Exception as error:
            faults.append(f"samplers.{name}: {str(error).splitlines()[0]}")
    return faults


def check_data_verb(config: DataVerbConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a configuration of ``sedtf data``."""
    faults = _Faults()
    faults.at_least("", config, 0, "sequence_gap_s", "n_faults")
    return [*faults, *check_data(config.data)]


def check_cache(config: CacheConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of what the cache is asked for."""
    faults = _Faults()
    if config.clear is not None:
        faults.one_of("", config, "clear", ("features", "soundscapes", "all"))
    faults.at_least("", config, 0, "older_than_days")
    faults.require(
        config.clear is not None or config.older_than_days is None,
        f"older_than_days={config.older_than_days}, but nothing is cleared: add clear=all",
    )
    return faults


def check_status(config: StatusConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a question after a status."""
    faults = _Faults()
    faults.above_zero("", config, "watch")
    return faults


def check_predict(config: PredictConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a prediction's configuration."""
    faults = _Faults(_check_root(config))
    faults.one_of("", config, "format", EVENT_FORMATS)
    faults.one_of("", config, "channels", ("mix", "first", "each"))
    faults.at_least("", config, 1, "threads")
    faults += _check_decoding(config.decoding)
    return faults


def _check_decoding(decoding: DecodingConfig) -> list[str]:
    faults = _Faults()
    faults.one_of("decoding.", decoding, "method", ("greedy", "sample", "beam"))
    faults.above_zero("decoding.", decoding, "temperature")
    faults.at_least("decoding.", decoding, 1, "beam_width", "n_best", "max_length")
    faults.at_least("decoding.", decoding, 0, "seed")
    most = {"greedy": 1, "beam": decoding.beam_width}.get(decoding.method, decoding.n_best)
    faults.require(
        decoding.n_best <= most,
        f"decoding.n_best={decoding.n_best}, but decoding.method={decoding.method} finds {most}: "
        f"choose sample or beam, or raise decoding.beam_width",
    )
    return faults


def check_listen(config: ListenConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a listener's configuration."""
    faults = _Faults(_check_root(config))
    faults.at_least("", config, 1, "channels", "threads")
    faults.at_least("", config, 1000, "sample_rate")
    faults.one_of("", config, "dtype", PCM_DTYPES)
    return faults


def check_compare(config: CompareConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a comparison's configuration."""
    faults = _Faults()
    faults.require(
        bool(config.runs), "no run is named: sedtf compare RUN..., or the folder of a sweep"
    )
    faults.one_of("", config, "metric", METRICS)
    return faults


def check_report(config: ReportConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a report's configuration."""
    faults = _Faults(_check_root(config))
    faults.at_least("", config, 0, "files")
    faults.at_least("", config, 1, "threads")
    faults.above_zero("", config, "longest_s")
    return faults
