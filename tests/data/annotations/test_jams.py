"""JAMS: the annotations that are events, and their faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sed_cli.data.annotations import Annotations, Event, dump_annotations, read_annotations
from sed_cli.errors import DataError


def read(folder: Path, *annotations: dict[str, Any]) -> Annotations:
    path = folder / "scape.jams"
    path.write_text(json.dumps({"file_metadata": {}, "annotations": annotations}))
    return read_annotations(path)


def observation(time: Any, duration: Any, value: Any) -> dict[str, Any]:
    return {"time": time, "duration": duration, "value": value, "confidence": 1.0}


@pytest.mark.parametrize("namespace", ["scaper", "sound_event"])
def test_events_of_scaper_are_those_in_the_foreground(namespace: str, tmp_path: Path) -> None:
    park = {"label": "park", "role": "background", "snr": 0}
    siren = {"label": "siren", "role": "foreground", "snr": 5, "source_time": 5}
    data = [observation(0.0, 10.0, park), observation(2.1, 0.2, siren)]

    annotations = read(tmp_path, {"namespace": namespace, "data": data})

    assert (annotations.format, annotations.names_files) == ("jams", False)
    assert annotations.faults == ()
    assert annotations.events == {"scape": [Event(2.1, 2.3, "siren")]}


@pytest.mark.parametrize("namespace", ["tag_open", "segment_open"])
def test_tags_and_segments_are_events_row_by_row_or_column_by_column(
    namespace: str, tmp_path: Path
) -> None:
    columns = {"time": [1, 4], "duration": [2, 0.5], "value": ["dog", "cat"], "confidence": [1, 1]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    for data in (columns, rows):
        annotations = read(tmp_path, {"namespace": namespace, "data": data})
        assert annotations.faults == ()
        assert annotations.events == {"scape": [Event(1.0, 3.0, "dog"), Event(4.0, 4.5, "cat")]}


def test_one_namespace_is_read_though_another_is_equivalent(tmp_path: Path) -> None:
    tags = {"namespace": "tag_open", "data": [observation(0, 10, "siren")]}
    events = {"namespace": "scaper", "data": [observation(2, 1, {"label": "siren"})]}
    beats = {"namespace": "beat", "data": [observation(2, 0, 1)]}

    assert read(tmp_path, beats, tags, events).events == {"scape": [Event(2.0, 3.0, "siren")]}
    assert read(tmp_path, beats, tags).events == {"scape": [Event(0.0, 10.0, "siren")]}


def test_no_annotations_are_no_events(tmp_path: Path) -> None:
    assert read(tmp_path).events == {"scape": []}
    assert read(tmp_path, {"namespace": "scaper", "data": []}).events == {"scape": []}


def test_annotations_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotations of beat, chord: expected one of scaper"):
        read(tmp_path, {"namespace": "chord", "data": []}, {"namespace": "beat", "data": []})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (observation("1", 2, "x"), "time '1' or duration 2 is not a number"),
        (observation(1, None, "x"), "duration None is not a number"),
        (observation(1, 0, "x"), "expected a duration above 0"),
        (observation(1, -2, "x"), "expected a duration above 0"),
        (observation(-3, 2, "x"), "expected finite times"),
        (observation(1, 2, " "), "value ' ': expected a label"),
        (observation(1, 2, {"snr": 3}), "value None: expected a label"),
        (7, "7: expected time, duration and value"),
    ],
)
def test_faults_say_where_they_are(bad: Any, reason: str, tmp_path: Path) -> None:
    data = [observation(0, 1, "ok"), bad]

    annotations = read(tmp_path, {"namespace": "tag_open", "data": data})

    assert [fault.line for fault in annotations.faults] == [None]
    assert annotations.faults[0].message.startswith("annotations[0].data[1]: ")
    assert reason in annotations.faults[0].message
    assert annotations.events == {"scape": [Event(0.0, 1.0, "ok")]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"annotations": [', "broken JSON: .* line 1"),
        ('{"onset": 1}\n{"onset": 2}\n', "without the list 'annotations'"),
        ('{"onset": 1}', "without the list 'annotations'"),
        ('{"annotations": {}}', "without the list 'annotations'"),
        ('{"annotations": [1]}', "without the list 'annotations'"),
    ],
)
def test_json_that_is_no_jams_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.jams").write_text(content)
    with pytest.raises(DataError, match=reason):
        read_annotations(tmp_path / "a.jams")


def test_what_is_written_has_all_that_the_schema_asks_for() -> None:
    """The jams package 0.3.5 validated such a file; it requires the duration of the recording."""
    found = {"a.wav": [Event(0.5, 1.25, "dog bark")]}

    jams = json.loads(dump_annotations(found, "jams", durations_s={"a.wav": 10.0}))
    unknown = json.loads(dump_annotations(found, "jams"))

    assert jams["file_metadata"]["duration"] == 10.0
    assert unknown["file_metadata"]["duration"] == 1.25
    (annotation,) = jams["annotations"]
    assert annotation["namespace"] == "tag_open"
    assert annotation["annotation_metadata"].keys() <= {"annotation_tools", "data_source"}
    assert annotation["data"] == [
        {"time": 0.5, "duration": 0.75, "value": "dog bark", "confidence": None}
    ]
