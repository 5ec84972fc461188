"""Annotations of events: the tab-separated table of DESED."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sed_cli.errors import DataError

COLUMNS = ("filename", "onset", "offset", "event_label")
_SHOWN_FAULTS = 10


class Event(NamedTuple):
    """A sound event: annotated or detected."""

    onset_s: float
    offset_s: float
    label: str


def read_annotations(path: Path) -> dict[str, list[Event]]:
    """Read a table ``filename onset offset event_label``, tab separated, times in seconds.

    A file without events is a row with the three other fields empty.

    Args:
        path: of the table.

    Returns:
        Events of each file, in order of onset; files in the order of the table.

    Raises:
        DataError: if the table is missing or has faults; all of them, with their lines.
    """
    table = _read_table(path)
    faults: list[str] = []
    events: dict[str, list[Event]] = {}
    for line, row in enumerate(table.itertuples(index=False), start=2):
        filename, *fields = (str(value).strip() for value in row)
        if not filename:
            faults.append(f"line {line}: no file name")
            continue
        of_file = events.setdefault(filename, [])
        if not any(fields):
            continue
        fault, event = _parse_event(*fields)
        if event is None:
            faults.append(f"line {line}: {fault}")
        elif event in of_file:
            faults.append(f"line {line}: the same event stands there twice")
        else:
            of_file.append(event)
    if not events and not faults:
        faults.append("no rows")
    if faults:
        more = f" and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise DataError(f"{path}: " + "; ".join(faults[:_SHOWN_FAULTS]) + more)
    return {name: sorted(of_file) for name, of_file in events.items()}


def write_annotations(path: Path, events: Mapping[str, Iterable[Event]]) -> None:
    """Write the table that :func:`read_annotations` reads; times to the microsecond."""
    rows: list[tuple[str, str, str, str]] = []
    for filename, of_file in events.items():
        of_file = list(of_file)
        rows += [(filename, f"{e.onset_s:.6f}", f"{e.offset_s:.6f}", e.label) for e in of_file]
        if not of_file:
            rows.append((filename, "", "", ""))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.to_csv(path, sep="\t", index=False, quoting=csv.QUOTE_NONE, escapechar="\\")


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file")
    try:
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8-sig",
            skip_blank_lines=False,
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not in UTF-8 ({error}); save it as UTF-8") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a tab-separated table ({reason})") from error
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise DataError(
            f"{path}: the header has {', '.join(table.columns)}, but no {', '.join(missing)}; "
            f"expected tab-separated columns {' '.join(COLUMNS)}"
        )
    blank = (table == "").all(axis=1)
    return table.loc[: (~blank)[::-1].idxmax() if (~blank).any() else 0, list(COLUMNS)].fillna("")


def _parse_event(onset: str, offset: str, label: str) -> tuple[str, Event | None]:
    if not (onset and offset and label):
        return f"onset {onset!r}, offset {offset!r}, label {label!r}: one is empty", None
    try:
        onset_s, offset_s = float(onset), float(offset)
    except ValueError:
        return f"onset {onset!r} or offset {offset!r} is no number of seconds", None
    if not (0 <= onset_s < math.inf and math.isfinite(offset_s)):
        return f"onset {onset}, offset {offset}: expected finite times of at least 0 s", None
    if offset_s <= onset_s:
        return f"offset {offset} is not after onset {onset}", None
    return "", Event(onset_s, offset_s, label)
