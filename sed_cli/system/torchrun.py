"""Started by ``torchrun``, on one machine or several: how many are we, and what are we to agree on.

Every rank composes the same command line. What differs between them by itself is the run folder,
whose name holds the time: that of rank 0 is the one.
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
    """Processes that this program was started as, this one included; 1 without ``torchrun``."""
    if all(os.environ.get(name) for name in _ENVIRONMENT):
        return int(os.environ["WORLD_SIZE"])
    return 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if n_ranks() > 1 else 0


def local_rank() -> int:
    """Which of those on this machine this one is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if n_ranks() > 1 else 0


def store() -> Store:
    """Return where the ranks meet; all are waited for that have not come yet."""
    from torch.distributed.rendezvous import rendezvous

    global _store
    if _store is None:
        _store, _, _ = next(rendezvous("env://"))
    return _store


def announce(folder: Path | None, config_hash: str) -> None:
    """Tell the others, as rank 0, which run this is; no folder: it is not going to be any."""
    values = {"folder": None if folder is None else str(folder), "config_hash": config_hash}
    store().set(_KEY, json.dumps(values))


def announced_folder(config_hash: str) -> Path | None:
    """Wait, as another rank, for the run folder; ``None``: rank 0 has said why there is none.

    Raises:
        UserError: if rank 0 was given other settings.
    """
    values = json.loads(store().get(_KEY))
    if values["folder"] is None:
        return None
    if values["config_hash"] != config_hash:
        raise UserError(
            f"rank {rank()} was started with other settings than rank 0: give torchrun the same "
            f"command on every machine"
        )
    return Path(values["folder"])
