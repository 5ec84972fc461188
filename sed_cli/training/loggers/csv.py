"""``history.csv``."""

from __future__ import annotations

from sed_cli.config.registry import component
from sed_cli.training.history import Epoch, History
from sed_cli.training.logger import LoggedRun, Logger


@component("logger", "csv")
class HistoryLogger(Logger):
    """One row per epoch in ``history.csv``, which status, compare and resume read."""

    def start(self, run: LoggedRun) -> None:
        """Take over existing rows."""
        self.history = History(run.folder / "history.csv", run.n_epochs, run.rows)

    def log(self, epoch: Epoch) -> None:
        """Add a row."""
        self.history.append(epoch)
