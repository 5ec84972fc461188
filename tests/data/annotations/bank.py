"""Small samples of annotation formats for recordings, as the programs write them.

Each has the same twelve events of four recordings, unless a format represents fewer labels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from sed_cli.data.annotations import Event

RATE = 8000
DURATION_S = 10.0
NAMES = ("rec_a", "rec_b", "rec_c", "rec_d")


def events_of(name: str) -> list[Event]:
    """Events shifted from recording to recording, so that all recordings differ."""
    shift = 0.25 * NAMES.index(name)
    times = ((1.0, 1.5, "whistle"), (3.0, 3.5, "click"), (6.25, 7.0, "whistle"))
    return [Event(onset + shift, offset + shift, label) for onset, offset, label in times]


ALL = {name: events_of(name) for name in NAMES}
Files = dict[str, str | bytes]
Rows = Callable[[str], str]


def each(ending: str, text: Callable[[str, list[Event]], str]) -> Files:
    """One file per recording."""
    return {f"{name}{ending}": text(name, events) for name, events in ALL.items()}


def lines(row: str, *, head: str = "", times: Callable[[float], object] = float) -> Any:
    """Text with one line per event, with the fields that ``row`` names."""

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


def not_mat(ending: str) -> Files:
    """The syllables of evsonganaly: one letter each."""
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
