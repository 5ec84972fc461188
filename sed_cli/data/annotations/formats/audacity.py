"""Audacity's label track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Event
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.lists import dump_audacity, fits_audacity, read_list
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text


@component("format", "audacity")
class Audacity(AnnotationFormat):
    """Audacity's label track: onset offset label, one recording."""

    ORDER: ClassVar[int] = 5
    ending: ClassVar[str] = ".txt"
    names_files: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its first line."""
        return fits_audacity(text, options)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One line per event."""
        return read_list(text, options, self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """One line per event."""
        return dump_audacity(events)
