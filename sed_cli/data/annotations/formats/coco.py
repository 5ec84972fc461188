"""COCO's layout for audio: lists of sounds, categories and annotations that name them by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import as_dicts, json_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import file_of, read_records
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_FILES = ("sound", "audio", "recording", "file", "clip", "image")
_CATEGORIES = ("category", "class", "label", "species")


@component("format", "coco")
class Coco(ReadOnlyFormat):
    """COCO's layout for audio: JSON of sounds, categories and annotations."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".json"
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its keys."""
        content = json_or_none(text)
        if not isinstance(content, dict):
            return False
        found = as_dicts(content.get("annotations"))
        return bool(as_dicts(content.get("categories"))) and any(_key(a, _FILES) for a in found)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All annotations; a sound without any is a recording without events."""
        content = json_or_none(text)
        records = list(_records(content)) if isinstance(content, dict) else []
        if not records:
            raise DataError(f"{text.path}: COCO JSON without annotations")
        return read_records(text, options, records, self.name)


def _records(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lists = {
        key: as_dicts(value) for key, value in content.items() if key not in ("annotations", "info")
    }
    names = {
        str(one.get("id")): file_of(one)
        for key, values in lists.items()
        if key.startswith(_FILES)
        for one in values
    }
    labels = {str(one.get("id")): one.get("name") for one in lists.get("categories", ())}
    annotated = set()
    for one in as_dicts(content.get("annotations")):
        file = str(one.get(_key(one, _FILES)))
        annotated.add(file)
        category = one.get(_key(one, _CATEGORIES))
        label = {"event_label": labels.get(str(category), category)}
        # A number without an entry: it is shown as missing.
        yield {"filename": names.get(file) or f"sound {file}", **label, **_plain(one)}
    yield from ({"filename": name} for key, name in names.items() if key not in annotated and name)


def _key(annotation: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((f"{name}_id" for name in names if f"{name}_id" in annotation), "")


def _plain(annotation: Mapping[str, Any]) -> dict[str, Any]:
    kept = (float, int, str)
    return {key: value for key, value in annotation.items() if isinstance(value, kept)}
