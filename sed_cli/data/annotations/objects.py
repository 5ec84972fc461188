"""Events in JSON of any origin: objects with a start, an end and a label, at any level.

They are converted to a table, so that keys, units and faults are handled as in tables.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.headers import SYNONYMS
from sed_cli.data.annotations.numbers import is_time
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.tables import is_audio, read_table
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import plain_name, without_unit, words_of
from sed_cli.errors import DataError

_FILE = "filename"
_SURE_FILES = ("filename", "file_name", "fname", "audio_filename", "audio_file", "file")
_NAMES = {ours: frozenset(theirs.split()) for ours, theirs in SYNONYMS.items()}
_ENDS = _NAMES["offset"] | _NAMES["duration"]
# Names of lists of events, recognised if empty.
_LISTS = frozenset(
    ("annotation", "annotations", "event", "events", "segments", "labels", "detections", "onset")
) | frozenset(("regions", "results", "selections", "predictions", "sound_events", "calls", "units"))
_SHOWN = 3

Object = Mapping[str, Any]


@dataclass(frozen=True)
class _Placed:
    """An event with the keys that lead to it; ``*`` replaces keys of single items."""

    place: tuple[str, ...]
    values: dict[str, Any]


def read_objects(text: Text, options: ReadOptions, content: Any, format: str) -> Annotations:
    """Read events anywhere in a JSON document.

    Raises:
        DataError: if there are none.
    """
    found = [_Placed(place, row) for place, one in _search(content, (), "") for row in _rows(one)]
    if not found and _is_empty(content):
        return read_records(text, options, [], format)
    if not found:
        raise DataError(
            f"{text.path}: JSON without objects that have a start, an end and a label, such as "
            f'{{"start": 1.0, "end": 1.5, "label": "call"}}'
        )
    places: dict[tuple[str, ...], list[_Placed]] = defaultdict(list)
    for each in found:
        places[each.place].append(each)
    others: list[str] = []
    if len(places) > 1:
        labelled = [place for place, of_place in places.items() if any(map(_has_label, of_place))]
        if not labelled:
            found = [_labelled(each, each.place[-1]) for each in found if each.place]
        else:
            # Lists of other names are skipped, such as sentences beside words.
            made = _make(places[labelled[0]])
            kept = {place for place in labelled if _make(places[place]) == made}
            found = [each for each in found if each.place in kept]
            others = [".".join(place) for place in places if place not in kept]
    read = read_records(text, options, [each.values for each in found], format)
    if not others:
        return read
    note = f"other lists of events in the file, skipped ({', '.join(others[:_SHOWN])})"
    taken = replace(read.taken, notes=(*read.taken.notes, f"{note}: {len(others)}"))
    return replace(read, taken=taken)


def read_records(
    text: Text, options: ReadOptions, records: Sequence[Object], format: str
) -> Annotations:
    """Read events with keys like column names of tables; values are text or numbers."""
    if not records:
        return RowCollector(text, options).finish(format, names_files=False)
    keys = list(dict.fromkeys(key for record in records for key in record))
    if keys == [_FILE]:  # only recordings without events
        keys += ["onset", "offset", "event_label"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([_cell(record.get(key)) for key in keys] for record in records)
    table = Text(text.path, buffer.getvalue(), text.faults)
    # JSON has a decimal point; for quoted times the notation is inferred.
    is_text = any(isinstance(value, str) and "," in value for r in records for value in r.values())
    mark = options.decimal_mark if is_text else options.decimal_mark or "."
    read = read_table(table, replace(options, decimal_mark=mark), format)
    return replace(
        read,
        taken=read.taken if is_text else replace(read.taken, numbers=""),
        rows=tuple(row._replace(line=None) for row in read.rows),
        faults=tuple(
            fault
            if fault.line is None or fault in text.faults
            else replace(fault, line=None, message=f"event {fault.line - 1}: {fault.message}")
            for fault in read.faults
        ),
    )


def _is_empty(content: Any) -> bool:
    """Whether a document has an empty list of events."""
    if isinstance(content, dict):
        return any(value == [] and key.lower() in _LISTS for key, value in content.items())
    return bool(content == [])


def file_of(values: Object) -> str:
    """Return the audio file named by an object, by a known key or by the name's ending."""
    texts = {key: one for key, one in values.items() if isinstance(one, str) and one.strip()}
    for name in SYNONYMS[_FILE].split():
        for key, value in texts.items():
            if plain_name(key) == name and (name in _SURE_FILES or is_audio(value)):
                return value
    return next((value for value in texts.values() if is_audio(value)), "")


def _search(value: Any, place: tuple[str, ...], file: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield objects that are events, with the recording named by enclosing objects."""
    if isinstance(value, dict):
        nested = [file_of(inner) for inner in value.values() if isinstance(inner, dict)]
        file = file_of(value) or (nested[0] if len(nested) == 1 and nested[0] else file)
        for one in _transposed(value):
            yield place, _of_file(one, file)
        items = [(key, inner) for key, inner in value.items()]
        are_alike = sum(isinstance(inner, dict) and _is_event(inner) for _, inner in items) > 0
    elif isinstance(value, list):
        items, are_alike = [("*", inner) for inner in value], True
    else:
        return
    for key, inner in items:
        own = key if is_audio(key) else file
        step = place if key == "*" else (*place, "*" if are_alike or is_audio(key) else key)
        if is_audio(key) and inner in ([], {}):
            yield step, {_FILE: key}
        elif isinstance(inner, dict) and _is_event(inner) and are_alike:
            within = [] if _labels(inner) else list(_search_in(inner, step, own))
            if within:
                yield from within
            else:
                yield step, _of_file(inner, own)
        else:
            yield from _search(inner, step, own)


def _search_in(
    value: Object, place: tuple[str, ...], file: str
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the events that an object without a label consists of."""
    file = file_of(value) or file
    for key, inner in value.items():
        if isinstance(inner, list):
            yield from _search(inner, (*place, key), file)


def _of_file(one: Object, file: str) -> Object:
    return one if file_of(one) or not file else {_FILE: file, **one}


def _transposed(value: Object) -> Iterator[dict[str, Any]]:
    """Yield events from one list per key of equal length, such as WhisperSeg's."""
    columns = {key: one for key, one in value.items() if isinstance(one, list) and one}
    if not {"onset"} <= _roles(columns) or not _roles(columns) & {"end"}:
        return
    length = len(next(one for key, one in columns.items() if _is_role(key, "onset")))
    columns = {key: one for key, one in columns.items() if len(one) == length}
    if any(isinstance(one, (dict, list)) for column in columns.values() for one in column):
        return
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _is_event(value: Object) -> bool:
    flat = dict(_leaves(value))
    times = {key for key, one in flat.items() if _is_time(one)}
    roles = _roles(times)
    return "onset" in roles and ("end" in roles or bool(_labels(value)))


def _is_time(value: Any) -> bool:
    if isinstance(value, str):
        return is_time(value.strip())
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _roles(keys: Iterable[str]) -> set[str]:
    return {role for key in keys for role in ("onset", "end") if _is_role(key, role)}


def _is_role(key: str, role: str) -> bool:
    known = _ENDS if role == "end" else _NAMES[role]
    return bool(known & {plain_name(key), "_".join(words_of(key)), without_unit(key)[0]})


def _labels(value: Object) -> list[str]:
    """Labels of an event, under any possible key."""
    flat = {plain_name(key): one for key, one in _leaves(value)}
    for name in SYNONYMS["event_label"].split():
        if flat.get(name) not in (None, "", []):
            labels = flat[name]
            return [str(one) for one in labels] if isinstance(labels, list) else [str(labels)]
    return []


def _leaves(value: Object) -> Iterator[tuple[str, Any]]:
    """Yield keys and plain values, also of nested objects, and short lists of plain values."""
    for key, one in value.items():
        if isinstance(one, dict):
            inner = [(deeper, leaf) for deeper, leaf in one.items() if not isinstance(leaf, dict)]
            named = next((one[k] for k in ("name", "label", "value", "id") if k in one), None)
            if isinstance(named, (str, int)) and key not in one:
                yield key, named
            yield from inner
        elif not isinstance(one, list) or all(not isinstance(part, (dict, list)) for part in one):
            yield key, one


def _rows(value: Object) -> Iterator[dict[str, Any]]:
    """Yield one event per label; upper levels take precedence over nested ones."""
    flat: dict[str, Any] = {}
    for key, one in sorted(_leaves(value), key=lambda leaf: leaf[0] not in value):
        flat.setdefault(key, one)
    lists = {key: one for key, one in flat.items() if isinstance(one, list)}
    plain = {key: one for key, one in flat.items() if key not in lists}
    label = next((k for k in lists if plain_name(k) in _NAMES["event_label"] and lists[k]), None)
    for one in lists[label] if label is not None else [None]:
        yield {**plain, **({} if label is None else {label: one})}


def _make(found: Sequence[_Placed]) -> tuple[str, str]:
    """The keys of onset and label in events."""
    keys = list(found[0].values)
    onset = next((key for key in keys if _is_role(key, "onset")), "")
    plain = {plain_name(key): key for key in keys}
    label = next((name for name in SYNONYMS["event_label"].split() if name in plain), "")
    return onset, label


def _has_label(found: _Placed) -> bool:
    return bool(_labels(found.values))


def _labelled(found: _Placed, label: str) -> _Placed:
    return replace(found, values={**found.values, "event_label": label})


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    # A line break or tab becomes a blank: no name or label needs one.
    return " ".join(str(value).split())
