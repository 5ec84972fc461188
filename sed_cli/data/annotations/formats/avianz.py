"""AviaNZ's .data: JSON of one recording, a list of segments ``[start, end, low, high, species]``.

Source: https://github.com/smarsland/AviaNZ, the manual's "Annotation format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import json_or_none, shown
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError


@component("format", "avianz")
class AviaNZ(ReadOnlyFormat):
    """AviaNZ's .data: segments with their species, one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".data"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its first object and the lists after it."""
        content = json_or_none(text)
        if not isinstance(content, list) or not content or not isinstance(content[0], dict):
            return False
        is_named = "Operator" in content[0] or "Duration" in content[0]
        return is_named and all(isinstance(one, list) for one in content[1:])

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """One event per segment and species."""
        collector = RowCollector(text, options)
        content = json_or_none(text)
        if not isinstance(content, list):
            raise DataError(f"{text.path}: expected a JSON list of segments")
        for number, segment in enumerate(content[1:], start=1):
            collector.place = f"segment {number}: "
            if not isinstance(segment, list) or len(segment) < 5:
                collector.fault(None, f"{shown(segment)}: expected start, end, two frequencies")
                continue
            for label in _species(segment[4]):
                onset, offset = (str(time) for time in segment[:2])
                collector.add(None, text.path.stem, onset, offset, label)
        return collector.finish(self.name, names_files=False)


def _species(values: Any) -> Iterator[str]:
    for one in values if isinstance(values, list) and values else [values]:
        name = one.get("species") if isinstance(one, dict) else one
        yield " ".join(str(name or "").split())
