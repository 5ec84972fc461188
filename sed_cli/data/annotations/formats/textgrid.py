"""Praat's TextGrid: the intervals of one recording, in tiers, as text in its long or short form.

Praat reads free-standing numbers, quoted texts, and flags such as ``<exists>``; everything else
is a comment, and the two forms differ only in comments. So one reader handles both.

praatio (6.2.2) also reads TextGrids, but it stops at the first fault and names no line, whereas
sedtf reports all faults of a file; and it rejects a file whose intervals overlap by rounding.

Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Event
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector, times_of
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.tiers import Mark, Tier, read_tiers
from sed_cli.errors import DataError
from sed_cli.system.text import one_line

_HEAD = re.compile(r'\s*(File type\s*=\s*)?"ooTextFile( short)?"\s*(Object class\s*=\s*)?"TextGrid')
_TOKEN = re.compile(
    r'"(?P<text>[^"]*(?:""[^"]*)*)"|(?<!\S)(?P<number>[-+]?\d[\d.eE+-]*)(?!\S)|(?<!\S)!.*'
)
_INTERVALS, _POINTS = "IntervalTier", "TextTier"


@component("format", "textgrid")
class TextGrid(AnnotationFormat):
    """Praat's TextGrid: one tier per class, or a tier with labels; one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".TextGrid"
    names_files: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its first lines."""
        return _HEAD.match(text.content) is not None

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All intervals with a text."""
        found = list(_tiers(_Tokens(text)))
        return read_tiers(text, options, found, RowCollector(text, options), self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """The long form, one tier per class, or several of that name if its events overlap."""
        return _dump(events, durations_s)


# ---------------------------------------------------------------------------------- reading


class _Tokens:
    """The numbers and texts of a file in order."""

    def __init__(self, text: Text) -> None:
        self.path, self.line = text.path, 1
        self._content = text.content.replace("\r\n", "\n").replace("\r", "\n")
        self._found, self._at = _TOKEN.finditer(self._content), 0

    def _next(self, kind: str) -> str:
        for found in self._found:
            self.line += self._content.count("\n", self._at, found.start())
            self._at = found.start()
            if found.lastgroup is None:  # a comment
                continue
            if found.lastgroup != kind:
                raise DataError(
                    f"{self.path}, line {self.line}: {one_line(found[0][:80])}: expected a {kind}"
                )
            return found[kind]
        raise DataError(f"{self.path}: ends before an expected {kind}: it is incomplete")

    def text(self) -> str:
        return " ".join(self._next("text").replace('""', '"').split("\n")).strip()

    def number(self) -> str:
        return self._next("number")

    def count(self) -> int:
        got = self.number()
        if not (got.isdecimal() and len(got) < 10):
            raise DataError(f"{self.path}, line {self.line}: {got[:80]}: expected a whole number")
        return int(got)


def _tiers(tokens: _Tokens) -> Iterator[Tier]:
    """Content of each tier, without intervals that have no text, which are silence."""
    for _ in range(2):  # file type and object class
        tokens.text()
    for _ in range(2):  # from, to
        tokens.number()
    for _ in range(tokens.count()):
        kind = tokens.text()
        if kind not in (_INTERVALS, _POINTS):
            raise DataError(
                f"{tokens.path}, line {tokens.line}: a tier of class {kind[:80]!r}: expected "
                f"{_INTERVALS} or {_POINTS}"
            )
        tier = Tier(tokens.text(), holds_points=kind == _POINTS)
        for _ in range(2):  # from, to
            tokens.number()
        for _ in range(tokens.count()):
            onset = tokens.number()
            line = tokens.line
            end = tokens.number() if kind == _INTERVALS else ""
            if text := tokens.text():
                tier.marks.append(Mark(line, onset, end, text))
        yield tier


# ---------------------------------------------------------------------------------- writing


def _dump(events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
    ((name, of_file),) = events.items()
    tiers: list[tuple[str, list[tuple[str, str]]]] = []
    for event in sorted(of_file):
        times = times_of(event)
        # Intervals of a tier are contiguous.
        free = (
            t for label, t in tiers if label == event.label and float(t[-1][1]) <= float(times[0])
        )
        own = next(free, None)
        if own is None:
            tiers.append((event.label, own := []))
        own.append(times)
    ends = [float(intervals[-1][1]) for _, intervals in tiers]
    end = f"{max([durations_s.get(name, 0.0), 1e-6, *ends]):.6f}"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        f"size = {max(1, len(tiers))}",
        "item []:",
    ]
    for number, (label, intervals) in enumerate(tiers or [("events", [])], start=1):
        lines += _tier(number, label, intervals, end)
    return "".join(line + "\n" for line in lines)


def _tier(number: int, label: str, intervals: list[tuple[str, str]], end: str) -> Iterator[str]:
    """Lines of a tier: its intervals, and the silence between them."""
    text = label.replace('"', '""')
    all_of_it, at = [], "0"
    for onset, offset in intervals:
        if float(onset) > float(at):
            all_of_it.append((at, onset, ""))
        all_of_it.append((onset, offset, text))
        at = offset
    if float(end) > float(at):
        all_of_it.append((at, end, ""))
    yield from (
        f"    item [{number}]:",
        f'        class = "{_INTERVALS}"',
        f'        name = "{text}"',
    )
    yield from ("        xmin = 0", f"        xmax = {end}")
    yield f"        intervals: size = {len(all_of_it)}"
    for place, (onset, offset, said) in enumerate(all_of_it, start=1):
        yield f"        intervals [{place}]:"
        yield from (f"            xmin = {onset}", f"            xmax = {offset}")
        yield f'            text = "{said}"'
