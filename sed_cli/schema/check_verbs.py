"""What types cannot say of a verb's whole configuration: the checks that cross its groups."""

from __future__ import annotations

from typing import Any

from sed_cli.schema.check_groups import (
    check_augment,
    check_data,
    check_dropout,
    check_evaluation,
    check_feature,
    check_model,
    check_sampler,
    check_soundscapes,
    check_tokens,
    check_trainer,
)
from sed_cli.schema.faults import Faults
from sed_cli.schema.groups import (
    AnnotatedConfig,
    DataConfig,
    DecodingConfig,
    SoundscapesConfig,
    TokenSetConfig,
)
from sed_cli.schema.plain import vary_sampler
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
from sed_cli.schema.tables import EVENT_FORMATS, METRICS, MONITORS_OF_SEQUENCES, PCM_DTYPES, SPLITS


def _check_root(config: Any) -> list[str]:
    faults = Faults()
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
    faults = Faults(_check_root(config))
    faults.one_of("", config, "task", ("sequence",))
    faults.at_least("model.", config.model, 1, "embedding_size", "rnn_hidden")
    faults += check_dropout(config.model)
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
    faults = Faults(_check_root(config))
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
    sizes = (data.duration_s, data.n_train, config.feature.sample_rate, config.feature.hop_length)
    if not all(0 < size < 2**53 for size in sizes):  # that has been told
        return []
    n_frames = 1 + int(data.duration_s * config.feature.sample_rate) // config.feature.hop_length
    n_sequences = data.n_train * -(-n_frames // data.sequence_length)
    faults = Faults()
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
    faults = Faults(_check_root(config))
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
    faults = Faults(_check_root(config))
    faults.above_zero("", config, "tolerance")
    return faults


def check_synth(config: SynthConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a synthesis; ``named`` holds the keys that the user gave."""
    faults = Faults()
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
    faults = Faults(_check_root(config))
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
    faults = Faults()
    faults.at_least("", config, 0, "sequence_gap_s", "n_faults")
    return [*faults, *check_data(config.data)]


def check_cache(config: CacheConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of what the cache is asked for."""
    faults = Faults()
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
    faults = Faults()
    faults.above_zero("", config, "watch")
    return faults


def check_predict(config: PredictConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a prediction's configuration."""
    faults = Faults(_check_root(config))
    faults.one_of("", config, "format", EVENT_FORMATS)
    faults.one_of("", config, "channels", ("mix", "first", "each"))
    faults.at_least("", config, 1, "threads")
    faults += _check_decoding(config.decoding)
    return faults


def _check_decoding(decoding: DecodingConfig) -> list[str]:
    faults = Faults()
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
    faults = Faults(_check_root(config))
    faults.at_least("", config, 1, "channels", "threads")
    faults.at_least("", config, 1000, "sample_rate")
    faults.one_of("", config, "dtype", PCM_DTYPES)
    return faults


def check_compare(config: CompareConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a comparison's configuration."""
    faults = Faults()
    faults.require(
        bool(config.runs), "no run is named: sedtf compare RUN..., or the folder of a sweep"
    )
    faults.one_of("", config, "metric", METRICS)
    return faults


def check_report(config: ReportConfig, named: frozenset[str] = frozenset()) -> list[str]:
    """All faults of a report's configuration."""
    faults = Faults(_check_root(config))
    faults.at_least("", config, 0, "files")
    faults.at_least("", config, 1, "threads")
    faults.above_zero("", config, "longest_s")
    return faults
