"""``history.csv``: one row per epoch."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sed_cli.system.files import replacing
from sed_cli.system.structured import read_history_text, why

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Results of an epoch; validation is free running, and frame-wise for a detector."""

    epoch: int  # from 1
    update: int  # optimiser steps so far
    p_teacher: float  # at the end of the epoch
    train_loss: float
    validation_loss: float
    validation_f1: float
    validation_er: float
    learning_rate: float
    seconds: float
    more: Mapping[str, float] = field(default_factory=dict)  # additional columns of the task

    @property
    def row(self) -> dict[str, float]:
        """All columns of ``history.csv``."""
        return {name: getattr(self, name) for name in _COLUMNS} | dict(self.more)


_COUNTS = ("epoch", "update")
_COLUMNS = [each.name for each in fields(Epoch) if each.name != "more"]


class History:
    """All epochs of a run, in a file that is complete at any time.

    Args:
        path: of the file.
        n_epochs: of the resumed checkpoint; further rows in the file are dropped.
        rows: of those epochs in the checkpoint; None: not in the checkpoint, so the file is
            read.
    """

    def __init__(
        self, path: Path, n_epochs: int = 0, rows: Sequence[Mapping[str, float]] | None = None
    ) -> None:
        self.path = path
        self.epochs = []
        if n_epochs and rows is not None:
            self.epochs = [_epoch(row) for row in rows]
        elif n_epochs:
            self.epochs = _read(path, n_epochs)
        if self.epochs:
            self.write()

    def append(self, epoch: Epoch) -> None:
        """Add an epoch and rewrite the file."""
        self.epochs.append(epoch)
        self.write()

    def write(self) -> None:
        """Rewrite the file; the training state also has the rows, and survives a power cut."""
        with (
            replacing(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(self.epochs[-1].row))
            writer.writeheader()
            writer.writerows(self.rows)

    @property
    def rows(self) -> list[dict[str, float]]:
        """All columns of all epochs."""
        return [epoch.row for epoch in self.epochs]


def _read(path: Path, n_epochs: int) -> list[Epoch]:
    """Read the first epochs; if any is missing, keep the damaged file and warn."""
    epochs: list[Epoch] = []
    fault = f"it ends before epoch {n_epochs}"
    try:
        for row in csv.DictReader(io.StringIO(read_history_text(path), newline=""), strict=True):
            epoch = _parse(row)
            if epoch.epoch != len(epochs) + 1:
                fault = f"epoch {epoch.epoch} follows epoch {len(epochs)}"
                break
            epochs.append(epoch)
            if len(epochs) == n_epochs:
                return epochs
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        fault = why(error)
    kept = path.with_name(f"{path.name}.damaged")
    if path.exists():
        path.replace(kept)
    log.warning(
        "%s is damaged (%s): of %d epochs the rows of %d are lost, and the learning curves start "
        "without them; the weights are not affected%s",
        path,
        fault,
        n_epochs,
        n_epochs - len(epochs),
        f"; its content is in {kept}" if kept.exists() else "",
    )
    return epochs


def _parse(row: Mapping[str | Any, Any]) -> Epoch:
    if None in row or None in row.values():
        raise ValueError(f"a row of {len(row)} columns that does not fit the header")
    return _epoch({k: int(v) if k in _COUNTS else float(v) for k, v in row.items()})


def _epoch(row: Mapping[str, float]) -> Epoch:
    values = dict(row)
    own = {name: values.pop(name) for name in _COLUMNS}
    return Epoch(**own, more=values)  # type: ignore[arg-type]
