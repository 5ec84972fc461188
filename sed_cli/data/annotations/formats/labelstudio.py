"""Label Studio's exports: JSON, JSON-MIN, CSV and TSV.

A task names its recording as the server stored it: ``/data/upload/1/1a2b3c4d-rec.wav`` for
``rec.wav``, ``/data/local-files/?d=site/rec.wav`` for a path.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import as_dicts, json_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import file_of, read_records
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_STORED = re.compile(r"[0-9a-f]{8}-(?=.)")
_REGIONS = re.compile(r'\[\s*\{\s*""(start|end|channel|labels)""')
_SNIFFED = 100_000  # characters
_LONGEST_CELL = 16 * 2**20


@component("format", "labelstudio")
class LabelStudio(ReadOnlyFormat):
    """Label Studio's export of audio regions: JSON, JSON-MIN, CSV or TSV."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".json"
    more_endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv")
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by the keys of its tasks, or a column of JSON."""
        if _REGIONS.search(text.content[:_SNIFFED]):
            return True
        return any(_is_task(task) for task in as_dicts(json_or_none(text))[:100])

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """The regions of the first uncancelled annotation of each task."""
        content = json_or_none(text)
        tasks = as_dicts(content) if content is not None else list(_tasks_of_table(text))
        records = [record for task in tasks for record in _records(task)]
        if not records:
            raise DataError(f"{text.path}: Label Studio's export without an annotated task")
        return read_records(text, options, records, self.name)


def _is_task(task: dict[str, Any]) -> bool:
    if isinstance(task.get("data"), dict):
        return isinstance(task.get("annotations", task.get("completions")), list)
    return any(map(_is_region, _regions(task)))


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and {"start", "end"} <= value.keys()


def _regions(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Regions of a JSON-MIN task, whatever their name."""
    parts = [as_dicts(value) for value in task.values()]
    regions = [one for part in parts for one in part if _is_region(one)]
    return [one for one in regions if any(isinstance(value, list) for value in one.values())]


def _tasks_of_table(text: Text) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with JSON cells parsed."""
    delimiter = "\t" if "\t" in text.lines[0] else ","
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        for row in csv.DictReader(text.lines, delimiter=delimiter):
            yield {key: _cell(value) for key, value in row.items() if key}
    except csv.Error as error:
        raise DataError(f"{text.path}: not a table of Label Studio: {error}") from error
    finally:
        csv.field_size_limit(before)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] == "[":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _records(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    data = task.get("data")
    if isinstance(data, dict):
        filename = _name_of(data)
        done = [
            one
            for one in as_dicts(task.get("annotations", task.get("completions")))
            if not one.get("was_cancelled")
        ]
        if not done:
            return
        regions = [one.get("value") for one in as_dicts(done[0].get("result"))]
        found = [one for one in regions if isinstance(one, dict) and _is_region(one)]
    else:
        filename, found = _name_of(task), _regions(task)
    if not found:
        yield {"filename": filename}
    for region in found:
        lists = [one for key, one in region.items() if isinstance(one, list) and key != "channel"]
        for label in (lists[0] if lists else None) or [None]:
            times = {"onset": region["start"], "offset": region["end"]}
            yield {"filename": filename, **times, "event_label": label}


def _name_of(values: dict[str, Any]) -> str:
    texts = {key: _plain(one) for key, one in values.items() if isinstance(one, str)}
    return file_of(texts) or texts.get("audio", "")


def _plain(url: str) -> str:
    """The name of a recording before it was uploaded."""
    if "?d=" in url:
        return unquote(url.split("?d=", 1)[1].split("&")[0]).lstrip("/")
    path = unquote(url.split("?")[0])
    if "/" not in path:
        return _STORED.sub("", path, count=1)
    return _STORED.sub("", path.rsplit("/", 1)[1], count=1)
