"""Tables with a header: DESED's, and any CSV with recognisable column names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sed_cli.data.annotations.choosing import choose_columns
from sed_cli.data.annotations.events import Annotations, Event, Findings
from sed_cli.data.annotations.headers import (
    SYNONYMS,
    Header,
    check_header,
    find_header,
    rows_below,
    times_below,
)
from sed_cli.data.annotations.nothing import NOTHING
from sed_cli.data.annotations.numbers import find_numbers, is_time
from sed_cli.data.annotations.rows import ReadOptions, RowCollector, join_touching, times_of
from sed_cli.data.annotations.text import Text, several
from sed_cli.data.annotations.units import SAMPLES
from sed_cli.data.endings import AUDIO_ENDINGS
from sed_cli.errors import DataError

COLUMNS = ("filename", "onset", "offset", "event_label")
CONFIDENCE = "confidence"
_AUDIO_ENDINGS = tuple(AUDIO_ENDINGS)
# Appended to the recording's name by Raven and BirdNET.
_SUFFIX = re.compile(
    r"(\.table\.\d+)?(\.birdnet)?\.(selections?(\.table)?|results)$", re.IGNORECASE
)
_ADVICE = {
    ",": "; a label with a comma needs quotation marks",
    None: "; a name with blanks needs tabs between the fields",
}


def fits_csv(text: Text, options: ReadOptions) -> bool:
    """Whether the text is a table with a header."""
    return find_header(text, options.columns) is not None


def fits_desed(text: Text, options: ReadOptions) -> bool:
    """Whether the header is DESED's."""
    header = find_header(text, options.columns)
    return (
        header is not None
        and not options.columns
        and header.delimiter == "\t"
        and set(COLUMNS) <= set(header.names)
    )


def read_table(text: Text, options: ReadOptions, format: str) -> Annotations:
    """Read a table with a header."""
    header = find_header(text, options.columns)
    if header is None:
        raise DataError(
            f"{text.path}: no header with columns such as {' '.join(COLUMNS)} in its first line; "
            f"name other columns with data.columns"
        )
    header = choose_columns(text, header, options)
    check_header(text.path, header, options)
    collector = collector_for(text, options, header)
    # A missing column is the empty field that table_rows appends.
    place = {ours: header.index.get(ours, -1) for ours in SYNONYMS}
    end = place["offset"] if "offset" in header.index else place["duration"]
    filename, onset, label, soft, annotated = (
        place[ours]
        for ours in ("filename", "onset", "event_label", "soft_label", "annotated_classes")
    )
    names_files = "filename" in header.index
    stem = recording_of(text.path)
    for number, fields in table_rows(text, header, collector):
        name = fields[filename] if names_files else stem
        if fields[soft] in NOTHING:
            pass
        elif not collector.is_active(number, name, fields[soft]):
            continue
        if onset < 0 and fields[label]:
            collector.add_whole(number, name, fields[label])
        else:
            collector.add(number, name, fields[onset], fields[end], fields[label])
        if fields[annotated]:
            collector.annotated(number, several(fields[annotated]))
    if "soft_label" in header.index:
        collector.rows = join_touching(collector.rows)
    if names_files and not (collector.rows or collector.faults) and stem != text.path.stem:
        collector.empty(stem)  # BirdNET's, for a recording without detections
        names_files = False
    hint = (
        f"no column of file names was recognised among {header.shown}; if there is one, name it: "
        f"data.columns.filename=NAME"
    )
    return collector.finish(
        format,
        names_files=names_files,
        taken=header.taken(collector.time_unit),
        hint="" if names_files else hint,
    )


def recording_of(path: Path) -> str:
    """The recording's name for a table without file names."""
    return _SUFFIX.sub("", path.stem)


def collector_for(text: Text, options: ReadOptions, header: Header) -> RowCollector:
    """A collector for the rows of a table with this header."""
    end = "offset" if "offset" in header.index else "duration"
    columns = [header.index[ours] for ours in ("onset", end) if ours in header.index]
    units = header.units.get("onset"), header.units.get(end)
    unit = options.time_unit or units[0] or "s"
    numbers = find_numbers(
        times_below(text, header, columns),
        text.path,
        mark=options.decimal_mark,
        coarse=unit in ("ms", "us", SAMPLES),
        delimiter=header.delimiter,
    )
    lasting = end == "duration" and "duration" in header.index
    return RowCollector(text, options, lasting=lasting, numbers=numbers, units=units)


def table_rows(
    text: Text, header: Header, collector: RowCollector, *, quotes: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each row below the header, plus an empty field."""
    n_fields = len(header.names)
    for number, fields in rows_below(text, header, quotes=quotes):
        if header.delimiter is None and len(fields) > n_fields:
            fields = join_blanks(fields, n_fields, header.index.get("filename"))
        surplus = len(fields) - n_fields
        if surplus > 0 and any(fields[n_fields:]):
            advice = _ADVICE.get(header.delimiter, "")
            message = f"{len(fields)} fields, but the header has {n_fields}{advice}"
            collector.fault(number, message)
            continue
        if len(fields) == 1 < n_fields and fields[0].startswith("#"):
            continue  # a comment
        if surplus > 0:
            del fields[n_fields:]
        elif surplus < 0:
            fields += [""] * -surplus
        fields.append("")
        yield number, fields


def join_blanks(fields: list[str], n_fields: int, filename: int | None) -> list[str]:
    """Fields separated by blanks, with those of a recording's name or of the last column joined.

    If neither is certain, the surplus fields are kept.
    """
    surplus = len(fields) - n_fields
    if filename is not None:
        ends = [i for i in range(filename, filename + surplus + 1) if is_audio(fields[i])]
        if not ends and is_time(fields[n_fields - 1]):
            return fields  # a name may have shifted the times
        for _ in range(ends[0] - filename if ends else 0):
            fields[filename : filename + 2] = [" ".join(fields[filename : filename + 2])]
    return [*fields[: n_fields - 1], *filter(None, [" ".join(fields[n_fields - 1 :])])]


def is_audio(name: str) -> bool:
    """Whether a name ends like an audio file, or is only such an ending."""
    return name.lower().endswith(_AUDIO_ENDINGS)


def dump_table(events: Mapping[str, Iterable[Event]], delimiter: str) -> str:
    """The table of DESED, with any delimiter; a recording without events has one row."""
    rows = {
        name: [(*times_of(event), event.label) for event in of_file]
        for name, of_file in events.items()
    }
    return _table(COLUMNS, rows, delimiter)


def dump_found_table(found: Mapping[str, Findings], delimiter: str) -> str:
    """The same with another column, the confidence of each event."""
    rows = {
        name: [
            (*times_of(each.event), each.label, confidence_of(each.confidence))
            for each in one.detections
        ]
        for name, one in found.items()
    }
    return _table((*COLUMNS, CONFIDENCE), rows, delimiter)


def confidence_of(value: float) -> str:
    """A confidence in the notation of tables."""
    return f"{value:.4f}"


def _table(
    columns: Sequence[str], rows: Mapping[str, Sequence[tuple[str, ...]]], delimiter: str
) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    for filename, of_file in rows.items():
        writer.writerows((filename, *row) for row in of_file)
        if not of_file:
            writer.writerow((filename, *[""] * (len(columns) - 1)))
    return buffer.getvalue()
