"""A given class syntax: a table or a mapping of transition weights."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed_cli.config.faults import is_usable
from sed_cli.data.soundscapes.text import read_setting
from sed_cli.errors import DataError
from sed_cli.system.structured import read_json, why
from sed_cli.system.text import cut_short

_EXPECTED = (
    "expected a mapping such as {a: {a: 0.1, b: 0.9}, b: {a: 1}}, or a table with the next "
    "classes in its header and the current class at the start of each row"
)

_MOST_CLASSES = 1000
_SHOWN = 8  # in a message

_Weights = Mapping[str, Mapping[str, float]]


def read_transition(given: Any, classes: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Return rows and columns in the order of ``classes``; each row sums to 1.

    Args:
        given: weights of transitions, such as counts: a mapping of each class to the classes that
            follow it (missing ones never follow), or the path of a file: JSON with such a mapping
            or with ``classes`` and ``transition`` (a recipe), the ``data.json`` of ``sedtf data``
            (the transitions of an existing data set), or a table with tabs, semicolons or commas.
        classes: the classes of the soundscapes; each needs a row.

    Raises:
        DataError: with all its faults.
    """
    name = "data.transition"
    if isinstance(given, str):
        name = f"data.transition={given}"
        given = _read_file(Path(given).expanduser(), name)
    if not isinstance(given, Mapping) or not all(isinstance(r, Mapping) for r in given.values()):
        raise DataError(f"{name}: {_EXPECTED}")
    weights = {str(a): {str(b): w for b, w in row.items()} for a, row in given.items()}
    if faults := _faults(weights, classes):
        raise DataError(f"{name}: {'; '.join(faults)}")
    totals = {label: sum(weights[label].values()) for label in classes}
    return tuple(
        tuple(weights[before].get(after, 0.0) / totals[before] for after in classes)
        for before in classes
    )


def _faults(weights: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> list[str]:
    named = {*weights, *(label for row in weights.values() for label in row)}
    faults = []
    if unknown := sorted(named - set(classes)):
        known = cut_short(classes, _SHOWN)
        faults.append(f"{cut_short(unknown, _SHOWN)}: not among the classes {known}")
    if missing := [label for label in classes if label not in weights]:
        faults.append(f"it has no transitions from {cut_short(missing, _SHOWN)}")
    for before, row in weights.items():
        wrong = [f"{after} {weight!r}" for after, weight in row.items() if not _is_weight(weight)]
        if wrong:
            faults.append(
                f"after {before}: {cut_short(wrong, _SHOWN)}; expected numbers of at least 0"
            )
        elif sum(row.values()) <= 0:
            faults.append(f"nothing follows {before}: at least one weight must be above 0")
    return faults


def _is_weight(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and is_usable(value) and value >= 0


def _read_file(path: Path, name: str) -> Any:
    text = read_setting(path, name)
    if not text.lstrip().startswith("{"):
        return _from_table(text, name)
    try:
        given = read_json(path)
    except ValueError as error:
        raise DataError(f"{name}: not readable as JSON ({why(error)})") from error
    with contextlib.suppress(KeyError, TypeError):  # else it is not from sedtf data
        counts = given["overall"]["syntax"]["transitions"]
        return _from_rows(given["classes"], given["classes"], counts, name)
    given = given.get("syntax", given)
    if isinstance(given, Mapping) and {"classes", "transition"} <= given.keys():
        return _from_rows(given["classes"], given["classes"], given["transition"], name)
    return given


def _from_table(text: str, name: str) -> _Weights:
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((mark for mark in "\t;," if mark in first), "\t")
    if first.count(delimiter) > _MOST_CLASSES:
        raise DataError(f"{name}: more than {_MOST_CLASSES:,} classes; {_EXPECTED}")
    try:
        rows = [
            [field.strip() for field in row]
            for row in csv.reader(text.splitlines(), delimiter=delimiter)
            if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise DataError(f"{name}: {error}; {_EXPECTED}") from error
    if len(rows) < 2:
        raise DataError(f"{name}: {_EXPECTED}")
    try:
        values = [[float(field or 0) for field in row[1:]] for row in rows[1:]]
    except ValueError as error:
        raise DataError(f"{name}: {error}; {_EXPECTED}") from error
    return _from_rows([row[0] for row in rows[1:]], rows[0][1:], values, name)


def _from_rows(before: Any, after: Any, rows: Any, name: str) -> _Weights:
    lists = (before, after, rows, *(rows if isinstance(rows, list) else ()))
    if not all(isinstance(part, list) for part in lists):
        raise DataError(f"{name}: {_EXPECTED}")
    if len(rows) != len(before) or any(len(row) != len(after) for row in rows):
        raise DataError(
            f"{name}: rows of {sorted({len(row) for row in rows})} numbers under {len(after)} "
            f"classes; {_EXPECTED}"
        )
    if len(set(before)) < len(before) or len(set(after)) < len(after):
        raise DataError(f"{name}: a class is listed twice; {_EXPECTED}")
    return {a: dict(zip(after, row, strict=True)) for a, row in zip(before, rows, strict=True)}
