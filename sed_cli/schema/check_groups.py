"""What types cannot say of a group: ranges, choices, and keys that exclude each other."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from sed_cli.schema.faults import Faults
from sed_cli.schema.groups import (
    COLUMNS,
    DECIMAL_MARKS,
    MISSING,
    TIME_UNITS,
    AnnotatedConfig,
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
    SoundscapesConfig,
    TokensConfig,
    TokenSetConfig,
    TrainerConfig,
)
from sed_cli.schema.tables import (
    EVENT_CLASSES,
    METRICS,
    MONITORS,
    PAIR_TASKS,
    PUBLISHED,
    SPLITS,
    TOKEN_UNITS,
)

_HIGHEST_RATE = 10_000_000  # Hz; recorders of bats take 500 kHz
_LONGEST_TRANSFORM = 2**20  # samples
_MOST_WEIGHTS = 2**24  # of the mel filters: bands times frequencies, 64 MiB
_MOST_BLOCKS = 64
_MOST_RESAMPLES = 100_000  # of recordings; intervals of 1000 are good to two digits
_LONGEST_S = 24 * 3600.0  # of a generated recording
_MOST_RECORDINGS = 10_000_000


def check_feature(feature: FeatureConfig) -> list[str]:
    """Faults within the feature group."""
    faults = Faults()
    faults.at_most("feature.", feature, _HIGHEST_RATE, "sample_rate")
    faults.at_most("feature.", feature, _LONGEST_TRANSFORM, "n_fft", "n_mels")
    if not faults and feature.n_mels * (feature.n_fft // 2 + 1) > _MOST_WEIGHTS:
        faults.append(
            f"feature.n_mels={feature.n_mels} bands of feature.n_fft={feature.n_fft}: "
            f"{_MOST_WEIGHTS} weights are the most; lower one of the two"
        )
    if faults:  # what follows computes with them
        return faults
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
    faults = Faults()
    faults.at_least("model.", model, 1, "conv_channels", "kernel_size", "rnn_hidden")
    most = max(1, n_mels)
    if len(model.pooling) > _MOST_BLOCKS or any(factor > most for factor in model.pooling):
        faults.append(
            f"model.pooling of {len(model.pooling)} factors: expected at most {_MOST_BLOCKS}, "
            f"none above feature.n_mels={n_mels}"
        )
        return faults
    faults.require(
        model.kernel_size % 2 == 1,
        f"model.kernel_size={model.kernel_size}: expected an odd number, so that frames stay put",
    )
    faults += check_dropout(model)
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


def check_dropout(model: ModelConfig | LanguageConfig) -> list[str]:
    """Faults of a model's dropout."""
    if 0.0 <= model.dropout < 1.0:
        return []
    return [f"model.dropout={model.dropout}: expected 0 <= dropout < 1"]


def check_sampler(sampler: SamplerConfig, prefix: str = "sampler.") -> list[str]:
    """Faults within the sampler group."""
    faults = Faults()
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
    faults = Faults()
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
    faults = Faults()
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
    faults = Faults(_check_shares(data))
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
    faults = Faults()
    faults.at_least(prefix, values, fewest, "n_train", "n_validation", "n_test")
    faults.at_least(prefix, values, 1, "duration_s", "polyphony")
    faults.at_least(prefix, values, 8000, "sample_rate")
    faults.at_most(prefix, values, _HIGHEST_RATE, "sample_rate")
    faults.at_most(prefix, values, _LONGEST_S, "duration_s")
    faults.at_most(prefix, values, _MOST_RECORDINGS, "n_train", "n_validation", "n_test")
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
    faults = Faults()
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
    faults = Faults(_check_shares(data))
    for key in ("bank_splits", "group"):
        faults.require(
            data.bank is not None or getattr(data, key) is None,
            f"data.{key} is set, but there is no bank: name its folder with data.bank",
        )
    return faults


def _check_annotations(data: AnnotatedConfig | LabelsConfig) -> list[str]:
    faults = Faults()
    unknown = [ours for ours in data.columns if ours not in COLUMNS]
    faults.require(
        not unknown,
        f"data.columns.{' and '.join(unknown)}: expected {', '.join(COLUMNS)}, each with the "
        f"name of its column in the tables, such as data.columns.event_label=species",
    )
    faults.above_zero("data.", data, "event_duration_s")
    faults.one_of("data.", data, "decimal_mark", DECIMAL_MARKS)
    faults.one_of("data.", data, "time_unit", TIME_UNITS)
    in_samples = data.time_unit == "samples"
    faults.require(
        not (in_samples and isinstance(data, LabelsConfig)),
        "data.time_unit=samples: data=labels reads no audio, which has the rate; convert the times "
        "to seconds",
    )
    faults.require(
        not in_samples or data.event_duration_s is None,
        f"data.time_unit=samples and data.event_duration_s={data.event_duration_s}: onsets in "
        f"samples need offsets or durations in samples beside them",
    )
    return faults


def check_tokens(data: TokenSetConfig) -> list[str]:
    """Faults within the data group of ``task=sequence``."""
    faults = Faults(_check_split(data))
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
    faults = Faults()
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
    faults = Faults([*_check_annotations(data), *_check_group(data)])
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
    faults = Faults()
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
    faults = Faults()
    counts = ("epochs", "batch_size", "patience", "threads", "max_updates", "min_epoch_updates")
    faults.at_least("trainer.", trainer, 1, *counts, "devices")
    faults.require(
        (trainer.devices or 1) <= trainer.batch_size,
        f"trainer.devices={trainer.devices}, but a batch of trainer.batch_size="
        f"{trainer.batch_size} sequences, which they share, gives some of them nothing to do: "
        f"lower the first or raise the second",
    )
    faults.above_zero("trainer.", trainer, "lr", "grad_norm")
    faults.one_of("trainer.", trainer, "monitor", tuple(monitors))
    faults.one_of("trainer.", trainer, "precision", ("float32", "bf16"))
    faults.one_of("trainer.", trainer, "recurrence", ("auto", "plain", "triton"))
    return faults


def check_evaluation(evaluation: EvaluationConfig) -> list[str]:
    """Faults within the evaluation group."""
    faults = Faults()
    if evaluation.metric is not None:
        faults.one_of("evaluation.", evaluation, "metric", METRICS)
    faults.at_least("evaluation.", evaluation, 0, "min_gap_s", "min_duration_s")
    faults.above_zero("evaluation.", evaluation, "collar_s")
    faults.at_least("evaluation.", evaluation, 0, "bootstrap", "bootstrap_seed")
    faults.at_most("evaluation.", evaluation, _MOST_RESAMPLES, "bootstrap")
    if evaluation.psds and find_spec("sed_scores_eval") is None:
        faults.append(
            "evaluation.psds=true needs sed-scores-eval-np2: pip install 'sedtf[psds]' "
            "(it is compiled on installation, which takes a C compiler)"
        )
    return faults
