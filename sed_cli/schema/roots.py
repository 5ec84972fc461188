"""Types of the verbs' root files: every key of ``conf/VERB.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sed_cli.schema.groups import (
    MISSING,
    AnyDataConfig,
    AugmentConfig,
    DataConfig,
    DecodingConfig,
    EvaluationConfig,
    FeatureConfig,
    LanguageConfig,
    ModelConfig,
    SamplerConfig,
    SequenceEvaluationConfig,
    TokenSetConfig,
    TrainerConfig,
)


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
