"""Load a sequence model from a checkpoint, with its vocabularies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from sed_cli.config.verbs import SequenceTrainConfig
from sed_cli.errors import CheckpointError, DataError
from sed_cli.models import LanguageModel
from sed_cli.models.feedbacks import rule_in
from sed_cli.models.labels import LABELS, SOURCE
from sed_cli.tasks.sequence.data import Vocabulary, units_of
from sed_cli.tasks.sequence.predictor import Predictor, make_language_model
from sed_cli.training.checkpoint import (
    load_model,
    read_classes,
    read_config_of,
    resolve_checkpoint,
)
from sed_cli.training.task import Trained

_SOURCE_CLASSES = "source_classes.json"


def load_predictor(checkpoint: str | Path, device: str | torch.device = "cpu") -> Predictor:
    """Load a sequence model from a checkpoint folder or a run folder (its best epoch).

    Raises:
        CheckpointError: if the folder is missing, incomplete, or contains a detector.
    """
    folder = resolve_checkpoint(checkpoint)
    config = read_config_of(folder, SequenceTrainConfig)
    vocabulary, source_vocabulary = read_vocabularies(folder)
    model = _load_model(folder, config, vocabulary, source_vocabulary)
    source_unit, unit = units_of(config.data)
    return Predictor(
        model,
        vocabulary=vocabulary,
        source_vocabulary=source_vocabulary,
        unit=unit,
        source_unit=source_unit,
        feedback=rule_in(config.sampler),
        device=device,
    )


def load_trained(folder: Path) -> Trained:
    """Load the model of a checkpoint folder, with its symbols.

    Raises:
        CheckpointError: if it cannot be used.
    """
    config = read_config_of(folder, SequenceTrainConfig)
    symbols, source = read_vocabularies(folder)
    model = _load_model(folder, config, symbols, source)
    return Trained(model, label_sets(symbols, source))


def _load_model(
    folder: Path, config: SequenceTrainConfig, symbols: Vocabulary, source: Vocabulary | None
) -> LanguageModel:
    return load_model(folder, lambda: make_language_model(config.model, symbols, source))


def label_sets(symbols: Vocabulary, source: Vocabulary | None) -> dict[str, Sequence[str]]:
    """Names of the entries of weights."""
    return {LABELS: symbols.symbols, **({} if source is None else {SOURCE: source.symbols})}


def save_source_vocabulary(folder: Path, vocabulary: Vocabulary | None) -> None:
    """Write the symbols of the sources; those of the targets are already saved as classes."""
    if vocabulary is not None:
        text = json.dumps(vocabulary.as_json(), ensure_ascii=False)
        (folder / _SOURCE_CLASSES).write_text(text, encoding="utf-8")


def read_vocabularies(folder: Path) -> tuple[Vocabulary, Vocabulary | None]:
    """Read the symbols of targets and sources; None for a model without sources.

    Raises:
        CheckpointError: if they cannot be read.
    """
    try:
        target = Vocabulary(tuple(read_classes(folder)))
        if not (folder / _SOURCE_CLASSES).is_file():
            return target, None
        return target, Vocabulary(tuple(read_classes(folder, _SOURCE_CLASSES)))
    except DataError as error:
        raise CheckpointError(f"{folder}: {error}") from error
