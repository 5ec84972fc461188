"""SPRSound's JSON: respiratory sounds of one recording, with times in milliseconds.

Source: Zhang et al. 2022, "SPRSound: open-source SJTU paediatric respiratory sound database".
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import json_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import read_records
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_EVENTS = "event_annotation"


@component("format", "sprsound")
class SprSound(ReadOnlyFormat):
    """SPRSound's JSON: events in milliseconds, one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".json"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its keys."""
        content = json_or_none(text)
        return isinstance(content, dict) and isinstance(content.get(_EVENTS), list)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All events; there may be none."""
        content = json_or_none(text)
        if not isinstance(content, dict):
            raise DataError(f"{text.path}: expected a JSON object with {_EVENTS}")
        records = [
            {"onset": one.get("start"), "offset": one.get("end"), "event_label": one.get("type")}
            for one in content.get(_EVENTS, ())
            if isinstance(one, dict)
        ]
        options = replace(options, time_unit=options.time_unit or "ms")
        return read_records(text, options, records, self.name)
