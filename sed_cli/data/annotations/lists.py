"""Lists without a header: those of the TUT and MAESTRO data sets, and Audacity's label tracks.

The positions of numbers identify the columns:

- ``onset offset label``, one file a recording (URBAN-SED, TUT, Audacity);
- ``onset offset label value``, the value a soft label from 0 to 1 (MAESTRO Real);
- ``onset label`` (Audacity 1.2), and labels whose two times are equal: points in time;
- ``file onset offset label`` and ``file scene onset offset label``, with anything behind;
- ``label onset offset`` and ``file label onset offset``;
- ``onset value duration label``: regions of Sonic Visualiser; ``onset offset number label``;
- ``file`` or ``file scene``: a recording without events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sed_cli.data.annotations.events import Annotations, Event, Taken
from sed_cli.data.annotations.nothing import NOTHING, is_nothing
from sed_cli.data.annotations.numbers import Numbers, find_numbers, is_number, is_time
from sed_cli.data.annotations.rows import (
    SOFT_MAX,
    ReadOptions,
    RowCollector,
    join_touching,
    times_of,
)
from sed_cli.data.annotations.tables import is_audio, join_blanks
from sed_cli.data.annotations.text import Text, split_lines
from sed_cli.data.annotations.units import SAMPLES
from sed_cli.errors import DataError

_SNIFFED = 1000  # lines used to identify columns
_DELIMITERS = ("\t", ",", ";", None)
_MOST_FIELDS = 100  # fields of a line used to identify columns
_FULL = 0.95  # share of the values that soft labels of all classes in all segments would have
_MANY = 10  # segments, not all of which need all classes
_INACTIVE = 0.1  # soft labels of an inaudible class are below this


@dataclass(frozen=True)
class Columns:
    """Index of each column, from 0; ``None``: there is none."""

    delimiter: str | None  # None: any run of white space, and the label is the rest of the line
    n_fields: int
    filename: int | None
    onset: int
    offset: int | None
    label: int
    soft_label: int | None = None
    is_lasting: bool = False  # the offset is a duration


def fits_audacity(text: Text, options: ReadOptions) -> bool:
    """Whether the text is a label track: a list of one recording, with tabs, in a .txt file."""
    is_txt = text.path.suffix.lower() == ".txt"
    if not text.content.strip():
        return is_txt
    layout = _find_layout(text)
    if layout is None or layout.delimiter != "\t" or layout.filename is not None:
        return False
    return layout.soft_label is None and (
        is_txt or layout.offset is None or any(map(_is_frequency, text.lines))
    )


def fits_tut(text: Text, options: ReadOptions) -> bool:
    """Whether the text is a list without a header."""
    if not text.content.strip():
        return text.path.suffix.lower() == ".ann"
    return _find_layout(text) is not None


def read_list(text: Text, options: ReadOptions, format: str) -> Annotations:
    """Read a list without a header."""
    layout = _find_layout(text)
    if layout is None and text.content.strip():
        raise DataError(
            f"{text.path}: no line starts with onset and offset in seconds, or with a file name "
            f"followed by them, as in the {format} format"
        )
    if layout is None:
        return RowCollector(text, options).finish(format, names_files=False)
    numbers = find_numbers(
        _times(text, layout),
        text.path,
        mark=options.decimal_mark,
        coarse=options.time_unit in ("ms", SAMPLES),
        delimiter=layout.delimiter,
    )
    collector = RowCollector(
        text,
        options,
        lasting=layout.is_lasting,
        points=format == "audacity",
        numbers=numbers,
    )
    layout = _settle_values(text, layout, options, collector)
    n_rows = 0
    for number, fields in split_lines(_lines(text), layout.delimiter, quotes=_quotes(layout)):
        if not _is_comment(fields):
            n_rows += 1
            _add(collector, layout, number, fields, may_be_header=n_rows == 1)
    if layout.soft_label is not None:
        collector.rows = join_touching(collector.rows)
    return collector.finish(
        format, names_files=layout.filename is not None, taken=_taken(layout, collector.time_unit)
    )


def _taken(layout: Columns, time_unit: str) -> Taken:
    roles = ("filename", "onset", "offset", "label", "soft_label")
    places = ((role, getattr(layout, role)) for role in roles)
    named = ((role, i) for role, i in places if i is not None)
    columns = tuple(
        ("duration" if role == "offset" and layout.is_lasting else role, f"column {i + 1}")
        for role, i in named
    )
    return Taken(columns=columns, time_unit=time_unit)


def _settle_values(
    text: Text, layout: Columns, options: ReadOptions, collector: RowCollector
) -> Columns:
    """Decide whether numbers after the labels are soft labels; note if they are not.

    Programs such as BirdNET write confidences there.
    """
    if layout.soft_label is None:
        return layout
    rows = [
        (fields[layout.filename] if layout.filename is not None else "", *fields[layout.onset :])
        for _, fields in split_lines(_lines(text), layout.delimiter, quotes=_quotes(layout))
        if len(fields) == layout.n_fields
    ]
    is_soft = options.soft_labels
    if is_soft is None:
        is_soft = "birdnet" not in text.path.name.lower() and are_soft_labels(rows)
    if is_soft:
        return layout
    if options.soft_labels is None:
        values = [row[-1].replace(",", ".") for row in rows if is_number(row[-1])]
        n_low = sum(float(value) <= options.soft_threshold for value in values)
        collector.note(
            "values after the labels, read as confidences, with all events kept (if they are "
            "soft labels, set data.soft_labels=true)",
            len(values),
        )
        if n_low:
            collector.note(f"of these values at most {options.soft_threshold:g}", n_low)
    return replace(layout, soft_label=None)


def are_soft_labels(rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether values are soft labels: each segment of a gapless grid has several of them.

    Args:
        rows: of file, onset, offset, label and value, as text.

    Soft labels are near 0 for most classes; programs omit such confidences.
    """
    labels = {row[3] for row in rows}
    segments = Counter(row[:3] for row in rows)
    if len(segments) < 2 or len(labels) < 2:
        return False
    full = len({row[:4] for row in rows}) / (len(segments) * len(labels))
    dense = len(segments) >= _MANY and len(rows) >= 2 * len(segments)
    starts = {(file, onset) for file, onset, _ in segments}
    n_last = sum((file, offset) not in starts for file, _, offset in segments)
    gapless = n_last <= 1 + len({file for file, _, _ in segments})
    lengths = {round(_value(offset) - _value(onset), 3) for _, onset, offset in segments}
    low = min(_value(row[-1]) for row in rows)
    return (full >= _FULL or dense) and gapless and len(lengths) <= 2 and low < _INACTIVE


def _value(text: str) -> float:
    try:
        return Numbers().read(text.replace(",", "."))
    except ValueError:
        return math.inf


def _add(
    collector: RowCollector,
    layout: Columns,
    line: int,
    fields: list[str],
    *,
    may_be_header: bool,
) -> None:
    if layout.delimiter is None and len(fields) > layout.n_fields:
        fields = join_blanks(fields, layout.n_fields, layout.filename)
    surplus = len(fields) - layout.n_fields
    # With tabs, labels contain no separator, and tables of TUT may have extra fields.
    if surplus > 0 and not (layout.delimiter == "\t" and layout.filename is not None):
        advice = "; a name with blanks needs tabs between the fields" * (layout.delimiter is None)
        message = f"{len(fields)} fields, but most lines have {layout.n_fields}{advice}"
        return collector.fault(line, message)
    fields += [""] * (1 - surplus)
    name = collector.path.stem if layout.filename is None else fields[layout.filename]
    if layout.onset == 2 and is_audio(fields[1]) and not is_audio(name):
        both = f"{name!r} and {fields[1]!r}"
        return collector.fault(
            line, f"{both}: one file name in two fields? It needs quotation marks, or tabs"
        )
    if fields[layout.onset] in NOTHING and is_nothing(*fields[layout.onset :]):
        placeholder = fields[layout.onset]
        return collector.add(line, name, placeholder, placeholder, placeholder)
    if may_be_header and fields[layout.onset] and not any(map(is_time, fields)):
        names = ", ".join(filter(None, fields))
        return collector.fault(line, f"a header with {names}? Name the columns with data.columns")
    if layout.soft_label is not None and not collector.is_active(
        line, name, fields[layout.soft_label]
    ):
        return None
    offset = "" if layout.offset is None else fields[layout.offset]
    return collector.add(line, name, fields[layout.onset], offset, fields[layout.label])


def _find_layout(text: Text) -> Columns | None:
    """The layout of most of the first lines, by the delimiter that fits most of them."""
    lines = [line for line in text.lines[:_SNIFFED] if not _is_frequency(line)]
    best: Counter[Columns] = Counter()
    names: Counter[Columns] = Counter()
    for delimiter in _DELIMITERS:
        votes: Counter[Columns] = Counter()
        for _, fields in split_lines(lines, delimiter, quotes=delimiter in (",", ";")):
            layout = _layout(fields, delimiter)
            if layout is not None:
                votes[layout] += 1
            elif is_audio(fields[0]) and (len(fields) <= 2 or is_nothing(*fields[1:])):
                names[Columns(delimiter, 5, 0, 2, 3, 4)] += 1
        if votes.total() > best.total():  # ties: the first
            best = votes
    found = (best or names).most_common(1)  # bare names count only if nothing else does
    if found and found[0][0].is_lasting:
        return _without_value(lines, found[0][0])
    return found[0][0] if found else None


def _without_value(lines: Sequence[str], layout: Columns) -> Columns:
    """A number between onset and duration is Sonic Visualiser's value, unless all are offsets."""
    rows = [fields for _, fields in split_lines(lines, layout.delimiter, quotes=True)]
    pairs = [fields[:2] for fields in rows if len(fields) == layout.n_fields]
    if all(_value(onset) < _value(offset) for onset, offset in pairs):
        return replace(layout, offset=1, is_lasting=False)
    return layout


def _layout(fields: list[str], delimiter: str | None) -> Columns | None:
    n_fields = len(fields)
    if delimiter is None:
        fields = _with_whole_name(fields)
    times = [is_time(field) for field in fields[:_MOST_FIELDS]]
    for onset in (0, 1, 2):
        label = onset + 2
        expected = [*[False] * onset, True, True, False]
        if times[: label + 1] == expected and fields[label]:
            filename = 0 if onset else None
            if delimiter is None:
                if onset == 2 and not is_audio(fields[0]):
                    return None  # a scene, or the rest of a name?
                return Columns(None, label + 1, filename, onset, onset + 1, label)
            has_soft_label = n_fields == label + 2 and 0 <= _value(fields[-1]) <= SOFT_MAX
            soft_label = label + 1 if has_soft_label else None
            return Columns(delimiter, n_fields, filename, onset, onset + 1, label, soft_label)
    if delimiter is None:
        return None
    if times == [True, False] and fields[1]:
        return Columns(delimiter, 2, None, 0, None, 1)
    if times == [False, True, False] and fields[2]:
        return Columns(delimiter, 3, 0, 1, None, 2)
    if times in ([True, True], [True, True, True], [True, True, False]):
        return Columns(delimiter, 3, None, 0, 1, 2)  # a numeric label, or none
    if times == [True, True, True, False] and delimiter == ",":
        return Columns(delimiter, 4, None, 0, 2, 3, is_lasting=True)
    if times == [False, True, True, True]:
        return Columns(delimiter, 4, 0, 1, 2, 3)
    if times == [False, True, True] and not is_audio(fields[0]):
        return Columns(delimiter, 3, None, 1, 2, 0)
    if times == [False, False, True, True]:
        return Columns(delimiter, 4, 0, 2, 3, 1)
    return None


def _with_whole_name(fields: list[str]) -> list[str]:
    """Fields separated by blanks; words of a file name are joined if its ending shows it."""
    last = next((i for i, field in enumerate(fields[:_MOST_FIELDS]) if is_audio(field)), 0)
    return [" ".join(fields[: last + 1]), *fields[last + 1 :]]


def _is_comment(fields: list[str]) -> bool:
    return fields[0].startswith("#") and not (any(map(is_time, fields)) or is_audio(fields[0]))


def _is_frequency(line: str) -> bool:
    """Whether a line contains the frequencies of the label above it."""
    return line.startswith("\\\t")


def _lines(text: Text) -> list[str]:
    """The lines, with those of frequencies blanked."""
    return ["" if _is_frequency(line) else line for line in text.lines]


def _quotes(layout: Columns) -> bool:
    """For Audacity and TUT's tools, quotation marks between tabs are ordinary characters."""
    return layout.delimiter in (",", ";")


def _times(text: Text, layout: Columns) -> Iterator[tuple[int, str]]:
    """Line and text of each time."""
    columns = [layout.onset] if layout.offset is None else [layout.onset, layout.offset]
    for number, fields in split_lines(_lines(text), layout.delimiter, quotes=_quotes(layout)):
        for i in columns:
            if i < len(fields) and is_time(fields[i]):
                yield number, fields[i]


def dump_tut(events: Mapping[str, Iterable[Event]]) -> str:
    """The list of TUT with file names: ``file onset offset label``, tab separated."""
    lines: list[str] = []
    for filename, of_file in events.items():
        rows = ["\t".join((filename, *times_of(event), event.label)) for event in of_file]
        lines += rows or [filename]
    return "".join(line + "\n" for line in lines)


def dump_audacity(events: Mapping[str, Iterable[Event]]) -> str:
    """An Audacity label track; of one recording."""
    (of_file,) = events.values()
    return "".join("\t".join((*times_of(event), event.label)) + "\n" for event in of_file)
