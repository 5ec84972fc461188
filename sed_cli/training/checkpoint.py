"""Checkpoints: a folder with weights, configuration and classes. Loading one runs no code from it.

``model.safetensors`` holds the weights and the normalisation, ``config.yaml`` the whole
configuration of the run, ``classes.json`` the labels in the order of the outputs. Tasks add
their own files, such as ``postprocessing.json`` of a detector.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from sed_cli.config.plain import config_of
from sed_cli.config.plugins import needed
from sed_cli.config.registry import plugin_components
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import CheckpointError, ConfigError
from sed_cli.system.files import replacing_folder, standing
from sed_cli.system.structured import check_arrays, read_json, read_settings, why

ConfigT = TypeVar("ConfigT", bound=AnyTrainConfig)
ModelT = TypeVar("ModelT", bound=nn.Module)

WEIGHTS, CONFIG, CLASSES = "model.safetensors", "config.yaml", "classes.json"

_MOST_WEIGHTS = 2**30  # 4 GiB
_LONGEST_HEADER = 2**20  # bytes; about 100 for each array
_built: dict[tuple[Any, ...], AnyTrainConfig] = {}  # the one read last


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    config: AnyTrainConfig,
    classes: Sequence[str],
    extra: Callable[[Path], None] | None = None,
) -> None:
    """Write a checkpoint folder; readers see either the old or the new one, complete.

    This holds even after a power cut: the old one is deleted once the new one is on disk.

    Args:
        folder: to create or replace.
        model: its weights and normalisation are written.
        config: of the run.
        classes: labels in the order of the outputs.
        extra: writes further files into the given folder.
    """
    with replacing_folder(folder) as new:
        weights = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
        save_file(weights, new / WEIGHTS)
        (new / WEIGHTS).chmod(0o644)  # like the other files: a run may be shared
        (new / CONFIG).write_text(yaml.safe_dump(asdict(config), sort_keys=False), encoding="utf-8")
        (new / CLASSES).write_text(json.dumps(list(classes), ensure_ascii=False), encoding="utf-8")
        if extra is not None:
            extra(new)


def resolve_checkpoint(path: str | Path, key: str = "checkpoint") -> Path:
    """Find the checkpoint folder: the folder itself, or the best of a run folder.

    Args:
        path: of either folder.
        key: of the setting that names it, for messages.

    Raises:
        CheckpointError: if there is none.
    """
    given = Path(path).expanduser()
    for folder in (given, given / "checkpoints" / "best"):
        if (standing(folder) / WEIGHTS).is_file():
            return standing(folder)
    if not given.exists():
        raise CheckpointError(f"{key}={path}: no such folder; name that of a run or checkpoint")
    raise CheckpointError(
        f"{key}={path}: neither a checkpoint (with {WEIGHTS}, {CONFIG}, {CLASSES}) "
        f"nor a run folder with checkpoints/best"
    )


def read_config(checkpoint: str | Path) -> AnyTrainConfig:
    """Read the configuration of a checkpoint's run, for any task.

    It has plain values: ``${...}`` in it is text. The location of its cache is dropped.

    Raises:
        CheckpointError: if it is missing or cannot be understood.
    """
    path = resolve_checkpoint(checkpoint) / CONFIG
    values: dict[str, Any] = {}
    try:
        values = read_settings(path)
        # A command calls this several times, and each call takes 50 ms.
        key = (repr(values), *(cls for _, _, cls in plugin_components()))
        if key not in _built:
            config = config_of(values)
            _built.clear()
            _built[key] = config
        return copy.deepcopy(_built[key])
    except ConfigError as error:  # an unknown component
        raise CheckpointError(f"{path}: {error}{needed(values)}") from error
    except (OSError, OmegaConfBaseException, KeyError, TypeError, ValueError) as error:
        words = needed(values)
        raise CheckpointError(f"{path}: cannot be understood ({why(error)}){words}") from error


def read_config_of(checkpoint: str | Path, root: type[ConfigT]) -> ConfigT:
    """Read the configuration of the run of one task.

    Raises:
        CheckpointError: if it is missing, is not understood or is of another task.
    """
    config = read_config(checkpoint)
    if not isinstance(config, root):
        raise CheckpointError(
            f"{checkpoint}: {config.MODEL} (task={config.task}), but {root.MODEL} is needed; "
            f"sedtf eval and predict support both"
        )
    return config


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


def load_model(folder: Path, make: Callable[[], ModelT]) -> ModelT:
    """Build a model and load the weights of a checkpoint folder.

    Nothing is allocated before the sizes in the configuration match those of the file.

    Args:
        folder: of the checkpoint.
        make: builds the model.

    Raises:
        CheckpointError: if the weights cannot be read, or do not fit.
    """
    path = folder / WEIGHTS
    try:
        check_arrays(path, _LONGEST_HEADER)
        with safe_open(path, "pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        with torch.device("meta"):  # shapes without numbers
            expected = {key: tuple(value.shape) for key, value in make().state_dict().items()}
    except Exception as error:  # from either library; sizes may overflow
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
    """Load the weights of a checkpoint folder into ``model``.

    Raises:
        CheckpointError: if they do not fit, or are not finite, with which no class would ever be
            active.
    """
    try:
        check_arrays(folder / WEIGHTS, _LONGEST_HEADER)
        weights = load_file(folder / WEIGHTS)
        damaged = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        if damaged:
            raise CheckpointError(
                f"{folder / WEIGHTS}: contains weights that are not finite (the first in "
                f"{damaged[0]}), so it is damaged or its training diverged; "
                f"take another checkpoint"
            )
        model.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise _does_not_fit(folder / WEIGHTS, why(error)) from error
