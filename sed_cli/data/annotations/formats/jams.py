"""JAMS, JSON annotations of one recording: namespaces of sound events, of scaper, tags, segments.

Read and written as plain JSON. The jams package (0.3.5) works, but brings along jsonschema and
mir_eval, takes more than a second to import, makes an object and a validation of each observation,
and warns of its own use of jsonschema; of its schema we need five keys.

Schema: https://jams.readthedocs.io/en/stable/jams_structure.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.documents import as_dicts, json_of, json_or_none, shown
from sed_cli.data.annotations.events import Annotations, Detection, Event, Findings
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.data.annotations.units import UNITS_S
from sed_cli.errors import DataError
from sed_cli.system.files import json_text

# The first of these that a file has is read: several may say the same in their own ways.
NAMESPACES = ("scaper", "sound_event", "tag_open", "segment_open", "tag_urbansound", "tag_audioset")
_VERSION = "0.3.5"  # of the schema that is written
_DIGITS = 6
_OBJECT = re.compile(r'\s*\{\s*("\w+"\s*:|\}\s*$)')


@component("format", "jams")
class Jams(AnnotationFormat):
    """JAMS: JSON of one recording."""

    ORDER: ClassVar[int] = 1
    ending: ClassVar[str] = ".jams"
    names_files: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its content."""
        return _fits(text, options)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Return all events."""
        return _read(text, options, self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Write it as other programs expect."""
        return _dump(events, durations_s)

    def dump_findings(self, found: Mapping[str, Findings]) -> str:
        """Write it with confidences."""
        durations_s = {name: one.duration_s for name, one in found.items()}
        return _dump({name: one.detections for name, one in found.items()}, durations_s)


def _fits(text: Text, options: ReadOptions) -> bool:
    """Whether the text is an object with JAMS' keys; by its ending if it cannot be read."""
    if text.path.suffix.lower() == ".jams":
        return _OBJECT.match(text.content) is not None
    content = json_or_none(text)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        return False
    metadata = content.get("file_metadata")
    is_named = isinstance(metadata, dict) and "jams_version" in metadata
    return is_named or any("namespace" in one for one in as_dicts(content["annotations"]))


def _read(text: Text, options: ReadOptions, format: str) -> Annotations:
    """Read the events, without scaper's background, which lasts for the whole recording."""
    annotations = _load(text)
    found = [annotation.get("namespace") for annotation in annotations]
    chosen = next((namespace for namespace in NAMESPACES if namespace in found), None)
    collector = RowCollector(text, options, lasting=True)
    if chosen is None and annotations:
        names = ", ".join(sorted({shown(namespace).strip("'") for namespace in found}))
        raise DataError(
            f"{text.path}: annotations of {names}: expected one of {', '.join(NAMESPACES)}"
        )
    stem = text.path.stem
    for index, annotation in enumerate(annotations):
        if "namespace" not in annotation:
            collector.fault(None, f"annotations[{index}]: no namespace", "it is skipped")
        if annotation.get("namespace") != chosen:
            continue
        for number, observation in enumerate(_observations(annotation.get("data"))):
            collector.place = f"annotations[{index}].data[{number}]: "
            _add(collector, stem, observation)
    return collector.finish(format, names_files=False)


def _load(text: Text) -> list[dict[str, Any]]:
    """The annotations of a JAMS file."""
    content = json_of(text)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise DataError(f"{text.path}: JSON without the list 'annotations' of JAMS")
    return annotations


def _observations(data: Any) -> Iterator[Any]:
    """Observations, single ones or one list per key (dense)."""
    is_dense = isinstance(data, dict) and all(isinstance(one, list) for one in data.values())
    if is_dense and len({len(column) for column in data.values()}) <= 1:
        for values in zip(*data.values(), strict=True):
            yield dict(zip(data, values, strict=True))
    elif isinstance(data, list):
        yield from data
    else:
        yield data


def _add(collector: RowCollector, stem: str, observation: Any) -> None:
    if not isinstance(observation, dict):
        return collector.fault(None, f"{shown(observation)}: expected time, duration and value")
    value = observation.get("value")
    if isinstance(value, dict):
        if value.get("role") == "background":
            return None
        value = value.get("label")
    try:
        time, duration = _number(observation.get("time")), _number(observation.get("duration"))
    except (TypeError, OverflowError):
        times = " or ".join(f"{key} {shown(observation.get(key))}" for key in ("time", "duration"))
        return collector.fault(None, f"{times} is not a number of seconds", filename=stem)
    if not (isinstance(value, str) and value.strip()):
        return collector.fault(None, f"value {shown(value)}: expected a label", filename=stem)
    unit_s = UNITS_S.get(collector.time_unit, 1.0)
    return collector.add_times(None, stem, time * unit_s, duration * unit_s, value.strip())


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _dump(
    events: Mapping[str, Iterable[Event | Detection]], durations_s: Mapping[str, float]
) -> str:
    """JAMS of one recording, with events as open tags, which may overlap, unlike segments.

    JAMS requires the recording's duration: if unknown, that of its annotation is used.
    """
    ((name, of_file),) = events.items()
    of_file = list(of_file)
    last_s = max((event.offset_s for event in of_file), default=0.0)
    duration_s = round(durations_s.get(name, last_s), _DIGITS)
    observations = [
        {
            "time": round(event.onset_s, _DIGITS),
            "duration": max(round(event.offset_s - event.onset_s, _DIGITS), 10**-_DIGITS),
            "value": event.label,
            "confidence": round(event.confidence, 4) if isinstance(event, Detection) else None,
        }
        for event in of_file
    ]
    annotation = {
        "annotation_metadata": {"annotation_tools": "sedtf", "data_source": "program"},
        "namespace": "tag_open",
        "data": observations,
        "sandbox": {},
        "time": 0,
        "duration": duration_s,
    }
    jams = {
        "annotations": [annotation],
        "file_metadata": {
            "title": name,
            "duration": duration_s,
            "identifiers": {},
            "jams_version": _VERSION,
        },
        "sandbox": {},
    }
    return json_text(jams)
