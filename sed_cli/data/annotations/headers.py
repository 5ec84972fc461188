"""Headers of tables: which column is which, by its name and, where that leaves a doubt, values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from sed_cli.data.annotations.events import Taken
from sed_cli.data.annotations.nothing import is_nothing
from sed_cli.data.annotations.numbers import is_clock, is_number, is_time
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text, split_lines
from sed_cli.data.annotations.units import (
    SAMPLES,
    is_no_time,
    plain_name,
    unit_of,
    without_unit,
    words_of,
)
from sed_cli.data.endings import AUDIO_ENDINGS
from sed_cli.errors import DataError

# What else columns are called, the surest name first, in the spelling of plain_name.
SYNONYMS: dict[str, str] = {
    "filename": (
        "filename file fname file_name audio_filename audiofilename audio_file audio_file_name "
        "begin_file in_file sound_file soundfile wav_file wav wav_name recording recording_id "
        "recording_name audio_id audio_name slice_file_name clip clip_name clip_id filepath "
        "file_path audio_filepath notated_path audio_path path audio segment_id video_id uri"
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
        "manual_id category annotation species common_name scientific_name species_name "
        "species_code species_ebird_code species_id event call_type event_type type tag tag_1 text"
    ),
    "soft_label": "soft_label softlabel soft_labels",
}
_TIMES = ("onset", "offset", "duration")

# A label's own name is taken whatever its values are. Spellings of the species mean the same, and a
# call type is that of a species; between any others only the values can decide.
_SURE_LABELS = frozenset(SYNONYMS["event_label"].split()[:9])
_SPECIES = frozenset(SYNONYMS["event_label"].split()[11:18])
_PARTS = frozenset(("call_type", "type"))

_DELIMITERS = ("\t", ",", ";", None)  # None: any run of white space
_SNIFFED = 1000  # rows that tell which column is which
_MOST_COLUMNS = 10_000
_MOST_COMMENTS = 1000  # lines above a header
_PREFERRED = (None, "s", "ms", "us", "min", "h", SAMPLES)
# Beside these, hours and minutes are those of a day.
_CALENDAR = {"date", "day", "hour", "datetime", "recording_date", "date_recorded"}
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ].*)?"
    r"|.*\d ?[AaPp]\.?[Mm]\.?",
)


@dataclass(frozen=True)
class Header:
    """The header of a table: where its columns are.

    ``index`` and ``units`` hold for each of our names the column and, for times, the unit that its
    name says; ``candidates`` all columns that our name may mean, the surest first.
    """

    line: int
    delimiter: str | None
    names: list[str]
    index: dict[str, int] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    candidates: dict[str, list[int]] = field(default_factory=dict)
    others: dict[str, list[int]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Names of the columns, for messages."""
        named = [name if len(name) <= 40 else f"{name[:40]}..." for name in self.names if name]
        more = f" and {len(named) - 20} more" if len(named) > 20 else ""
        return ", ".join(named[:20]) + more

    def taken(self, time_unit: str) -> Taken:
        """What the columns are taken for, to be printed."""
        return Taken(
            columns=tuple((ours, self.names[i]) for ours, i in self.index.items()),
            time_unit=time_unit,
            others=tuple(
                (ours, tuple(self.names[i] for i in columns))
                for ours, columns in self.others.items()
                if columns
            ),
        )


def find_header(text: Text, columns: Mapping[str, str]) -> Header | None:
    """The header of a table, or ``None`` where the first line that is no comment is none."""
    key = tuple(sorted(columns.items()))
    if key not in text.found:
        text.found[key] = _find_header(text, columns)
    header: Header | None = text.found[key]
    return header


def _find_header(text: Text, columns: Mapping[str, str]) -> Header | None:
    n_comments = 0
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
        n_comments += 1
        if n_comments > _MOST_COMMENTS:
            return None
    return None


def _parse_header(
    number: int, line: str, delimiter: str | None, columns: Mapping[str, str]
) -> Header:
    names = next(split_lines([line.removeprefix("#")], delimiter, quotes=True), (0, []))[1]
    header = Header(number, delimiter, names)
    if len(names) > _MOST_COLUMNS or any(is_number(name) for name in names):
        return header
    index = header.index
    folded = [name.casefold() for name in names]
    for ours, theirs in columns.items():
        if theirs in names:
            index[ours] = names.index(theirs)
        elif theirs.casefold() in folded:
            index[ours] = folded.index(theirs.casefold())
    named = set(index.values())
    where = _columns_by_name(names)
    for ours, synonyms in SYNONYMS.items():
        if ours in columns:
            continue
        known = [i for synonym in synonyms.split() for i in where.get(synonym, ())]
        header.candidates[ours] = [i for i in dict.fromkeys(known) if i not in named]
        if header.candidates[ours]:
            index[ours] = header.candidates[ours][0]
    if delimiter is None and len(index) < len(names):
        index.clear()  # a sentence
    _start_at_offset(header, columns)
    header.units.update(
        {ours: unit_of(names[i], names) for ours, i in index.items() if ours in _TIMES}
    )
    return header


def _columns_by_name(names: list[str]) -> dict[str, list[int]]:
    """Columns by their plain names, with and without a unit; those in seconds first."""
    where: dict[str, list[int]] = {}
    units: list[str | None] = []
    for i, name in enumerate(names):
        short, unit = without_unit(name)
        units.append(unit)
        for plain in {plain_name(name), "_".join(words_of(name)), short}:
            where.setdefault(plain, []).append(i)
    for columns in where.values():
        columns.sort(key=lambda i: _PREFERRED.index(units[i]))
    return where


def _start_at_offset(header: Header, columns: Mapping[str, str]) -> None:
    """Kaleidoscope's and NeMo's OFFSET is where an event starts; a TIME is that of the day."""
    index = header.index
    if not ({"offset", "duration", "filename"} <= index.keys()) or {"onset", "offset"} & set(
        columns
    ):
        return
    plain = {ours: plain_name(header.names[i]) for ours, i in index.items()}
    if (
        plain["offset"] == "offset"
        and plain["filename"] in ("in_file", "audio_filepath")
        and plain.get("onset", "time") in ("time", "timestamp")
    ):
        index["onset"] = index.pop("offset")
        header.candidates["onset"] = [index["onset"]]
        header.candidates["offset"] = []


# ------------------------------------------------------------------------------ by values


def choose_columns(text: Text, header: Header, options: ReadOptions) -> Header:
    """Decide by their values between columns whose names leave a doubt.

    Raises:
        DataError: where they do not decide either; with the setting that does.
    """
    columns = _values(text, header)
    header = replace(header, index=dict(header.index), others={})
    _drop_times_of_day(text.path, header, columns, options)
    if "event_label" not in options.columns:
        _choose_label(text.path, header, columns)
    if "filename" not in header.index and "filename" not in options.columns:
        _find_names(text.path, header, columns)
    return header


def _values(text: Text, header: Header) -> list[list[str]]:
    """Values of each column in the first rows; placeholders are left out."""
    below = text.lines[header.line : header.line + _SNIFFED]
    columns: list[list[str]] = [[] for _ in header.names]
    for _, fields in split_lines(below, header.delimiter, quotes=True):
        for values, value in zip(columns, fields, strict=False):
            if not is_nothing(value):
                values.append(value)
    return columns


def _drop_times_of_day(
    path: Path, header: Header, columns: list[list[str]], options: ReadOptions
) -> None:
    """Take no column of dates or times of day for onsets or offsets."""
    in_calendar = any(plain_name(name) in _CALENDAR for name in header.names)

    def is_of_day(i: int) -> bool:
        first = columns[i][:1]
        clock = in_calendar and options.time_unit is None and all(map(is_clock, first))
        return bool(first) and (clock or _DATE.fullmatch(first[0][:100]) is not None)

    for ours in ("onset", "offset"):
        if ours not in header.index or not is_of_day(header.index[ours]):
            continue
        name, value = header.names[header.index[ours]], columns[header.index[ours]][0]
        fitting = [i for i in header.candidates.get(ours, []) if not is_of_day(i)]
        if fitting:
            header.index[ours] = fitting[0]
            header.units[ours] = unit_of(header.names[fitting[0]], header.names)
        elif ours == "onset" or ours in options.columns:
            raise DataError(
                f"{path}: the column {name!r} ({value!r}) holds times of day or dates: expected "
                f"times from the start of each recording; name the column that has them: "
                f"data.columns.{ours}=NAME (if {name} counts from the start of the recording, set "
                f"data.time_unit=s)"
            )
        else:
            del header.index[ours]


def _choose_label(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Choose the column of labels: by its name if that is sure, else by its values.

    The rule: what has values goes before what has none, words before numbers, several values before
    a single one, and then the order of the names. Several that tell different things are asked for.
    """
    candidates = header.candidates.get("event_label", [])
    if not candidates:
        return
    fitting = candidates
    fitting = [i for i in fitting if columns[i]] or fitting
    fitting = [i for i in fitting if not all(map(is_number, columns[i]))] or fitting
    if plain_name(header.names[fitting[0]]) not in _SURE_LABELS:
        fitting = [i for i in fitting if len(set(columns[i])) > 1] or fitting
        _ask_for_label(path, header, columns, fitting)
    header.index["event_label"] = fitting[0]
    header.others["event_label"] = [i for i in candidates if i != fitting[0] and columns[i]]


def _ask_for_label(
    path: Path, header: Header, columns: list[list[str]], fitting: list[int]
) -> None:
    """Refuse columns of labels that tell different things."""
    first = fitting[0]
    names = {i: plain_name(header.names[i]) for i in fitting}
    rivals = [
        i
        for i in fitting[1:]
        if names[i] not in _PARTS
        and not (names[i] in _SPECIES and names[first] in _SPECIES)
        and len(set(columns[i])) > 1
        and not _tell_the_same(columns[first], columns[i])
    ]
    if rivals and len(set(columns[first])) > 1:
        shown = "; ".join(
            f"{header.names[i]}: {', '.join(sorted(set(columns[i]))[:3])[:80]}"
            for i in (first, *rivals[:3])
        )
        raise DataError(
            f"{path}: labels may be in any of {1 + len(rivals)} columns ({shown}); say in which: "
            f"data.columns.event_label=NAME"
        )


def _tell_the_same(one: list[str], other: list[str]) -> bool:
    pairs = set(zip(one, other, strict=False))
    return len(one) == len(other) and len(pairs) == len(set(one)) == len(set(other))


def _find_names(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Take the one column that holds names of audio files for that of the recordings."""
    endings = tuple(AUDIO_ENDINGS)
    found = [
        i
        for i, values in enumerate(columns)
        if i not in header.index.values()
        and plain_name(header.names[i]) != "begin_path"  # Raven's, of another machine
        and values
        and all(value.lower().endswith(endings) for value in values)
    ]
    if len(found) > 1:
        raise DataError(
            f"{path}: the names of the recordings may be in any of "
            f"{', '.join(header.names[i] for i in found)}; say in which: "
            f"data.columns.filename=NAME"
        )
    if found:
        header.index["filename"] = found[0]


# -------------------------------------------------------------------------------- checks


def check_header(path: Path, header: Header, options: ReadOptions, *, whole: bool = True) -> None:
    """Refuse a header without the columns that events need, or with times in no known unit.

    Args:
        path: of the file.
        header: of the file.
        options: the caller's.
        whole: whether the format may hold labels of whole recordings.

    Raises:
        DataError: what is missing, and how to name it.
    """
    got = f"{path}: the header has {header.shown}"
    for ours, theirs in options.columns.items():
        if ours not in header.index:
            raise DataError(f"{got}, but no {theirs!r} as data.columns.{ours} says")
    missing = [ours for ours in ("onset", "event_label") if ours not in header.index]
    has_no_times = whole and missing == ["onset"] and "filename" in header.index
    if missing and not (has_no_times and options.whole_clips):
        advice = "; if labels hold for whole recordings, set data.whole_clips=true" * has_no_times
        raise DataError(
            f"{got}, but no {' and no '.join(missing)}; say which column it is: "
            f"{' '.join(f'data.columns.{ours}=NAME' for ours in missing)}{advice}"
        )
    for ours in _TIMES:
        if ours in header.index and options.time_unit is None:
            _check_unit(path, ours, header.names[header.index[ours]], header.units[ours])


def _check_unit(path: Path, ours: str, name: str, unit: str | None) -> None:
    """Refuse a column whose name says that its times are in none of the units."""
    what = f"{path}: the {ours} column is {name!r}"
    if unit == SAMPLES:
        raise DataError(f"{what}: for times in samples set data.time_unit={SAMPLES}")
    if unit is None and is_no_time(name):
        raise DataError(
            f"{what}, whose unit cannot be told: expected such as seconds; convert it, or say its "
            f"unit: data.time_unit=s, ms, min, h or {SAMPLES}"
        )


def rows_below(
    text: Text, header: Header, *, quotes: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line below the header."""
    below = islice(text.lines, header.line, None)
    return split_lines(list(below), header.delimiter, first=header.line + 1, quotes=quotes)


def times_below(text: Text, header: Header, columns: list[int]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each time in some columns."""
    for number, fields in rows_below(text, header):
        for i in columns:
            if i < len(fields) and is_time(fields[i]):
                yield number, fields[i]
