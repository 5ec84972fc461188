"""Small samples of the formats that recordings come with, as the programs write them.

Each holds the same twelve events of four recordings, but where a format knows fewer labels.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from sed_cli.data.annotations import Event

RATE = 8000
DURATION_S = 10.0
NAMES = ("rec_a", "rec_b", "rec_c", "rec_d")


def events_of(name: str) -> list[Event]:
    """Shifted from recording to recording, so that none can be taken for another."""
    shift = 0.25 * NAMES.index(name)
    times = ((1.0, 1.5, "whistle"), (3.0, 3.5, "click"), (6.25, 7.0, "whistle"))
    return [Event(onset + shift, offset + shift, label) for onset, offset, label in times]


ALL = {name: events_of(name) for name in NAMES}
Files = dict[str, str | bytes]
Rows = Callable[[str], str]


def each(ending: str, text: Callable[[str, list[Event]], str]) -> Files:
    """A file a recording."""
    return {f"{name}{ending}": text(name, events) for name, events in ALL.items()}


def lines(row: str, *, head: str = "", times: Callable[[float], object] = float) -> Any:
    """Text of a line an event, with the fields that a row names."""

    def text(name: str, events: list[Event]) -> str:
        rows = [
            row.format(
                n=number,
                name=name,
                on=times(event.onset_s),
                off=times(event.offset_s),
                dur=times(event.offset_s - event.onset_s),
                label=event.label,
            )
            for number, event in enumerate(events, start=1)
        ]
        return head + "".join(f"{one}\n" for one in rows)

    return text


def table(
    path: str, row: str, *, head: str = "", times: Callable[[float], object] = float
) -> Files:
    """One table of all recordings."""
    text = lines(row, times=times)
    return {path: head + "".join(text(name, events) for name, events in ALL.items())}


def samples(time_s: float) -> int:
    return round(time_s * RATE)


def milliseconds(time_s: float) -> int:
    return round(time_s * 1000)


def clock(time_s: float) -> str:
    return f"00:00:{time_s:06.3f}"


def dumped(path: str, content: Any) -> Files:
    return {path: json.dumps(content)}


# ------------------------------------------------------------------------------------- JSON


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
    import csv

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


# -------------------------------------------------------------------------------------- XML


def elan(name: str, events: list[Event]) -> str:
    slots, annotations = "", ""
    for number, e in enumerate(events):
        for end, time in (("s", e.onset_s), ("e", e.offset_s)):
            value = milliseconds(time)
            slots += f'<TIME_SLOT TIME_SLOT_ID="{end}{number}" TIME_VALUE="{value}"/>\n'
        annotations += (
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
            f'TIME_SLOT_REF1="s{number}" TIME_SLOT_REF2="e{number}">'
            f"<ANNOTATION_VALUE>{e.label}</ANNOTATION_VALUE>"
            f"</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-01T10:00:00+01:00" FORMAT="3.0" '
        'VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">\n'
        '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">\n'
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/data/{name}.wav" MIME_TYPE="audio/x-wav" '
        f'RELATIVE_MEDIA_URL="./{name}.wav"/>\n'
        '<PROPERTY NAME="lastUsedAnnotationId">3</PROPERTY></HEADER>\n'
        f"<TIME_ORDER>\n{slots}</TIME_ORDER>\n"
        f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="calls">\n{annotations}</TIER>\n'
        '<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="remarks"/>\n'
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" '
        'TIME_ALIGNABLE="true"/>\n</ANNOTATION_DOCUMENT>\n'
    )


def koumura() -> Files:
    sequences = ""
    for name, events in ALL.items():
        start = 4000
        notes = "".join(
            f"<Note><Position>{samples(e.onset_s) - start}</Position>"
            f"<Length>{samples(e.offset_s - e.onset_s)}</Length><Label>{e.label}</Label></Note>\n"
            for e in events
        )
        sequences += (
            f"<Sequence><WaveFileName>{name}.wav</WaveFileName><Position>{start}</Position>"
            f"<Length>70000</Length><NumNote>3</NumNote>\n{notes}</Sequence>\n"
        )
    text = f"<Sequences>\n<NumSequence>4</NumSequence>\n{sequences}</Sequences>\n"
    return {"Annotation.xml": f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'}


def sonic_visualiser(name: str, events: list[Event]) -> str:
    points = "".join(
        f'<point frame="{samples(e.onset_s)}" value="1" '
        f'duration="{samples(e.offset_s - e.onset_s)}" label="{e.label}" />\n'
        for e in events
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE sonic-visualiser>\n<sv>\n<data>\n'
        f'<model id="1" name="" sampleRate="{RATE}" start="0" end="80000" type="sparse" '
        'dimensions="3" resolution="1" notifyOnAdd="true" dataset="0" subtype="region" units="" />'
        f'\n<dataset id="0" dimensions="3">\n{points}</dataset>\n</data>\n<display>\n'
        '<layer id="2" type="regions" name="Regions" model="1" />\n</display>\n</sv>\n'
    )


# ----------------------------------------------------------------------------------- others


def text_grid(name: str, events: list[Event], *, is_long: bool) -> str:
    bounds, at = [], 0.0
    for e in events:
        bounds += [(at, e.onset_s, ""), (e.onset_s, e.offset_s, e.label)]
        at = e.offset_s
    bounds.append((at, DURATION_S, ""))
    if not is_long:
        rows = "".join(f'{on}\n{off}\n"{label}"\n' for on, off, label in bounds)
        return (
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n10\n<exists>\n1\n'
            f'"IntervalTier"\n"calls"\n0\n10\n{len(bounds)}\n{rows}'
        )
    rows = "".join(
        f"        intervals [{n}]:\n            xmin = {on} \n            xmax = {off} \n"
        f'            text = "{label}" \n'
        for n, (on, off, label) in enumerate(bounds, start=1)
    )
    return (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0 \nxmax = 10 \n'
        "tiers? <exists> \nsize = 1 \nitem []: \n    item [1]:\n"
        '        class = "IntervalTier" \n        name = "calls" \n        xmin = 0 \n'
        f"        xmax = 10 \n        intervals: size = {len(bounds)} \n{rows}"
    )


def jams(name: str, events: list[Event]) -> str:
    data = [{"time": e[0], "duration": e[1] - e[0], "value": e[2], "confidence": 1} for e in events]
    one = {"namespace": "tag_open", "data": data, "annotation_metadata": {}, "sandbox": {}}
    return json.dumps({"annotations": [one], "file_metadata": {"duration": 10.0}, "sandbox": {}})


def not_mat(ending: str) -> Files:
    """The syllables of evsonganaly: a letter each."""
    from scipy.io import savemat

    found: Files = {}
    for name, events in ALL.items():
        buffer = io.BytesIO()
        times = np.array([event[:2] for event in events]) * 1000
        savemat(
            buffer,
            {
                "Fs": float(RATE),
                "fname": f"{name}{ending}",
                "labels": "".join(event.label[0] for event in events),
                "onsets": times[:, :1],
                "offsets": times[:, 1:],
                "min_int": 5.0,
                "threshold": 1e5,
            },
        )
        found[f"{name}{ending}.not.mat"] = buffer.getvalue()
    return found


def master_labels() -> Files:
    blocks = [
        f'"*/{name}.lab"\n' + lines("{on} {off} {label}", times=hundred_ns)(name, events) + ".\n"
        for name, events in ALL.items()
    ]
    return {"labels.mlf": "#!MLF!#\n" + "".join(blocks)}


def hundred_ns(time_s: float) -> int:
    return round(time_s * 1e7)


def subtitle(row: str) -> Any:
    return lines(row, times=lambda time_s: clock(time_s).replace(".", ","))
