"""The training state beside a checkpoint: what it takes to go on as if nothing had happened."""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sed_cli.errors import CheckpointError

STATE = "training_state.pt"


@dataclass
class Progress:
    """How far the training has come."""

    epoch: int = 0  # finished ones
    update: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_loss: float = float("inf")
    has_skill: bool = False  # an epoch's loss was below the task's no_skill_loss
    has_detected: bool = False  # and since then an epoch's F1 was above 0


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state and that of torch's generators."""
    generators: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state_all()
    torch.save({**state, "generators": generators}, folder / STATE)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state and restore torch's generators; no code of the file is run.

    Raises:
        CheckpointError: if there is none or it cannot be read.
    """
    path = folder / STATE
    if not path.is_file():
        raise CheckpointError(f"{path}: not there, so this run cannot be resumed")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    generators = state.pop("generators")
    torch.set_rng_state(generators["cpu"])
    if torch.cuda.is_available() and "cuda" in generators:
        torch.cuda.set_rng_state_all(generators["cuda"])
    return state


def seed_everything(seed: int) -> None:
    """Seed every generator that a run may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
