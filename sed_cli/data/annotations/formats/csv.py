"""Tables with a header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Event, Findings
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.tables import (
    dump_found_table,
    dump_table,
    fits_csv,
    read_table,
)
from sed_cli.data.annotations.text import Text


@component("format", "csv")
class Csv(AnnotationFormat):
    """Any table with a header: comma, semicolon or tab."""

    ORDER: ClassVar[int] = 4
    ending: ClassVar[str] = ".csv"
    names_files: ClassVar[bool] = True

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its header."""
        return fits_csv(text, options)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Rows by the names of the columns."""
        return read_table(text, options, self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """A header and one row per event."""
        return dump_table(events, delimiter=",")

    def dump_findings(self, found: Mapping[str, Findings]) -> str:
        """A header and one row per event, with its confidence."""
        return dump_found_table(found, delimiter=",")
