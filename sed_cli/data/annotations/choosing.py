"""Identification of table columns by their values, if names are ambiguous."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sed_cli.data.annotations.headers import SYNONYMS, Header
from sed_cli.data.annotations.nothing import is_nothing
from sed_cli.data.annotations.numbers import is_clock, is_number
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text, split_lines
from sed_cli.data.annotations.units import UNITS_S, plain_name, unit_of, without_unit
from sed_cli.data.endings import AUDIO_ENDINGS
from sed_cli.errors import DataError

# A column named label is used whatever its values are. Spellings of the species are equivalent, and
# a call type belongs to a species; between any others only the values can decide.
_SURE_LABELS = frozenset(SYNONYMS["event_label"].split()[:9])
_SPECIES = frozenset(SYNONYMS["event_label"].split()[11:18])
_PARTS = frozenset(("call_type", "type"))

# In Raven's tables: columns of words that are not labels.
_NO_LABELS = frozenset(
    ("view", "begin_path", "begin_file", "end_file", "end_path", "begin_clock_time", "channel")
) | frozenset(("end_clock_time", "begin_date", "date", "time", "begin_date_time", "notated_path"))
_SNIFFED = 1000  # rows used to identify columns
_ROUNDED = 0.02  # of minutes or hours written with few digits
# Next to these, hours and minutes are times of day.
_CALENDAR = {"date", "day", "hour", "datetime", "recording_date", "date_recorded"}
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ].*)?"
    r"|.*\d ?[AaPp]\.?[Mm]\.?",
)


def choose_columns(text: Text, header: Header, options: ReadOptions) -> Header:
    """Decide between columns with ambiguous names by their values.

    Raises:
        DataError: if they are ambiguous too; with the setting that decides.
    """
    columns = _values(text, header)
    header = replace(header, index=dict(header.index), units=dict(header.units), others={})
    _drop_times_of_day(text.path, header, columns, options)
    _refuse_times_in_parts(text.path, header, columns)
    if "event_label" not in options.columns:
        _choose_label(text.path, header, columns)
    if "filename" not in header.index and "filename" not in options.columns:
        _find_names(text.path, header, columns)
    _refuse_namesakes(text.path, header, columns)
    header = replace(header, has_no_words=not _may_hold_labels(header, columns))
    for ours, i in header.index.items():
        if ours != "event_label":
            rivals = [j for j in header.candidates.get(ours, []) if j not in header.index.values()]
            header.others[ours] = [j for j in rivals if columns[j] and columns[j] != columns[i]]
    return header


def _may_hold_labels(header: Header, columns: list[list[str]]) -> bool:
    """Whether a column without another role contains several words, or the same one in all rows."""
    others = [
        values
        for i, values in enumerate(columns)
        if i not in header.index.values() and plain_name(header.names[i]) not in _NO_LABELS
    ]
    return any(values and not all(map(is_number, values)) for values in others)


def _refuse_namesakes(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Reject two columns of one name with different values."""
    for i in header.index.values():
        same = [j for j, name in enumerate(header.names) if name == header.names[i]]
        if any(columns[j] != columns[i] for j in same):
            raise DataError(
                f"{path}: {len(same)} columns are named {header.names[i]!r} and have different "
                f"values: rename or delete all but one"
            )


def _values(text: Text, header: Header) -> list[list[str]]:
    """Values of each column in the first rows, without placeholders."""
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
    """Reject dates or times of day as onsets or offsets."""
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
                f"{path}: the column {name!r} ({value!r}) contains times of day or dates: "
                f"expected times from the start of each recording; name their column: "
                f"data.columns.{ours}=NAME (if {name} counts from the start of the recording, set "
                f"data.time_unit=s)"
            )
        else:
            del header.index[ours]


def _refuse_times_in_parts(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Reject times with minutes and seconds in different columns."""
    for ours, i in header.index.items():
        short = without_unit(header.names[i])[0]
        for j in header.candidates.get(ours, []):
            name, unit = without_unit(header.names[j])
            if j == i or name != short or unit not in ("min", "h"):
                continue
            pairs = zip(columns[i], columns[j], strict=False)
            if not all(_is_same_time(seconds, other, UNITS_S[unit]) for seconds, other in pairs):
                raise DataError(
                    f"{path}: the columns {header.names[i]} and {header.names[j]} contain parts "
                    f"of a time, or different times: join them, such as minutes:seconds, or name "
                    f"the right one: data.columns.{ours}=NAME"
                )


def _is_same_time(seconds: str, other: str, unit_s: float) -> bool:
    try:
        time_s, other_s = (float(time.replace(",", ".")) for time in (seconds, other))
    except ValueError:
        return True  # reported at its place
    return abs(time_s - other_s * unit_s) <= _ROUNDED * unit_s


def _choose_label(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Choose the column of labels: by its name if that is certain, else by its values.

    The order of preference: columns with values before empty ones, words before numbers, several
    values before a single one, then the order of the names. Contradicting columns are an error.
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
    """Reject contradicting columns of labels."""
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
            f"{path}: labels may be in any of {1 + len(rivals)} columns ({shown}); choose one: "
            f"data.columns.event_label=NAME"
        )


def _tell_the_same(one: list[str], other: list[str]) -> bool:
    pairs = set(zip(one, other, strict=False))
    return len(one) == len(other) and len(pairs) == len(set(one)) == len(set(other))


def _find_names(path: Path, header: Header, columns: list[list[str]]) -> None:
    """Use the only column with names of audio files for the recordings."""
    endings = tuple(AUDIO_ENDINGS)
    found = [
        i
        for i, values in enumerate(columns)
        if i not in header.index.values()
        and plain_name(header.names[i]) != "begin_path"  # Raven's, from another machine
        and values
        and all(value.lower().endswith(endings) for value in values)
    ]
    if len(found) > 1:
        raise DataError(
            f"{path}: the names of the recordings may be in any of "
            f"{', '.join(header.names[i] for i in found)}; choose one: "
            f"data.columns.filename=NAME"
        )
    if found:
        header.index["filename"] = found[0]
