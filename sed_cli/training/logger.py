"""The base of loggers, which record each epoch."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from sed_cli.system.extras import missing
from sed_cli.training.history import Epoch


class LoggedRun(NamedTuple):
    """Information for loggers before the first epoch.

    Args:
        folder: of the run.
        config: its settings, as plain values.
        n_epochs: number of earlier epochs of a resumed run.
        rows: columns of these in its checkpoint; ``None``: not in the checkpoint.
    """

    folder: Path
    config: Mapping[str, Any]
    n_epochs: int
    rows: Sequence[Mapping[str, float]] | None


@dataclass
class Logger(ABC):
    """A logger, in the writing process; it is named in ``trainer.loggers``."""

    KIND: ClassVar[str] = "logger"

    # The package that it imports, and the extra of sedtf that installs it.
    PACKAGE: ClassVar[str] = ""
    EXTRA: ClassVar[str] = ""

    @classmethod
    def faults(cls) -> list[str]:
        """Why it does not work here, such as a missing package."""
        return missing("the logger", cls.PACKAGE, cls.EXTRA) if cls.PACKAGE else []

    @property
    def has_failed(self) -> bool:
        """Whether an exception ends the training, for :meth:`close`."""
        return sys.exc_info()[0] is not None

    @abstractmethod
    def start(self, run: LoggedRun) -> None:
        """Start, or continue the log of an earlier part of the run."""

    @abstractmethod
    def log(self, epoch: Epoch) -> None:
        """Log an epoch; its columns are ``epoch.row``."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Close, whether or not training has succeeded."""
