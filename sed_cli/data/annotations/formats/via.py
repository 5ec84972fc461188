"""The VGG annotators of audio and video, VIA 3: a project (JSON), or its export as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import json_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import read_records
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_HEADER = "# CSV_HEADER ="
_ATTRIBUTES = "# ATTRIBUTE ="
_SNIFFED = 100  # lines


@component("format", "via")
class Via(ReadOnlyFormat):
    """VIA 3 (VGG's audio and video annotator): a project, or its segments as CSV."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".json"
    more_endings: ClassVar[tuple[str, ...]] = (".csv",)
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by the keys of a project, or the header of its export."""
        if text.content.startswith("#"):
            return any(line.startswith(_HEADER) for line in text.lines[:_SNIFFED])
        return _is_project(json_or_none(text))

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Return all segments in time."""
        content = json_or_none(text)
        if content is not None and not _is_project(content):
            raise DataError(f"{text.path}: expected a project of VIA, or its segments as CSV")
        records = list(_of_table(text) if content is None else _of_project(content))
        if not records:
            raise DataError(f"{text.path}: a project of VIA without a segment in time")
        return read_records(text, options, records, self.name)


def _is_project(content: Any) -> bool:
    keys = ("metadata", "attribute", "file")
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in keys)


def _of_project(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    files, views = content["file"], content.get("view")
    for segment in content["metadata"].values():
        if not isinstance(segment, dict):
            continue
        key = str(segment.get("vid", ""))
        view = views.get(key) if isinstance(views, dict) else None
        listed = view.get("fid_list") if isinstance(view, dict) else None
        file = files.get(str(listed[0]) if isinstance(listed, list) and listed else key)
        name = file.get("fname") if isinstance(file, dict) else None
        yield from _records(name, segment.get("z"), segment.get("av"), content["attribute"])


def _of_table(text: Text) -> Iterator[dict[str, Any]]:
    names: list[str] = []
    attributes: Any = {}
    for number, line in enumerate(text.lines, start=1):
        if line.startswith(_HEADER):
            names = [name.strip() for name in line[len(_HEADER) :].split(",")]
        elif line.startswith(_ATTRIBUTES):
            attributes = _parsed(line[len(_ATTRIBUTES) :])
        elif line.strip() and not line.startswith("#"):
            row = dict(zip(names, _fields(text, number, line), strict=False))
            files = _parsed(row.get("file_list", ""))
            name = files[0] if isinstance(files, list) and files else row.get("file_list")
            times = _parsed(row.get("temporal_coordinates", ""))
            yield from _records(name, times, _parsed(row.get("metadata", "")), attributes)


def _fields(text: Text, number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line]))
    except csv.Error as error:
        raise DataError(f"{text.path}, line {number}: not a CSV row: {error}") from error


def _records(name: Any, times: Any, values: Any, attributes: Any) -> Iterator[dict[str, Any]]:
    """Yield a segment; one time is a point, none is an image region."""
    if not (isinstance(times, list) and 1 <= len(times) <= 2):
        return
    label = None
    for key, value in values.items() if isinstance(values, dict) else ():
        known = attributes.get(key) if isinstance(attributes, dict) else None
        options = known.get("options") if isinstance(known, dict) else None
        label = options.get(str(value), value) if isinstance(options, dict) else value
        if label not in (None, ""):
            break
    end = times[1] if len(times) > 1 else None
    yield {"filename": name, "onset": times[0], "offset": end, "event_label": label}


def _parsed(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None
