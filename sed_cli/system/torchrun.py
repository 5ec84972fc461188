"""Processes started by ``torchrun``, on one machine or several: their ranks and rendezvous.

Every rank composes the same command line. Only the run folder differs, since its name contains
the time: that of rank 0 is used.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sed_cli.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_KEY = "sedtf/run"

_store: Store | None = None


def n_ranks() -> int:
    """Number of processes of this program, including this one; 1 without ``torchrun``."""
    if all(os.environ.get(name) for name in _ENVIRONMENT):
        return int(os.environ["WORLD_SIZE"])
    return 1


def rank() -> int:
    """Rank of this process, from 0."""
    return int(os.environ["RANK"]) if n_ranks() > 1 else 0


def local_rank() -> int:
    """Rank of this process on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if n_ranks() > 1 else 0


def store() -> Store:
    """Return the rendezvous store; waits for missing ranks."""
    from torch.distributed.rendezvous import rendezvous

    global _store
    if _store is None:
        _store, _, _ = next(rendezvous("env://"))
    return _store


def announce(folder: Path | None, config_hash: str) -> None:
    """Announce the run to the other ranks, as rank 0; without a folder, there will be none."""
    values = {"folder": None if folder is None else str(folder), "config_hash": config_hash}
    store().set(_KEY, json.dumps(values))


def announced_folder(config_hash: str) -> Path | None:
    """Wait, as another rank, for the run folder; ``None``: rank 0 has reported why there is none.

    Raises:
        UserError: if rank 0 has other settings.
    """
    values = json.loads(store().get(_KEY))
    if values["folder"] is None:
        return None
    if values["config_hash"] != config_hash:
        raise UserError(
            f"rank {rank()} was started with other settings than rank 0: start torchrun with the "
            f"same command on every machine"
        )
    return Path(values["folder"])
