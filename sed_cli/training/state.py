"""The training state beside a checkpoint, for resuming exactly."""

from __future__ import annotations

import io
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sed_cli.errors import CheckpointError

STATE = "training_state.pt"


@dataclass
class Progress:
    """Progress of the training."""

    epoch: int = 0  # finished ones
    update: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_loss: float = float("inf")
    has_skill: bool = False  # whether an epoch's loss was below the task's no_skill_loss
    has_detected: bool = False  # and whether since then an epoch's F1 was above 0


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state, including torch's generators."""
    generators: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state_all()
    # Given a path, torch has no clear error for a full disk.
    content = io.BytesIO()
    torch.save({**state, "generators": generators}, content)
    (folder / STATE).write_bytes(content.getbuffer())


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state and restore torch's generators; no code of the file is run.

    Raises:
        CheckpointError: if it is missing or unreadable.
    """
    state = read_state(folder)
    generators = state.pop("generators")
    torch.set_rng_state(generators["cpu"])
    if torch.cuda.is_available() and "cuda" in generators:
        torch.cuda.set_rng_state_all(generators["cuda"])
    return state


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state without side effects; no code of the file is run.

    Raises:
        CheckpointError: if it is missing or unreadable.
    """
    path = folder / STATE
    if not path.is_file():
        raise CheckpointError(f"{path}: missing, so this run cannot be resumed")
    try:
        _check_archive(path)
        # weights_only: tensors and plain values; a pickle that names other code is rejected.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        _check_parts(state)
    except Exception as error:  # torch's advice would be to trust the file
        raise CheckpointError(
            f"{path}: damaged, or not written by sedtf (none of its code was run); this run "
            f"cannot be resumed, but its weights can be used"
        ) from error
    return state


def _check_archive(path: Path) -> None:
    """Reject files that torch would not write: it stores tensors uncompressed, with checksums."""
    with zipfile.ZipFile(path) as archive:
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise ValueError("compressed")
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")


def _check_parts(state: dict[str, Any]) -> None:
    kinds = {"generators": dict, "progress": dict, "optimizer": dict, "coins": dict, "data": str}
    for name, kind in kinds.items():
        if not isinstance(state[name], kind):
            raise TypeError(f"{name}: {type(state[name])}")
    progress = vars(Progress(**state["progress"]))
    for name, default in vars(Progress()).items():
        if type(progress[name]) is not type(default):
            raise TypeError(f"{name}: {type(progress[name])}")
    if min(progress["epoch"], progress["update"], progress["best_epoch"]) < 0:
        raise ValueError("negative counts")
    generator = torch.Generator()
    generator.set_state(state["generators"]["cpu"])


def seed_everything(seed: int) -> None:
    """Seed every generator that a run may use."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
