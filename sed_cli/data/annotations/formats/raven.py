"""Raven's selection tables, also BirdNET's: tab separated, one row per selection and view.

``Begin Time (s)`` counts from the start of all files that were open together, ``File Offset (s)``
from that of ``Begin File``. In Raven, quotation marks are ordinary characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.choosing import choose_columns
from sed_cli.data.annotations.events import Annotations, Event, Findings
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.headers import check_header, find_header
from sed_cli.data.annotations.numbers import END_DIGITS
from sed_cli.data.annotations.rows import ReadOptions, RowCollector, times_of
from sed_cli.data.annotations.tables import collector_for, confidence_of, recording_of, table_rows
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import without_unit
from sed_cli.errors import DataError

_HEADER = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"),
    *("Low Freq (Hz)", "High Freq (Hz)", "Begin File", "File Offset (s)", "Annotation"),
)
_SAME_DIGITS = 2  # of seconds, tolerance for the start of a recording
_SAME_S = 0.02  # times have few digits
_PREDICTED = (*_HEADER[:-3], "Begin Path", *_HEADER[-3:], "Confidence")
# The band of an event is unknown: boxes span the band of every recording from 8 kHz on.
_LOW_HZ, _HIGH_HZ = "0.0", "4000.0"


@component("format", "raven")
class Raven(AnnotationFormat):
    """Raven's selection table, also BirdNET's."""

    ORDER: ClassVar[int] = 3
    ending: ClassVar[str] = ".selections.txt"
    names_files: ClassVar[bool] = True

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its content."""
        return _fits(text, options)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Return all events."""
        return _read(text, options, self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Write it as other programs expect."""
        return _dump(events)

    def dump_findings(self, found: Mapping[str, Findings]) -> str:
        """Write it with confidences, boxes of the features' band, and paths for Raven."""
        return _dump_findings(found)


def _fits(text: Text, options: ReadOptions) -> bool:
    """Whether the text is a table with Raven's names for selections and their times."""
    header = find_header(text, options.columns)
    if header is None or header.delimiter != "\t":
        return False
    names = {without_unit(name)[0] for name in header.names}
    return "begin_time" in names and bool(names & {"selection", "view"})


def _read(text: Text, options: ReadOptions, format: str) -> Annotations:
    """Read a selection table; a selection in several views counts once."""
    header = find_header(text, options.columns)
    if header is None:
        raise DataError(f"{text.path}: no header with columns such as {', '.join(_HEADER)}")
    header = choose_columns(text, header, options)
    check_header(text.path, header, options, whole=False)
    collector = collector_for(text, options, header)
    place = {without_unit(name)[0]: i for i, name in enumerate(header.names)}
    filename = header.index.get("filename", place.get("begin_path", -1))
    is_path = "filename" not in header.index  # on the machine where the table was created
    end = header.index.get("offset", header.index.get("duration", -1))
    onset, label = header.index["onset"], header.index.get("event_label", -1)
    file_offset, view = place.get("file_offset", -1), place.get("view", -1)
    stem = recording_of(text.path)
    rows = list(table_rows(text, header, collector, quotes=False))
    if is_path:
        for _, fields in rows:
            fields[filename] = PureWindowsPath(fields[filename]).name  # either slash
    named = {fields[filename] for _, fields in rows if filename >= 0 and fields[filename]}
    only = named.pop() if len(named) == 1 else ""
    starts = _starts(collector, [(f[filename], f[onset], f[file_offset]) for _, f in rows])
    views: dict[tuple[str, ...], str] = {}
    for number, fields in rows:
        # A selection added by hand to a table of one recording has no file name.
        name = (fields[filename] or only) if filename >= 0 else stem
        selection = (name, *(fields[i] for i in (place.get("selection", -1), onset, end, label)))
        if views.setdefault(selection, fields[view]) != fields[view]:
            continue
        times = fields[onset], fields[end]
        if file_offset >= 0:
            times = _in_file(collector, fields[file_offset], *times, starts.get(name))
        collector.add(number, name, *times, fields[label])
    if not collector.rows and not collector.faults:
        collector.empty(stem)
        filename = -1
    taken = header.taken(collector.time_unit)
    return collector.finish(format, names_files=filename >= 0, taken=taken)


def _starts(collector: RowCollector, rows: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    """Start of each recording among those that were open together, by the majority of its rows."""
    found: dict[str, Counter[float]] = {}
    for name, onset, file_offset in rows:
        try:
            start_s = collector.seconds(onset) - collector.seconds(file_offset)
        except ValueError:
            continue
        found.setdefault(name, Counter())[round(start_s, _SAME_DIGITS)] += 1
    # None starts before the first; on a tie it starts with the first.
    return {
        name: max(starts, key=lambda start_s: (start_s >= 0, starts[start_s], -start_s))
        for name, starts in found.items()
    }


def _in_file(
    collector: RowCollector, file_offset: str, onset: str, end: str, start_s: float | None
) -> tuple[str, str]:
    """Begin and end from the start of the file; unchanged if one is not a number.

    If another program has moved a selection, its file offset is outdated.
    """
    try:
        onset_s, file_onset_s = collector.seconds(onset), collector.seconds(file_offset or "0")
        end_s = None if collector.lasting else collector.seconds(end)
    except ValueError:
        return onset, end
    if start_s is None:
        start_s = 0.0 if not file_offset else onset_s - file_onset_s
    if not file_offset or abs(onset_s - start_s - file_onset_s) > _SAME_S:
        if file_offset:
            collector.note("moved selections: Begin Time takes precedence over File Offset")
        file_onset_s = round(onset_s - start_s, END_DIGITS)
        file_offset = repr(file_onset_s).replace(".", collector.mark)
    if end_s is None:
        return file_offset, end
    in_file_s = round(file_onset_s + end_s - onset_s, END_DIGITS)
    return file_offset, repr(in_file_s).replace(".", collector.mark)


def _dump(events: Mapping[str, Iterable[Event]]) -> str:
    """A selection table; it omits recordings without events."""
    lines = ["\t".join(_HEADER)]
    for name, of_file in events.items():
        for event in of_file:
            onset, offset = times_of(event)
            selection = (str(len(lines)), "Spectrogram 1", "1", onset, offset)
            lines.append("\t".join((*selection, _LOW_HZ, _HIGH_HZ, name, onset, event.label)))
    return "".join(line + "\n" for line in lines)


def _dump_findings(found: Mapping[str, Findings]) -> str:
    """A selection table of recordings that Raven opens in sequence."""
    lines = ["\t".join(_PREDICTED)]
    begin_s, path, length_s = 0.0, None, 0.0
    for name, one in found.items():
        if one.path != path:  # otherwise another channel of the same recording
            begin_s, path, length_s = begin_s + length_s, one.path, one.duration_s
        low, high = (_LOW_HZ, _HIGH_HZ) if one.band_hz is None else map(_hertz, one.band_hz)
        for each in one.detections:
            event = each.event
            on_line = Event(event.onset_s + begin_s, event.offset_s + begin_s, event.label)
            selection = (str(len(lines)), "Spectrogram 1", str(one.channel), *times_of(on_line))
            place = (_path_in_table(path), name, times_of(event)[0], event.label)
            lines.append("\t".join((*selection, low, high, *place, confidence_of(each.confidence))))
    return "".join(line + "\n" for line in lines)


def _path_in_table(path: Path | None) -> str:
    """A path; empty if it is not valid UTF-8, which tables need."""
    written = "" if path is None else str(path)
    return written if written.isprintable() else ""


def _hertz(frequency: float) -> str:
    return f"{frequency:.1f}"
