"""The base of annotation formats."""

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

    # Order of detection: formats with unambiguous content come first. Those of plugins are tried
    # before all of ours, since a generic format would accept their files.
    ORDER: ClassVar[int] = 0
    ending: ClassVar[str]  # of written files, or else of read ones
    more_endings: ClassVar[tuple[str, ...]] = ()  # of read files
    names_files: ClassVar[bool]  # whether a file names its recordings; else it has one
    has_lines: ClassVar[bool] = True  # of a harmless length
    IS_WRITTEN: ClassVar[bool] = True

    name: str = setting()

    @abstractmethod
    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Whether a file is of this format, by its content, or else its ending."""

    @abstractmethod
    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Read a matching file, with all its faults."""

    @abstractmethod
    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Annotations as text.

        Args:
            events: of each recording.
            durations_s: of the recordings, as far as known.

        Raises:
            DataError: for anything that the format cannot represent.
        """

    def dump_findings(self, found: Mapping[str, Findings]) -> str:
        """Detections as text, with confidences if the format has them.

        Raises:
            DataError: for anything that the format cannot represent.
        """
        durations_s = {name: one.duration_s for name, one in found.items()}
        return self.dump({name: one.events for name, one in found.items()}, durations_s)


@dataclass
class ReadOnlyFormat(AnnotationFormat):
    """A read-only format of other programs."""

    names_files: ClassVar[bool] = True
    IS_WRITTEN: ClassVar[bool] = False

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Refuse to write.

        Raises:
            DataError: always.
        """
        raise DataError(f"format {self.name!r} is read-only")
