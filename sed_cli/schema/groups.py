"""Types of the config groups: every key of ``conf/GROUP/*.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MISSING: Any = "???"  # OmegaConf's mark for a value that the user must give
# What a table of annotations may hold; data.columns says how a table calls them.
COLUMNS = ("filename", "onset", "offset", "duration", "event_label", "soft_label")
TIME_UNITS = ("auto", "s", "ms", "min", "h", "samples")
DECIMAL_MARKS = ("auto", "point", "comma")


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
    time_unit: str = "auto"
    decimal_mark: str = "auto"
    soft_labels: bool | None = None


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
    time_unit: str = "auto"
    decimal_mark: str = "auto"
    soft_labels: bool | None = None
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
    recurrence: str = "auto"
    max_updates: int | None = None
    min_epoch_updates: int = 1
    devices: int | None = None


@dataclass
class EvaluationConfig:
    """From probabilities to events, and what is reported of them."""

    metric: str | None = "frame"
    tune: bool = True
    min_gap_s: float | None = 0.0
    min_duration_s: float | None = 0.0
    collar_s: float | None = 0.2
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
