"""Annotations of events: the tab-separated table of DESED."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

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
    faults: list[str] = []
    events: dict[str, list[Event]] = {}
    for line, row in _read_rows(path, faults):
        filename, *fields = row
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
    """Write the table that :func:`read_annotations` reads; times to the microsecond.

    Raises:
        DataError: if a file name or label holds a tab or a line break.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for filename, of_file in events.items():
        of_file = list(of_file)
        rows += [(filename, *_times(event), event.label) for event in of_file]
        if not of_file:
            rows.append((filename, "", "", ""))
    for filename, *_, label in rows:
        for text in (filename, label):
            if any(character in text for character in "\t\n\r"):
                raise DataError(f"{text!r}: no tab or line break can stand in a table; rename it")
    lines = ("\t".join(row) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _times(event: Event) -> tuple[str, str]:
    """Onset and offset to the microsecond, the offset always after the onset."""
    return f"{event.onset_s:.6f}", f"{max(event.offset_s, event.onset_s + 1e-6):.6f}"


def _read_rows(path: Path, faults: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields, in the order of ``COLUMNS``, of each row that is not blank."""
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not in UTF-8 ({error}); save it as UTF-8") from error
    # By hand, for a field is what stands between two tabs: no quotes, no escapes, no comments.
    lines = text.split("\n")
    header = [column.strip() for column in lines[0].split("\t")]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise DataError(
            f"{path}: the header has {', '.join(filter(None, header)) or 'nothing'}, "
            f"but no {', '.join(missing)}; expected tab-separated columns {' '.join(COLUMNS)}"
        )
    columns = [header.index(column) for column in COLUMNS]
    for number, line in enumerate(lines[1:], start=2):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) > len(header):
            faults.append(f"line {number}: {len(fields)} fields, but the header has {len(header)}")
        elif any(fields):
            fields += [""] * (len(header) - len(fields))
            yield number, [fields[column] for column in columns]


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
