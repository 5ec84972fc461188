"""The samples of the bank that are JSON, and Label Studio's and VIA's tables."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from sed_cli.data.annotations import Event
from tests.data.annotations.bank import ALL, DURATION_S, NAMES, RATE, Files, clock, milliseconds


def dumped(path: str, content: Any) -> Files:
    return {path: json.dumps(content)}


def _regions(events: list[Event]) -> list[dict[str, Any]]:
    return [{"start": e.onset_s, "end": e.offset_s, "channel": 0, "labels": [e[2]]} for e in events]


def label_studio() -> Files:
    tasks = [
        {
            "id": 11 + number,
            "annotations": [
                {
                    "id": 3,
                    "completed_by": 1,
                    "was_cancelled": False,
                    "result": [
                        {
                            "original_length": DURATION_S,
                            "value": region,
                            "id": "wavesurfer_x",
                            "from_name": "label",
                            "to_name": "audio",
                            "type": "labels",
                            "origin": "manual",
                        }
                        for region in _regions(events)
                    ],
                }
            ],
            "file_upload": f"1a2b3c4d-{name}.wav",
            "drafts": [],
            "predictions": [],
            "data": {"audio": f"/data/upload/1/1a2b3c4d-{name}.wav"},
            "meta": {},
            "project": 1,
        }
        for number, (name, events) in enumerate(ALL.items())
    ]
    return dumped("project-1-at-2024-05-01-10-00-1a2b3c4d.json", tasks)


def label_studio_min() -> Files:
    tasks = [
        {
            "audio": f"/data/local-files/?d=site/{name}.wav",
            "id": number,
            "label": _regions(events),
            "annotator": 1,
            "annotation_id": number,
            "created_at": "2024-05-01T10:00:00Z",
            "lead_time": 12.5,
        }
        for number, (name, events) in enumerate(ALL.items())
    ]
    return dumped("project-1-min.json", tasks)


def label_studio_table(delimiter: str) -> Files:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerow(["annotation_id", "annotator", "audio", "created_at", "id", "label"])
    for number, (name, events) in enumerate(ALL.items()):
        url, cell = f"/data/upload/1/1a2b3c4d-{name}.wav", json.dumps(_regions(events))
        writer.writerow([number, 1, url, "2024-05-01T10:00:00Z", number, cell])
    return {"project-1.csv" if delimiter == "," else "project-1.tsv": buffer.getvalue()}


_VIA_ATTRIBUTE = {
    "1": {
        "aname": "call",
        "anchor_id": "FILE1_Z2_XY0",
        "type": 3,
        "desc": "",
        "options": {"0": "whistle", "1": "click"},
        "default_option_id": "",
    }
}


def via_json() -> Files:
    ids = [str(number) for number in range(1, 5)]
    segments = {
        f"{vid}_{number}aB": {
            "vid": vid,
            "flg": 0,
            "z": [event.onset_s, event.offset_s],
            "xy": [],
            "av": {"1": "0" if event.label == "whistle" else "1"},
        }
        for vid, events in zip(ids, ALL.values(), strict=True)
        for number, event in enumerate(events)
    }
    files = {
        str(10 + number): {
            "fid": str(10 + number),
            "fname": f"{name}.wav",
            "type": 4,
            "loc": 1,
            "src": "",
        }
        for number, name in enumerate(NAMES)
    }
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "pname": "calls", "vid_list": ids},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}},
        "attribute": _VIA_ATTRIBUTE,
        "file": files,
        "metadata": segments,
        "view": {vid: {"fid_list": [fid]} for vid, fid in zip(ids, files, strict=True)},
    }
    return dumped("via_project_01May2024.json", project)


def via_csv() -> Files:
    head = (
        "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
        "# Notes:\n"
        "# - temporal coordinate of [1.349,2.741] denotes a segment from 1.349 to 2.741 sec.\n"
        f"# ATTRIBUTE = {json.dumps(_VIA_ATTRIBUTE)}\n\n\n"
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,"
        "metadata\n"
    )
    rows = [
        f'"1_{number}x","[""{name}.wav""]",0,"[{event.onset_s},{event.offset_s}]","[]",'
        f'"{{""1"":""{0 if event.label == "whistle" else 1}""}}"\n'
        for name, events in ALL.items()
        for number, event in enumerate(events)
    ]
    return {"via_project_01May2024.csv": head + "".join(rows)}


def coco() -> Files:
    content = {
        "info": {"year": 2025, "version": 1.0, "description": "calls"},
        "categories": [{"id": 1, "name": "whistle"}, {"id": 2, "name": "click"}],
        "sounds": [
            {"id": number, "file_name": f"{name}.wav", "duration": 10.0, "sample_rate": RATE}
            for number, name in enumerate(NAMES)
        ],
        "annotations": [
            {
                "anno_id": at,
                "sound_id": number,
                "category_id": 1 if event.label == "whistle" else 2,
                "supercategory": "animal",
                "t_min": event.onset_s,
                "t_max": event.offset_s,
                "f_min": 300.0,
                "f_max": 8000.0,
                "ischorus": False,
            }
            for number, events in enumerate(ALL.values())
            for at, event in enumerate(events)
        ],
    }
    return dumped("annotations.json", content)


def whisper_seg(name: str, events: list[Event]) -> str:
    columns = {"onset": [e[0] for e in events], "offset": [e[1] for e in events]}
    return json.dumps(
        {
            **columns,
            "cluster": [event.label for event in events],
            "species": "zebra_finch",
            "sr": RATE,
            "min_frequency": 0,
            "spec_time_step": 0.0025,
            "min_segment_length": 0.01,
            "tolerance": 0.01,
            "time_per_frame_for_scoring": 0.001,
            "eps": 0.02,
        }
    )


def whisper_x(name: str, events: list[Event]) -> str:
    words = [
        [{"word": e.label, "start": e.onset_s, "end": e.offset_s, "score": 0.9}] for e in events
    ]
    segments = [
        {"start": e.onset_s, "end": e.offset_s, "text": f" {e.label}", "words": said}
        for e, said in zip(events, words, strict=True)
    ]
    all_words = [word for said in words for word in said]
    return json.dumps({"segments": segments, "word_segments": all_words, "language": "en"})


def whisper_cpp(name: str, events: list[Event]) -> str:
    said = [
        {
            "timestamps": {"from": clock(e[0]).replace(".", ","), "to": clock(e[1])},
            "offsets": {"from": milliseconds(e.onset_s), "to": milliseconds(e.offset_s)},
            "text": f" {e.label}",
        }
        for e in events
    ]
    for one in said:
        one["timestamps"]["to"] = one["timestamps"]["to"].replace(".", ",")  # type: ignore[index]
    return json.dumps({"systeminfo": "AVX = 1", "model": {"type": "base"}, "transcription": said})


def batdetect(name: str, events: list[Event]) -> str:
    found = [
        {
            "class": event.label,
            "class_prob": 0.81,
            "det_prob": 0.9,
            "end_time": event.offset_s,
            "event": "Echolocation",
            "high_freq": 60000.0,
            "individual": "-1",
            "low_freq": 40000.0,
            "start_time": event.onset_s,
        }
        for event in events
    ]
    return json.dumps(
        {
            "annotated": False,
            "annotation": found,
            "class_name": "whistle",
            "duration": 10.0,
            "id": f"{name}.wav",
            "issues": False,
            "notes": "Automatically generated.",
            "time_exp": 1,
        }
    )


def whombat() -> Files:
    numbered = list(enumerate((n, e) for n, events in ALL.items() for e in events))
    tags = [
        {"id": 0, "key": "species", "value": "whistle"},
        {"id": 1, "key": "species", "value": "click"},
        {"id": 2, "key": "quality", "value": "good"},
    ]
    content = {
        "version": "1.1.0",
        "created_on": "2024-05-01T10:00:00",
        "data": {
            "uuid": "p",
            "collection_type": "annotation_project",
            "name": "calls",
            "tags": tags,
            "recordings": [
                {"uuid": f"r-{name}", "path": f"{name}.wav", "duration": 10.0, "samplerate": RATE}
                for name in NAMES
            ],
            "clips": [
                {"uuid": f"c-{name}", "recording": f"r-{name}", "start_time": 0, "end_time": 10}
                for name in NAMES
            ],
            "sound_events": [
                {
                    "uuid": f"s-{number}",
                    "recording": f"r-{name}",
                    "geometry": {
                        "type": "BoundingBox",
                        "coordinates": [event.onset_s, 300.0, event.offset_s, 4000.0],
                    },
                }
                for number, (name, event) in numbered
            ],
            "sound_event_annotations": [
                {
                    "uuid": f"a-{number}",
                    "sound_event": f"s-{number}",
                    "tags": [2, 0 if event.label == "whistle" else 1],
                }
                for number, (_, event) in numbered
            ],
            "clip_annotations": [{"uuid": f"x-{name}", "clip": f"c-{name}"} for name in NAMES],
        },
    }
    return dumped("calls.json", content)


def spr_sound(name: str, events: list[Event]) -> str:
    found = [
        {
            "start": str(milliseconds(e.onset_s)),
            "end": str(milliseconds(e.offset_s)),
            "type": e.label,
        }
        for e in events
    ]
    return json.dumps({"record_annotation": "CAS", "event_annotation": found})


def avianz(name: str, events: list[Event]) -> str:
    species = [{"species": e.label, "certainty": 100, "filter": "M"} for e in events]
    segments = [[e[0], e[1], 300, 4000, [s]] for e, s in zip(events, species, strict=True)]
    return json.dumps([{"Operator": "me", "Reviewer": "", "Duration": 10.0}, *segments])


def nested_json() -> Files:
    recordings = [
        {
            "recording": {"filename": f"{name}.wav", "bird_id": "USA1234"},
            "detected_events": [
                {
                    "onset_ms": milliseconds(events[0].onset_s),
                    "offset_ms": milliseconds(events[-1].offset_s),
                    "units": [
                        {
                            "onset_ms": milliseconds(e.onset_s),
                            "offset_ms": milliseconds(e.offset_s),
                            "label": e.label,
                        }
                        for e in events
                    ],
                }
            ],
        }
        for name, events in ALL.items()
    ]
    return dumped("song.json", {"metadata": {"units": "ms"}, "recordings": recordings})


def json_by_file() -> Files:
    found = {
        f"{name}.wav": [{"start": e[0], "end": e[1], "species": e[2]} for e in events]
        for name, events in ALL.items()
    }
    return dumped("labels.json", found)


def json_lines() -> Files:
    found = [
        {
            "filename": f"{name}.wav",
            "onset": e[0],
            "offset": e[1],
            "event_label": e[2],
            "confidence": 0.81,
        }
        for name, events in ALL.items()
        for e in events
    ]
    return {"labels.jsonl": "".join(json.dumps(one) + "\n" for one in found)}


def jams(name: str, events: list[Event]) -> str:
    data = [{"time": e[0], "duration": e[1] - e[0], "value": e[2], "confidence": 1} for e in events]
    one = {"namespace": "tag_open", "data": data, "annotation_metadata": {}, "sandbox": {}}
    return json.dumps({"annotations": [one], "file_metadata": {"duration": 10.0}, "sandbox": {}})
