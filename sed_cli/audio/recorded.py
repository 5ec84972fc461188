"""Time of a recording, from its name or its header.

Times are taken as written, without time zones, since the purpose is the local time of day.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sed_cli.system.structured import UnreadableError, open_regular

_YEARS = range(1980, 2100)  # of dates
# SITE_20260503_053000 (Song Meter, AudioMoth), 2026-05-03T05-30-00, 20260503053000; seconds may be
# missing if date and time are separated.
_IN_NAME = re.compile(
    r"(?<!\d)(\d{4})([-_.]?)(\d\d)\2(\d\d)(?:[T _-]{1,3}(\d\d)([-_:.h]?)(\d\d)(?:\6(\d\d))?|"
    r"(\d\d)(\d\d)(\d\d))(?!\d)"
)
_SECONDS_IN_HEX = re.compile(r"[0-9A-F]{8}")  # of the first AudioMoths: since 1970, in UTC
_AUDIOMOTH = re.compile(
    rb"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})", re.IGNORECASE
)
_GUANO = re.compile(rb"^Timestamp:\s*(\S+(?: \S+)?)\s*$", re.MULTILINE)
_MOST_CHUNKS, _LARGEST = 100, 1 << 20  # chunks examined, and bytes of each


def recorded_at(path: Path) -> datetime | None:
    """Start of a recording; ``None`` if neither its name nor its header has it.

    A date and time in the name take precedence; else those of GUANO, of an AudioMoth's comment, or
    of the ``bext`` chunk of a broadcast wave file.
    """
    return _by_name(path.stem) or _by_header(path)


def _by_name(stem: str) -> datetime | None:
    for match in _IN_NAME.finditer(stem):
        year, month, day, hour, minute, second = (
            match[1],
            match[3],
            match[4],
            match[5] or match[9],
            match[7] or match[10],
            match[8] or match[11] or 0,
        )
        found = _time(year, month, day, hour, minute, second)
        if found is not None:
            return found
    if _SECONDS_IN_HEX.fullmatch(stem):
        found = datetime.fromtimestamp(int(stem, 16), UTC).replace(tzinfo=None)
        return found if found.year in range(2015, 2040) else None
    return None


def _time(*parts: str | bytes | int) -> datetime | None:
    with suppress(ValueError):
        numbers = [int(part) for part in parts]
        if numbers[0] in _YEARS:
            return datetime(*numbers)  # type: ignore[arg-type]
    return None


def _by_header(path: Path) -> datetime | None:
    with suppress(OSError, struct.error, UnreadableError), open_regular(path) as file:
        for name, content in _chunks(file):
            read = _READERS.get(name)
            found = None if read is None else read(content)
            if found is not None:
                return found
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the relevant chunks of a wav file: names and the start of their contents."""
    mark, _, kind = struct.unpack("<4sI4s", file.read(12))
    if mark not in (b"RIFF", b"RF64", b"BW64") or kind != b"WAVE":
        return
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        after = file.tell() + size + size % 2
        if name in _READERS:
            yield name, file.read(min(size, _LARGEST))
        file.seek(after)


def _guano(content: bytes) -> datetime | None:
    match = _GUANO.search(content)
    with suppress(ValueError):
        if match is not None:
            return datetime.fromisoformat(match[1].decode("ascii", "replace")).replace(tzinfo=None)
    return None


def _comment(content: bytes) -> datetime | None:
    match = _AUDIOMOTH.search(content)
    if match is None:
        return None
    hour, minute, second, day, month, year = match.groups()
    return _time(year, month, day, hour, minute, second)


def _broadcast(content: bytes) -> datetime | None:
    date, time = content[320:330], content[330:338]  # yyyy-mm-dd, hh:mm:ss, with any separator
    return _time(date[:4], date[5:7], date[8:10], time[:2], time[3:5], time[6:8])


_READERS = {b"guan": _guano, b"LIST": _comment, b"bext": _broadcast}
