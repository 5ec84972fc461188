"""Resuming a run: checks, and the state to restore."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Container
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sed_cli.config.identity import flattened, keys_with
from sed_cli.config.settings import Role
from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import CheckpointError
from sed_cli.system.distributed import rank
from sed_cli.system.files import replacing, replacing_folder, standing
from sed_cli.training.checkpoint import load_weights, read_classes, read_config, resolve_checkpoint
from sed_cli.training.loop import Trainer
from sed_cli.training.state import STATE, load_state, read_state
from sed_cli.training.task import BatchT

log = logging.getLogger(__name__)

# `resume` continues the same training: only its length and location may differ.
_MAY_CHANGE = Role.PLACE | Role.PATH | Role.RESUMABLE


def check_settings(config: AnyTrainConfig) -> Path | None:
    """Check that the experiment is the same, and that there are epochs left to train.

    Returns:
        The checkpoint to resume from; None if there is none yet.

    Raises:
        CheckpointError: if the experiment differs, or a file of the checkpoint cannot be used.
    """
    run = Path(str(config.resume))
    try:
        folder = resolve_checkpoint(run / "checkpoints" / "last")
    except CheckpointError:
        return None
    before, now = (flattened(asdict(each)) for each in (read_config(folder), config))
    changed = _differences(before, now, keys_with(_MAY_CHANGE))
    if changed:
        raise CheckpointError(
            f"resume={run} continues a run exactly, but {'; '.join(changed)}: "
            f"drop that, or start a new run"
        )
    trained = read_state(folder)["progress"]["epoch"]
    if trained > config.trainer.epochs:
        raise CheckpointError(
            f"resume={run} has trained {trained} epochs already, but trainer.epochs="
            f"{config.trainer.epochs}: give at least {trained}, or start a new run"
        )
    return folder


class Past(NamedTuple):
    """The past of a resumed run."""

    rows: list[dict[str, float]] | None  # of its history; None: an older checkpoint without history


def restore(config: AnyTrainConfig, trainer: Trainer[BatchT]) -> Past | None:
    """Restore the state of a trainer from ``config.resume``; None: there is no checkpoint yet.

    Raises:
        CheckpointError: if the experiment or its data differ.
    """
    run = Path(str(config.resume))
    folder = check_settings(config)
    if folder is None:
        return None
    if read_classes(folder) != list(trainer.task.labels):
        raise CheckpointError(f"resume={run}: the classes have changed; start a new run")
    load_weights(trainer.task.model, folder)
    state = load_state(folder)
    past = Past(state.pop("history", None))
    if state.pop("data") != trainer.task.fingerprint:
        raise CheckpointError(
            f"resume={run}: recordings, annotations or the network of the front end have changed; "
            "start a new run"
        )
    try:
        trainer.load_state_dict(state)
        _check_moments(trainer)
    except Exception as error:  # from torch, which validates little of its input
        raise CheckpointError(
            f"{folder / STATE}: does not fit the model of this run, so it cannot be resumed"
        ) from error
    return past


def resume(
    config: AnyTrainConfig, trainer: Trainer[BatchT], run_dir: Path
) -> list[dict[str, float]] | None:
    """Resume ``config.resume``; its files so far are copied into the run that continues it.

    Returns:
        The rows of the history so far; None if the checkpoint is older and does not contain them.
    """
    run = Path(str(config.resume))
    past = restore(config, trainer)
    if past is None:
        log.warning("%s has no checkpoint yet: training starts from the beginning", run)
        return None
    if run.resolve() != run_dir.resolve() and not rank():
        _copy_past(run, run_dir)
    log.info("resumed after epoch %d, update %d", trainer.progress.epoch, trainer.progress.update)
    return past.rows


def _copy_past(run: Path, run_dir: Path) -> None:
    """Copy the files of the earlier run, atomically."""
    if (run / "history.csv").is_file():
        with replacing(run_dir / "history.csv") as path:
            shutil.copy(run / "history.csv", path)
    with replacing_folder(run_dir / "checkpoints") as checkpoints:
        for name in ("best", "last"):
            shutil.copytree(standing(run / "checkpoints" / name), checkpoints / name)


def _check_moments(trainer: Trainer[BatchT]) -> None:
    for weights in trainer.task.model.parameters():
        for name, value in trainer.optimizer.state.get(weights, {}).items():
            if name != "step" and value.shape != weights.shape:
                raise ValueError(f"{name} of shape {tuple(value.shape)}")


def _differences(
    before: dict[str, Any], now: dict[str, Any], may_change: Container[str]
) -> list[str]:
    return [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if key not in may_change and before.get(key) != now.get(key)
    ]
