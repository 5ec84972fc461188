"""Annotations of events: readers and writers of all formats."""

from sed_cli.data.annotations.events import (
    Annotations,
    Detection,
    Event,
    Fault,
    Findings,
    Row,
    Taken,
    check_faults,
)
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.reading import (
    FORMATS,
    WRITTEN,
    dump_annotations,
    dump_findings,
    read_annotations,
    write_annotations,
)
from sed_cli.data.annotations.units import likely_unit

__all__ = [
    "FORMATS",
    "WRITTEN",
    "AnnotationFormat",
    "Annotations",
    "Detection",
    "Event",
    "Fault",
    "Findings",
    "Row",
    "Taken",
    "check_faults",
    "dump_annotations",
    "dump_findings",
    "likely_unit",
    "read_annotations",
    "write_annotations",
]
