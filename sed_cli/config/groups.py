"""Config groups whose options are classes: what there is beside the files in ``conf/``."""

from __future__ import annotations

from typing import Any

from sed_cli.config.data import DATA_SETS, PublishedConfig
from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import EvaluationConfig, SequenceEvaluationConfig
from sed_cli.config.registry import KINDS, components, joined
from sed_cli.config.tokens import TOKEN_SETS
from sed_cli.config.tools import (
    CacheConfig,
    CompareConfig,
    DataVerbConfig,
    ExportConfig,
    ListenConfig,
    PredictConfig,
    ReportConfig,
    SimulateConfig,
    StatusConfig,
    SynthConfig,
)
from sed_cli.config.trainer import TrainerConfig
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import SequenceTrainConfig, TrainConfig

ROOTS: dict[str, type[Any]] = {
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


def options() -> dict[str, dict[str, type[Any]]]:
    """Classes by config group and option."""
    fixed: dict[str, dict[str, type[Any]]] = {
        "augment": {"none": joined(AugmentConfig)},
        "trainer": {"default": TrainerConfig},
        "evaluation": {"default": EvaluationConfig, "sequence": SequenceEvaluationConfig},
        "data": {name: cls for name, cls in DATA_SETS.items() if name != "published"},
    }
    fixed["data"] |= TOKEN_SETS
    chosen = {
        kind.group: components(name) for name, kind in KINDS.items() if kind.group and kind.key
    }
    return fixed | chosen


def bases() -> dict[str, dict[str, type[Any]]]:
    """Classes that files in ``conf/`` fill: options of no group by themselves."""
    return {"schema": ROOTS, "schema/data": {"published": PublishedConfig}}
