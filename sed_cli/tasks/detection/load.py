"""Load a detector from a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from sed_cli.config.verbs import TrainConfig
from sed_cli.decoding.saved import read_confidence_map, read_decoder
from sed_cli.errors import CheckpointError
from sed_cli.models import CRNN
from sed_cli.models.feedbacks import rule_in
from sed_cli.system.text import fault_of_label
from sed_cli.tasks.detection.detector import Detector
from sed_cli.training.checkpoint import (
    CLASSES,
    WEIGHTS,
    load_model,
    read_classes,
    read_config_of,
    resolve_checkpoint,
)


def read_config(checkpoint: str | Path) -> TrainConfig:
    """Read the training configuration of a detector.

    Raises:
        CheckpointError: if it is missing, cannot be parsed or does not belong to a detector.
    """
    config = read_config_of(checkpoint, TrainConfig)
    config.take_files_of(resolve_checkpoint(checkpoint))
    return config


def build_model(config: TrainConfig, *, n_mels: int, n_classes: int) -> CRNN:
    """Build the model of a detector, sized for its feedback, with random weights."""
    model: CRNN = config.model.build(n_mels=n_mels, n_classes=n_classes)
    model.take_feedback(rule_in(config.sampler))
    return model


def load_crnn(folder: Path, config: TrainConfig) -> tuple[CRNN, list[str]]:
    """Load the model and the classes of a checkpoint folder, given its configuration.

    Raises:
        CheckpointError: if they cannot be read, or do not match.
    """
    classes = read_classes(folder)
    for label in classes:
        if fault := fault_of_label(label):
            raise CheckpointError(f"{folder / CLASSES}: label {label!r}: {fault}")
    sizes = {"n_mels": config.feature.n_features, "n_classes": len(classes)}
    model: CRNN = load_model(folder, lambda: build_model(config, **sizes))
    return model, classes


def load(checkpoint: str | Path, device: str | torch.device = "cpu") -> Detector:
    """Load a detector from a checkpoint folder or a run folder (its best epoch).

    Args:
        checkpoint: the folder.
        device: where to run it.

    Returns:
        The detector, ready for :meth:`Detector.predict`.

    Raises:
        CheckpointError: if the folder is missing, incomplete or inconsistent.
    """
    folder = resolve_checkpoint(checkpoint)
    config = read_config(folder)
    model, classes = load_crnn(folder, config)
    return Detector(
        model,
        log_mel=config.feature.build(),
        classes=classes,
        feedback=rule_in(config.sampler),
        device=device,
        decoder=read_decoder(folder, classes, config.feature.hop_s, onsets=model.has_onsets),
        confidence_map=read_confidence_map(folder),
        source=folder / WEIGHTS,
    )
