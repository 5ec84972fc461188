"""Tables with a header: DESED's, and any CSV whose columns can be told by their names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sed_cli.data.annotations.events import Annotations, Event
from sed_cli.data.annotations.rows import ReadOptions, RowCollector, join_touching, times_of
from sed_cli.data.annotations.text import Text, decimal_comma, is_number, split_lines
from sed_cli.errors import DataError

COLUMNS = ("filename", "onset", "offset", "event_label")

# What else columns are called, the surest name first, in the spelling of plain_name.
SYNONYMS: dict[str, str] = {
    "filename": (
        "filename file fname file_name audio_filename audiofilename audio_file audio_file_name "
        "begin_file in_file sound_file soundfile wav_file wav wav_name recording recording_id "
        "recording_name audio_id audio_name slice_file_name clip clip_name clip_id filepath "
        "file_path audio_filepath audio_path path audio segment_id video_id uri"
    ),
    "onset": (
        "onset start start_time begin begin_time onset_time event_onset event_start starttime "
        "time_start t_start t_min tmin t0 from time timestamp"
    ),
    "offset": (
        "offset end end_time stop stop_time offset_time event_offset event_end endtime time_end "
        "t_end t_max tmax t1 to finish"
    ),
    "duration": "duration event_duration dur length",
    "event_label": (
        "event_label label event_class sound_event sound_class class_label class_name class "
        "category annotation species common_name scientific_name species_name species_code "
        "species_ebird_code species_id call_type event_type event type tag tag_1 text"
    ),
    "soft_label": "soft_label softlabel soft_labels",
}

_DELIMITERS = ("\t", ",", ";", None)  # None: any run of white space
_SNIFFED = 1000  # rows that tell how a file writes its numbers
_UNIT = re.compile(r"(?P<name>.*?)[\s_.]*[\s_(\[](?P<unit>[a-zµ]+)[)\]]?")
_UNITS_S = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
}
_NO_TIMES = ("sample", "samples", "frame", "frames", "idx", "index")


@dataclass(frozen=True)
class Header:
    """The header of a table: where its columns are.

    ``index`` and ``units_s`` hold for each of our names the column and, for times, the seconds in
    its unit.
    """

    line: int
    delimiter: str | None
    names: list[str]
    index: dict[str, int]
    units_s: dict[str, float]


def find_header(text: Text, columns: Mapping[str, str]) -> Header | None:
    """The header of a table, or ``None`` where the first line that is no comment is none."""
    for number, line in enumerate(text.lines, start=1):
        if not line.strip():
            continue
        found = [_parse_header(number, line, delimiter, columns) for delimiter in _DELIMITERS]
        best = max(found, key=lambda header: len(header.index))
        is_comment = line.startswith("#")
        if is_comment and {"onset", "event_label"} <= best.index.keys():
            return best
        if not is_comment:
            return best if len(best.index) > 1 or (best.index and columns) else None
    return None


def _parse_header(
    number: int, line: str, delimiter: str | None, columns: Mapping[str, str]
) -> Header:
    names = next(split_lines([line.removeprefix("#")], delimiter, quotes=True), (0, []))[1]
    index: dict[str, int] = {}
    units_s: dict[str, float] = {}
    if not any(is_number(name) for name in names):
        plain = [plain_name(name) for name in names]
        folded = [name.casefold() for name in names]
        for ours, theirs in columns.items():
            if theirs in names:
                index[ours] = names.index(theirs)
            elif theirs.casefold() in folded:
                index[ours] = folded.index(theirs.casefold())
        free = [i for i in range(len(names)) if i not in index.values()]
        for ours, synonyms in SYNONYMS.items():
            for synonym in synonyms.split():
                hits = [i for i in free if plain[i][0] == synonym]
                if hits and ours not in columns:
                    index[ours] = hits[0]
                    break
        if delimiter is None and len(index) < len(names):
            index = {}  # a sentence
        units_s = {ours: plain[i][1] for ours, i in index.items()}
    return Header(number, delimiter, names, index, units_s)


def plain_name(name: str) -> tuple[str, float]:
    """A column's name without its unit, in lower case and with underscores; the unit in seconds."""
    name, unit_s = name.casefold(), 1.0
    match = _UNIT.fullmatch(name)
    if match and match["unit"] in _UNITS_S:
        name, unit_s = match["name"], _UNITS_S[match["unit"]]
    return re.sub(r"[\W_]+", "_", name).strip("_"), unit_s


def check_header(path: Path, header: Header, options: ReadOptions) -> None:
    """Refuse a header without the columns that events need.

    Raises:
        DataError: what is missing, and how to name it.
    """
    got = f"{path}: the header has {', '.join(filter(None, header.names))}"
    for ours, theirs in options.columns.items():
        if ours not in header.index:
            raise DataError(f"{got}, but no {theirs!r} as data.columns.{ours} says")
    missing = [ours for ours in ("onset", "event_label") if ours not in header.index]
    has_no_times = missing == ["onset"] and "filename" in header.index
    if missing and not (has_no_times and options.whole_clips):
        whole = "; if labels hold for whole recordings, set data.whole_clips=true" * has_no_times
        raise DataError(
            f"{got}, but no {' and no '.join(missing)}; say which column it is: "
            f"{' '.join(f'data.columns.{ours}=NAME' for ours in missing)}{whole}"
        )
    for ours in ("onset", "offset", "duration"):
        name = header.names[header.index[ours]] if ours in header.index else ""
        if re.split(r"[\W_]+", name.casefold().rstrip(")] "))[-1] in _NO_TIMES:
            raise DataError(
                f"{path}: the {ours} column is {name!r}: expected times in seconds or "
                f"milliseconds; convert it with the sample rate"
            )


def fits_csv(text: Text, options: ReadOptions) -> bool:
    """Whether the text is a table with a header."""
    return find_header(text, options.columns) is not None


def fits_desed(text: Text, options: ReadOptions) -> bool:
    """Whether the header is that of DESED."""
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
    check_header(text.path, header, options)
    collector = collector_for(text, options, header)
    # An absent column is the empty field that table_rows puts last.
    place = {ours: header.index.get(ours, -1) for ours in SYNONYMS}
    end = place["offset"] if "offset" in header.index else place["duration"]
    filename, onset, label, soft = (
        place[ours] for ours in ("filename", "onset", "event_label", "soft_label")
    )
    names_files = "filename" in header.index
    stem = text.path.stem
    for number, fields in table_rows(text, header, collector):
        name = fields[filename] if names_files else stem
        if fields[soft] and not collector.is_active(number, name, fields[soft]):
            continue
        if onset < 0 and fields[label]:
            collector.add_whole(number, name, fields[label])
        else:
            collector.add(number, name, fields[onset], fields[end], fields[label])
    if "soft_label" in header.index:
        collector.rows = join_touching(collector.rows)
    return collector.finish(format, names_files=names_files)


def collector_for(text: Text, options: ReadOptions, header: Header) -> RowCollector:
    """A collector for the rows of a table with this header."""
    end = "offset" if "offset" in header.index else "duration"
    times = [header.index[ours] for ours in ("onset", end) if ours in header.index]
    sniffed = split_lines(
        text.lines[header.line : header.line + _SNIFFED], header.delimiter, quotes=True
    )
    return RowCollector(
        text,
        options,
        lasting=end == "duration" and "duration" in header.index,
        decimal_comma=decimal_comma(
            fields[i] for _, fields in sniffed for i in times if i < len(fields)
        ),
        units_s=(header.units_s.get("onset", 1.0), header.units_s.get(end, 1.0)),
    )


def table_rows(
    text: Text, header: Header, collector: RowCollector, *, quotes: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each row below the header, and one empty field after them."""
    n_fields = len(header.names)
    below = text.lines[header.line :]
    rows = split_lines(below, header.delimiter, first=header.line + 1, quotes=quotes)
    for number, fields in rows:
        if header.delimiter is None:
            fields[n_fields - 1 :] = filter(None, [" ".join(fields[n_fields - 1 :])])
        surplus = len(fields) - n_fields
        if surplus > 0 and any(fields[n_fields:]):
            advice = "; a label with a comma needs quotation marks" * (header.delimiter == ",")
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


def dump_table(events: Mapping[str, Iterable[Event]], delimiter: str) -> str:
    """The table of DESED, with any delimiter; a recording without events has a row of its own."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    for filename, of_file in events.items():
        of_file = list(of_file)
        writer.writerows((filename, *times_of(event), event.label) for event in of_file)
        if not of_file:
            writer.writerow((filename, "", "", ""))
    return buffer.getvalue()
