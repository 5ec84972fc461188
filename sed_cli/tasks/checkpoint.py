"""Checkpoints: a folder with weights, configuration and classes. Loading one runs no code from it.

``model.safetensors`` holds the weights and the normalisation, ``config.yaml`` the whole
configuration of the run, ``classes.json`` the labels in the order of the outputs, and
``postprocessing.json``, once training has ended, how events are made of probabilities.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from sed_cli.config.plain import build_any_train_config, unknown_homes
from sed_cli.config.plugins import needed
from sed_cli.config.verbs import AnyTrainConfig, SequenceTrainConfig, TrainConfig
from sed_cli.decoding.postprocessing import read_postprocessing
from sed_cli.errors import CheckpointError, ConfigError, DataError
from sed_cli.models import CRNN
from sed_cli.system.files import replacing_folder, standing
from sed_cli.system.structured import read_json, read_settings, why
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.sequence.data.vocabulary import Vocabulary

ModelT = TypeVar("ModelT", bound=nn.Module)

WEIGHTS, CONFIG, CLASSES = "model.safetensors", "config.yaml", "classes.json"
SOURCE_CLASSES = "source_classes.json"  # of a model of sequences that is given some

_MOST_WEIGHTS = 2**30  # 4 GiB


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    config: AnyTrainConfig,
    classes: Sequence[str],
    extra: Callable[[Path], None] | None = None,
) -> None:
    """Write a checkpoint folder; a reader sees the old one or the new one, whole.

    That holds after a power cut too: the old one is deleted once the new one is on the disk.

    Args:
        folder: to be made or replaced.
        model: its weights and normalisation are written.
        config: of the run.
        classes: labels in the order of the outputs.
        extra: writes what else belongs into the folder that it is given.
    """
    with replacing_folder(folder) as new:
        weights = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
        save_file(weights, new / WEIGHTS)
        (new / WEIGHTS).chmod(0o644)  # as the other files: a run may be shared
        (new / CONFIG).write_text(yaml.safe_dump(asdict(config), sort_keys=False))
        (new / CLASSES).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")
        if extra is not None:
            extra(new)


def resolve_checkpoint(path: str | Path) -> Path:
    """Find the checkpoint folder that is meant: the folder itself, or the best of a run folder.

    Raises:
        CheckpointError: if there is none.
    """
    given = Path(path).expanduser()
    for folder in (given, given / "checkpoints" / "best"):
        if (standing(folder) / WEIGHTS).is_file():
            return standing(folder)
    if not given.exists():
        raise CheckpointError(f"checkpoint={path}: no such folder")
    raise CheckpointError(
        f"checkpoint={path}: neither a checkpoint (with {WEIGHTS}, {CONFIG}, {CLASSES}) "
        f"nor a run folder with checkpoints/best"
    )


def read_config(checkpoint: str | Path) -> TrainConfig:
    """Read the configuration of the detector's training that a checkpoint comes from.

    Raises:
        CheckpointError: if it is missing, cannot be understood or is no detector's.
    """
    config = read_any_config(checkpoint)
    if not isinstance(config, TrainConfig):
        raise CheckpointError(
            f"{checkpoint}: a model of sequences (task=sequence), where a detector is needed; "
            f"sedtf eval and predict take it"
        )
    return config


def read_sequence_config(checkpoint: str | Path) -> SequenceTrainConfig:
    """Read the configuration of the run that a model of sequences comes from.

    Raises:
        CheckpointError: if it is missing, cannot be understood or is a detector's.
    """
    config = read_any_config(checkpoint)
    if not isinstance(config, SequenceTrainConfig):
        raise CheckpointError(f"{checkpoint}: a detector, where a model of sequences is needed")
    return config


def read_any_config(checkpoint: str | Path) -> TrainConfig | SequenceTrainConfig:
    """Read the configuration of the run that a checkpoint comes from, whatever was learnt.

    It is plain values: ``${...}`` in it is text. Where its run kept a cache is left out, as nothing
    that is read may say where to write, or what to delete there.

    Raises:
        CheckpointError: if it is missing or cannot be understood.
    """
    path = resolve_checkpoint(checkpoint) / CONFIG
    values: dict[str, Any] = {}
    try:
        values = read_settings(path)
        return config_of(values)
    except ConfigError as error:  # a component that is unknown here
        raise CheckpointError(f"{path}: {error}{needed(values)}") from error
    except (OSError, OmegaConfBaseException, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be understood ({why(error)})") from error


def config_of(values: Mapping[str, Any]) -> TrainConfig | SequenceTrainConfig:
    """Turn plain values that were read into the configuration of a training.

    Raises:
        ConfigError: for a component that is unknown here.
        omegaconf.errors.OmegaConfBaseException, KeyError, TypeError, ValueError: if they are none.
    """
    config = build_any_train_config(values)
    if homes := list(unknown_homes(asdict(config))):
        raise ValueError("; ".join(homes))
    if isinstance(config, SequenceTrainConfig):
        return config
    config.data.cache_dir = config.data.cache_limit_gb = None
    faults = config.feature.faults() + config.model.faults_with(config.feature.n_features)
    if faults:
        raise ValueError("; ".join(faults))
    return config


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
    classes = read_classes(folder)
    sizes = {"n_mels": config.feature.n_features, "n_classes": len(classes)}
    model: CRNN = load_model(folder, lambda: config.model.build(**sizes))
    return Detector(
        model,
        log_mel=config.feature.build(),
        classes=classes,
        feedback=config.sampler.feedback,
        device=device,
        postprocessing=read_postprocessing(folder, classes),
        source=folder / WEIGHTS,
    )


def read_classes(folder: Path, name: str = CLASSES) -> list[str]:
    """Read the labels of a checkpoint folder.

    Raises:
        CheckpointError: if they cannot be read.
    """
    path = folder / name
    try:
        labels = read_json(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({why(error)})") from error
    if not (isinstance(labels, list) and labels and all(isinstance(x, str) for x in labels)):
        raise CheckpointError(f"{path}: expected a list of labels")
    return labels


def save_source_vocabulary(folder: Path, vocabulary: Vocabulary | None) -> None:
    """Write the symbols of the sources beside those of the targets, which are the classes."""
    if vocabulary is not None:
        text = json.dumps(vocabulary.as_json(), ensure_ascii=False)
        (folder / SOURCE_CLASSES).write_text(text, encoding="utf-8")


def read_vocabularies(folder: Path) -> tuple[Vocabulary, Vocabulary | None]:
    """Read the symbols of targets and of sources; None for a model without sources.

    Raises:
        CheckpointError: if they cannot be read.
    """
    try:
        target = Vocabulary(tuple(read_classes(folder)))
        if not (folder / SOURCE_CLASSES).is_file():
            return target, None
        return target, Vocabulary(tuple(read_classes(folder, SOURCE_CLASSES)))
    except DataError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def load_model(folder: Path, make: Callable[[], ModelT]) -> ModelT:
    """Build a model and fill it with the weights of a checkpoint folder.

    Nothing is allocated before the sizes that the configuration asks for are those of the file.

    Args:
        folder: of the checkpoint.
        make: builds the model.

    Raises:
        CheckpointError: if the weights cannot be read, or do not fit.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        with torch.device("meta"):  # shapes without numbers
            expected = {key: tuple(value.shape) for key, value in make().state_dict().items()}
    except Exception as error:  # of either library; sizes may be beyond what it can count
        raise _does_not_fit(path, why(error)) from error
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            there, wanted = found.get(key, "missing"), expected.get(key, "no such weights")
            raise _does_not_fit(path, f"{key} is {there}, expected {wanted}")
    if sum(map(math.prod, found.values())) > _MOST_WEIGHTS:
        raise _does_not_fit(path, f"more than {_MOST_WEIGHTS} weights")
    model = make()
    load_weights(model, folder)
    return model


def _does_not_fit(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: does not fit its config ({reason})")


def load_weights(model: nn.Module, folder: Path) -> None:
    """Fill ``model`` with the weights of a checkpoint folder.

    Raises:
        CheckpointError: if they do not fit, or are not finite: with these no class is ever active,
            which looks like silence.
    """
    try:
        weights = load_file(folder / WEIGHTS)
        damaged = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        if damaged:
            raise CheckpointError(
                f"{folder / WEIGHTS}: holds weights that are not finite (the first in "
                f"{damaged[0]}), so it is damaged or its training diverged; "
                f"take another checkpoint"
            )
        model.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise _does_not_fit(folder / WEIGHTS, why(error)) from error
