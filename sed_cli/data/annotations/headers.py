"""Headers of tables: the meaning of columns and the units of times, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sed_cli.data.annotations.bounds import LONGEST_LINE
from sed_cli.data.annotations.events import Taken
from sed_cli.data.annotations.numbers import is_number, is_time
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
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

# Other names of columns, the most certain first, in the spelling of plain_name.
SYNONYMS: dict[str, str] = {
    "filename": (
        "filename file fname file_name audio_filename audiofilename audio_file audio_file_name "
        "begin_file in_file sound_file soundfile wav_file wav wav_name recording recording_id "
        "recording_name audio_id audio_name slice_file_name clip clip_name clip_id filepath "
        "file_path audio_filepath notated_path audio_path path audio segment_id video_id uri"
    ),
    "onset": (
        "onset start start_time begin begin_time onset_time event_onset event_start starttime "
        "time_start t_start t_min tmin t0 from begintime xmin time timestamp"
    ),
    "offset": (
        "offset end end_time stop stop_time offset_time event_offset event_end endtime time_end "
        "t_end t_max tmax t1 to finish xmax"
    ),
    "duration": "duration event_duration dur length",
    "event_label": (
        "event_label label event_class sound_event sound_class class_label class_name class "
        "manual_id category annotation species common_name scientific_name species_name "
        "species_code species_ebird_code species_id event call_type event_type type tag tag_1 text "
        "event_labels labels cluster syllable primary_label ebird_code word transcript "
        "transcription"
    ),
    "soft_label": "soft_label softlabel soft_labels",
    "annotated_classes": "annotated_classes annotated_labels",
}
_TIMES = ("onset", "offset", "duration")

_DELIMITERS = ("\t", ",", ";", None)  # None: any run of white space
_MOST_COLUMNS = 10_000
_LONGEST_NAME = 1000  # characters of a column's name that are looked at
_MOST_COMMENTS = 1000  # lines above a header
_PREFERRED = (None, "s", "ms", "us", "min", "h", SAMPLES)


@dataclass(frozen=True)
class Header:
    """The header of a table: the positions of its columns.

    ``index`` and ``units`` map our names to the column and, for times, to the unit in its name;
    ``candidates`` maps them to all possible columns, the most certain first; ``has_no_words``: no
    other column contains possible labels.
    """

    line: int
    delimiter: str | None
    names: list[str]
    index: dict[str, int] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    candidates: dict[str, list[int]] = field(default_factory=dict)
    others: dict[str, list[int]] = field(default_factory=dict)
    has_no_words: bool = False

    @property
    def shown(self) -> str:
        """Names of the columns, for messages."""
        named = [name if len(name) <= 40 else f"{name[:40]}..." for name in self.names if name]
        return cut_short(named, 20)

    def taken(self, time_unit: str) -> Taken:
        """Interpretation of the columns, for printing."""
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
    """The header of a table, or ``None`` if its first line without a comment is none."""
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
        if len(line) > LONGEST_LINE:  # of a document
            return None
        found = [_parse_header(number, line, delimiter, columns) for delimiter in _DELIMITERS]
        best = max(found, key=lambda header: len(header.index))
        is_comment = line.startswith("#")
        is_table = best.delimiter is not None and {"onset", "offset"} <= best.index.keys()
        if is_comment and (is_table or {"onset", "event_label"} <= best.index.keys()):
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
    names = [name[:_LONGEST_NAME] for name in names]
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
    """Columns by plain name, with and without a unit; those in seconds first."""
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
    """Kaleidoscope's and NeMo's OFFSET is the start of an event; TIME is a time of day."""
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


# -------------------------------------------------------------------------------- checks


def check_header(path: Path, header: Header, options: ReadOptions, *, whole: bool = True) -> None:
    """Reject a header without the columns that events need, or with an unknown unit of time.

    Args:
        path: of the file.
        header: of the file.
        options: the caller's.
        whole: whether the format may contain labels of whole recordings.

    Raises:
        DataError: with the missing columns, and the setting that names them.
    """
    got = f"{path}: the header has {header.shown}"
    for ours, theirs in options.columns.items():
        if ours not in header.index:
            raise DataError(f"{got}, but no {theirs!r}, set by data.columns.{ours}")
    missing = [ours for ours in ("onset", "event_label") if ours not in header.index]
    is_unlabelled = options.unlabelled is not None or header.has_no_words
    if is_unlabelled and missing == ["event_label"] and {"offset", "duration"} & set(header.index):
        missing = []
    has_no_times = whole and missing == ["onset"] and "filename" in header.index
    if missing and not (has_no_times and options.whole_clips):
        unlabelled = "; if there is none, name the class of all events: data.unlabelled=NAME" * (
            missing == ["event_label"]
        )
        advice = "; if labels apply to whole recordings, set data.whole_clips=true" * has_no_times
        raise DataError(
            f"{got}, but no {' and no '.join(missing)}; name the column: "
            f"{' '.join(f'data.columns.{ours}=NAME' for ours in missing)}{advice}{unlabelled}"
        )
    for ours in _TIMES:
        if ours in header.index and options.time_unit is None:
            _check_unit(path, ours, header.names[header.index[ours]], header.units[ours])


def _check_unit(path: Path, ours: str, name: str, unit: str | None) -> None:
    """Reject a column of times whose name implies none of the units."""
    what = f"{path}: the {ours} column is {name!r}"
    if unit == SAMPLES:
        raise DataError(f"{what}: for times in samples set data.time_unit={SAMPLES}")
    if unit is None and is_no_time(name):
        raise DataError(
            f"{what}, whose unit is unknown: expected one such as seconds; convert it, or set "
            f"its unit: data.time_unit=s, ms, min, h or {SAMPLES}"
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
