"""``history.csv``: a row an epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from sed_cli.records import history_rows


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch; validation figures are free running, of a detector by frame."""

    epoch: int  # from 1
    update: int  # optimiser steps so far
    p_teacher: float  # at the end of the epoch
    train_loss: float
    validation_loss: float
    validation_f1: float
    validation_er: float
    learning_rate: float
    seconds: float
    more: Mapping[str, float] = field(default_factory=dict)  # columns of the task's own

    @property
    def row(self) -> dict[str, float]:
        """All columns of ``history.csv``."""
        return {name: getattr(self, name) for name in _COLUMNS} | dict(self.more)


_COLUMNS = [each.name for each in fields(Epoch) if each.name != "more"]


class History:
    """All epochs of a run, kept in a file that is whole at any moment.

    Args:
        path: of the file; what it holds already is read.
        n_epochs: keep no more than so many epochs of what is there (those of the checkpoint that
            is resumed).
    """

    def __init__(self, path: Path, n_epochs: int = 0) -> None:
        self.path = path
        self.epochs = [_parse(row) for row in history_rows(path)[:n_epochs]] if n_epochs else []

    def append(self, epoch: Epoch) -> None:
        """Add an epoch and rewrite the file."""
        self.epochs.append(epoch)
        temporary = self.path.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(epoch.row))
            writer.writeheader()
            writer.writerows(e.row for e in self.epochs)
        temporary.replace(self.path)


def _parse(row: dict[str, str]) -> Epoch:
    counts = {"epoch", "update"}
    values = {k: int(v) if k in counts else float(v) for k, v in row.items()}
    own = {name: values.pop(name) for name in _COLUMNS}
    return Epoch(**own, more=values)  # type: ignore[arg-type]
