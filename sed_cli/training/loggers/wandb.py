"""Weights & Biases."""

from __future__ import annotations

import os
from typing import ClassVar

from sed_cli.config.identity import flattened
from sed_cli.config.registry import component
from sed_cli.system.files import write_text
from sed_cli.system.structured import read_limited
from sed_cli.training.history import Epoch
from sed_cli.training.logger import LoggedRun, Logger


@component("logger", "wandb")
class WeightsAndBiases(Logger):
    """All columns and settings, in ./wandb for ``wandb sync``; WANDB_MODE=online sends them.

    Nothing leaves the machine unless WANDB_MODE says so. WANDB_PROJECT, WANDB_DIR and its other
    variables work as usual. The files are not in the run folder: they include links into the home
    folder, and a run folder with such links cannot be resumed.
    """

    PACKAGE: ClassVar[str] = "wandb"
    EXTRA: ClassVar[str] = "wandb"

    def start(self, run: LoggedRun) -> None:
        """Start a run, or continue that of this folder; a copied folder resends its history."""
        import wandb

        place = run.folder / "wandb_run_id"
        known = read_limited(place, 1024).decode() if run.n_epochs and place.is_file() else None
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "sedtf"),
            name=run.folder.name,
            id=known,
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=flattened(run.config),
            settings=wandb.Settings(console="off"),  # standard output is for results
        )
        write_text(place, self._run.id)
        for row in run.rows or [] if known is None else []:
            self._run.log(dict(row), step=int(row["epoch"]))

    def log(self, epoch: Epoch) -> None:
        """Add one point per column."""
        self._run.log(epoch.row, step=epoch.epoch)

    def close(self) -> None:
        """Flush, and record whether training has failed."""
        self._run.finish(exit_code=int(self.has_failed))
