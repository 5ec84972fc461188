"""Whombat's export (the AOEF of soundevent): recordings, sound events and their tags by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import as_dicts, json_or_none
from sed_cli.data.annotations.events import Annotations
from sed_cli.data.annotations.format import ReadOnlyFormat
from sed_cli.data.annotations.objects import read_records
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

# Tags whose value is the label if an event has several; otherwise the first tag is used.
_KEYS = ("species", "scientific_name", "event", "call_type", "class", "label")


@component("format", "whombat")
class Whombat(ReadOnlyFormat):
    """Whombat's JSON (soundevent's AOEF)."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".json"
    more_endings: ClassVar[tuple[str, ...]] = (".aoef",)
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its keys."""
        data = _data(text)
        return "collection_type" in data or bool(as_dicts(data.get("sound_event_annotations")))

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """All annotations, with times from the extent of their geometry."""
        records = list(_records(_data(text)))
        if not records:
            raise DataError(
                f"{text.path}: Whombat's export without annotations: export the annotation project"
            )
        return read_records(text, options, records, self.name)


def _data(text: Text) -> Mapping[str, Any]:
    content = json_or_none(text)
    data = content.get("data") if isinstance(content, dict) else None
    return data if isinstance(data, dict) else {}


def _records(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    recordings = _by_id(data.get("recordings"))
    clips, sounds = _by_id(data.get("clips")), _by_id(data.get("sound_events"))
    tags = {str(tag.get("id")): tag for tag in as_dicts(data.get("tags"))}
    annotated = set()
    for one in as_dicts(data.get("sound_event_annotations")):
        sound = sounds.get(str(one.get("sound_event")), {})
        recording = str(sound.get("recording"))
        annotated.add(recording)
        onset, offset = _extent(sound.get("geometry"))
        yield {
            "filename": _path(recordings, recording),
            "onset": onset,
            "offset": offset,
            "event_label": _label(one.get("tags"), tags),
        }
    for one in as_dicts(data.get("clip_annotations")):
        recording = str(clips.get(str(one.get("clip")), {}).get("recording"))
        if recording not in annotated:
            annotated.add(recording)
            yield {"filename": _path(recordings, recording)}


def _by_id(values: Any) -> dict[str, dict[str, Any]]:
    return {str(one.get("uuid")): one for one in as_dicts(values)}


def _path(recordings: Mapping[str, Mapping[str, Any]], recording: str) -> str:
    return str(recordings.get(recording, {}).get("path") or f"recording {recording}")


def _label(ids: Any, tags: Mapping[str, Mapping[str, Any]]) -> Any:
    own = [tags.get(str(one), {}) for one in ids] if isinstance(ids, list) else []
    found = {str(tag.get("key")).split(":")[-1].lower(): tag.get("value") for tag in own}
    return next((found[key] for key in _KEYS if key in found), next(iter(found.values()), None))


def _extent(geometry: Any) -> tuple[Any, Any]:
    """First and last time of a geometry; coordinates are time, frequency, time, ..."""
    if not isinstance(geometry, dict):
        return None, None
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "TimeStamp":
        return coordinates, None
    if not isinstance(coordinates, list) or not coordinates:
        return None, None
    if kind == "BoundingBox":
        return coordinates[0], coordinates[2] if len(coordinates) > 2 else None
    if kind == "TimeInterval":
        return coordinates[0], coordinates[-1]
    times = list(_times(coordinates, 8))
    return (min(times), max(times)) if times else (None, None)


def _times(coordinates: list[Any], depth: int) -> Iterator[float]:
    """Yield the first number of each point."""
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield coordinates[0]  # unconverted: whole numbers may be too large for a float
    elif depth:
        for inner in coordinates:
            if isinstance(inner, list):
                yield from _times(inner, depth - 1)
