"""JSON of any origin: WhisperSeg, WhisperX, batdetect2, and custom lists of events."""

from __future__ import annotations

from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import json_of, looks_like_json
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import read_objects
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text


@component("format", "json")
class Json(ReadOnlyFormat):
    """JSON, or one object per line: anything with a start, an end and a label."""

    ORDER: ClassVar[int] = 2
    ending: ClassVar[str] = ".json"
    more_endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its first character."""
        is_empty = not text.content.strip() and text.path.suffix.lower() == ".jsonl"
        return is_empty or looks_like_json(text)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Return all events."""
        if not text.content.strip():  # of a recording without events
            return RowCollector(text, options).finish(self.name, names_files=False)
        return read_objects(text, options, json_of(text), self.name)
