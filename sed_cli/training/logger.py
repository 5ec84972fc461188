"""What a logger is: something that is told of each epoch."""

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
    """What loggers are told of before the first epoch.

    Args:
        folder: of the run.
        config: its settings, as plain values.
        n_epochs: how many there have been, of a run that is resumed.
        rows: columns of these, as its checkpoint keeps them; ``None``: it does not.
    """

    folder: Path
    config: Mapping[str, Any]
    n_epochs: int
    rows: Sequence[Mapping[str, float]] | None


@dataclass
class Logger(ABC):
    """A logger, in the process that writes for all; it is named in ``trainer.loggers``."""

    KIND: ClassVar[str] = "logger"

    # What it needs by the name that it is imported by, and the extra of sedtf that brings it.
    PACKAGE: ClassVar[str] = ""
    EXTRA: ClassVar[str] = ""

    @classmethod
    def faults(cls) -> list[str]:
        """What keeps it from working here, such as a package that is not installed."""
        return missing("the logger", cls.PACKAGE, cls.EXTRA) if cls.PACKAGE else []

    @property
    def has_failed(self) -> bool:
        """Whether it is an exception that ends the training, for :meth:`close` to note."""
        return sys.exc_info()[0] is not None

    @abstractmethod
    def start(self, run: LoggedRun) -> None:
        """Begin, or continue what an earlier part of the run has logged."""

    @abstractmethod
    def log(self, epoch: Epoch) -> None:
        """Take an epoch; its columns are ``epoch.row``."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """End, whether or not training has succeeded."""
