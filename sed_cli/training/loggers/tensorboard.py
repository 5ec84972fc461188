"""TensorBoard."""

from __future__ import annotations

import threading

from sed_cli.config.registry import component
from sed_cli.training.history import Epoch
from sed_cli.training.logger import LoggedRun, Logger


@component("logger", "tensorboard")
class TensorBoard(Logger):
    """All columns as scalars in the folder ``tensorboard``."""

    def start(self, run: LoggedRun) -> None:
        """Start an event file; points after the resumed epoch are hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._report = threading.excepthook
        threading.excepthook = self._leave_to_caller
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.n_epochs + 1)

    def log(self, epoch: Epoch) -> None:
        """Add one point per column."""
        for name, value in epoch.row.items():
            self._board.add_scalar(name, value, epoch.epoch)

    def close(self) -> None:
        """Write what is not written yet."""
        try:
            self._board.close()
        finally:
            threading.excepthook = self._report

    def _leave_to_caller(self, failed: threading.ExceptHookArgs) -> None:
        """Report nothing of the thread that writes: it raises its error at the next call, too."""
        if type(failed.thread).__name__ != "_AsyncWriterThread":
            self._report(failed)
