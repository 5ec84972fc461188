"""Which options there are: of groups, by name, and of keys that take one of some words."""

from __future__ import annotations

from sed_cli.schema.groups import (
    AnnotatedConfig,
    AnyDataConfig,
    AugmentConfig,
    ConstantConfig,
    DataConfig,
    EvaluationConfig,
    ExponentialConfig,
    FeatureConfig,
    InverseSigmoidConfig,
    LabelsConfig,
    LanguageConfig,
    LinearConfig,
    ModelConfig,
    PairsConfig,
    PublishedConfig,
    RecordedConfig,
    SamplerConfig,
    ScheduledConfig,
    SequenceEvaluationConfig,
    SoundscapesConfig,
    TokensConfig,
    TokenSetConfig,
    TrainerConfig,
)
from sed_cli.schema.roots import (
    CacheConfig,
    CompareConfig,
    DataVerbConfig,
    EvalConfig,
    ExportConfig,
    ListenConfig,
    PredictConfig,
    ReportConfig,
    SequenceTrainConfig,
    SimulateConfig,
    StatusConfig,
    SynthConfig,
    TrainConfig,
)

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
