"""What a format of annotations is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from sed_cli.config.settings import setting
from sed_cli.data.annotations.events import Annotations, Event, Findings
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError


@dataclass
class AnnotationFormat(ABC):
    """A format of annotations; all are written with times to the microsecond."""

    KIND: ClassVar[str] = "format"

    # The place in which it is tried: what is surely told from its content comes first. Those of
    # plugins are tried before all of ours, or what takes any list would take theirs.
    ORDER: ClassVar[int] = 0
    ending: ClassVar[str]  # of files that are written, or else of those that are read
    more_endings: ClassVar[tuple[str, ...]] = ()  # of files that are read
    names_files: ClassVar[bool]  # whether a file names its recordings; else it holds one
    has_lines: ClassVar[bool] = True  # of a length that is no sign of damage
    IS_WRITTEN: ClassVar[bool] = True

    name: str = setting()

    @abstractmethod
    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Whether a file is of this format, by its content, or else its ending."""

    @abstractmethod
    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Read a file that fits, with all its faults."""

    @abstractmethod
    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Annotations as text.

        Args:
            events: of each recording.
            durations_s: of the recordings, as far as they are known.

        Raises:
            DataError: for what the format cannot hold.
        """

    def dump_findings(self, found: Mapping[str, Findings]) -> str:
        """What was found in recordings as text: with confidences where the format holds them.

        Raises:
            DataError: for what the format cannot hold.
        """
        durations_s = {name: one.duration_s for name, one in found.items()}
        return self.dump({name: one.events for name, one in found.items()}, durations_s)


@dataclass
class ReadOnlyFormat(AnnotationFormat):
    """A format of other programs' that nothing is written in."""

    names_files: ClassVar[bool] = True
    IS_WRITTEN: ClassVar[bool] = False

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Refuse to write it.

        Raises:
            DataError: always.
        """
        raise DataError(f"format {self.name!r} is read and not written")
