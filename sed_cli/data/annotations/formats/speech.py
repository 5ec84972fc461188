"""Lists of speech research, one recording: TIMIT's in samples, HTK's in units of 100 ns.

Source: Garofolo et al. 1993, "TIMIT"; Young et al. 2015, "The HTK book", 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Taken
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import SAMPLES

_ROW = re.compile(r"(\d{1,18})\s+(\d{1,18})\s+(\S.*)")  # of a line without blanks at its ends
_SNIFFED = 1000  # lines
_FINE = 5000  # a shorter event, of half a millisecond, is not in units of 100 ns
_MASTER = "#!MLF!#"
_UNITS_PER_S = 10_000_000


def _rows(text: Text) -> list[re.Match[str]]:
    """The first rows; empty unless each has two whole numbers and a label."""
    lines = [line for each in text.lines[:_SNIFFED] if (line := each.strip())]
    found = [match for line in lines if (match := _ROW.fullmatch(line))]
    return found if len(found) == len(lines) else []


@component("format", "timit")
class Timit(ReadOnlyFormat):
    """TIMIT's .phn and .wrd: onset offset label in samples, one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".phn"
    more_endings: ClassVar[tuple[str, ...]] = (".wrd",)
    names_files: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its ending and whole numbers."""
        is_named = text.path.suffix.lower() in (self.ending, *self.more_endings)
        return is_named and bool(_rows(text))

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One line per event; its times stay in samples."""
        collector = RowCollector(text, options, units=(SAMPLES, SAMPLES))
        for number, line in enumerate(text.lines, start=1):
            _add(collector, number, line, text.path.stem)
        taken = Taken(time_unit=collector.time_unit)
        return collector.finish(self.name, names_files=False, taken=taken)


@component("format", "htk")
class Htk(ReadOnlyFormat):
    """HTK's .lab, one recording, and .mlf: onset offset label in units of 100 ns."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".lab"
    more_endings: ClassVar[tuple[str, ...]] = (".mlf",)

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its first line, or its ending and very large whole numbers."""
        if text.content.startswith(_MASTER):
            return True
        rows = _rows(text) if text.path.suffix.lower() in (".lab", ".rec") else []
        lengths = sorted(int(row[2]) - int(row[1]) for row in rows)
        return bool(rows) and options.time_unit is None and lengths[len(rows) // 2] >= _FINE

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One line per event."""
        collector = RowCollector(text, options)
        is_master = text.content.startswith(_MASTER)
        for number, name, line in _lines(text, is_master=is_master):
            _add(collector, number, line, name, 1 / _UNITS_PER_S)
        taken = Taken(time_unit="units of 100 ns")
        return collector.finish(self.name, names_files=is_master, taken=taken)


def _lines(text: Text, *, is_master: bool) -> Iterator[tuple[int, str, str]]:
    """Number, recording and content of event lines."""
    name = text.path.stem
    for number, line in enumerate(text.lines, start=1):
        if not is_master:
            yield number, name, line
        elif line.startswith('"'):
            name = PurePosixPath(line.strip().strip('"').replace("\\", "/")).stem
        elif line.strip() not in (".", _MASTER):
            yield number, name, line


def _add(
    collector: RowCollector, number: int, line: str, name: str, scale: float | None = None
) -> None:
    line = line.strip()
    if not line:
        return None
    row = _ROW.fullmatch(line)
    if row is None:
        return collector.fault(number, f"{line[:80]!r}: expected onset, offset and label")
    if scale is None:
        return collector.add(number, name, *row.groups())
    onset_s, offset_s = (round(int(time) * scale, 9) for time in row.groups()[:2])
    return collector.add_times(number, name, onset_s, offset_s, row[3].split()[0])
