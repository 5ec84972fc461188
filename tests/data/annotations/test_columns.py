"""Recognition of columns and units, by names, by values or by settings; and the report of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, likely_unit, read_annotations
from sed_cli.errors import DataError


def read(folder: Path, content: str, columns: dict[str, str] | None = None, **options: str):  # type: ignore[no-untyped-def]
    path = folder / "table.csv"
    path.write_text(content, encoding="utf-8")
    return read_annotations(path, columns=columns, **options)  # type: ignore[arg-type]


def labels(annotations: Annotations) -> set[str]:
    return {event.label for events in annotations.events.values() for event in events}


@pytest.mark.parametrize(
    ("name", "unit_s"),
    [
        *((name, 60.0) for name in ("start_min", "onset (min)", "startMinutes", "begin_mins")),
        *((name, 3600.0) for name in ("start_h", "onset [hours]", "begin_hr")),
        *((name, 1e-3) for name in ("startMs", "onset(ms)", "onset in ms", "ms_start", "t_millis")),
        *((name, 1.0) for name in ("StartSec", "onset", "begin_time_seconds", "von", "t_min")),
    ],
)
def test_the_unit_of_a_column_is_that_of_its_name(name: str, unit_s: float, tmp_path: Path) -> None:
    content = f"file,{name},length_s,label\na.wav,1.5,2,x\n"

    annotations = read(tmp_path, content, {"onset": name, "duration": "length_s"})

    onset_s = round(1.5 * unit_s, 9)
    assert annotations.events == {"a.wav": [Event(onset_s, round(onset_s + 2, 9), "x")]}


@pytest.mark.parametrize(
    "name", ["start_frame", "frame_start", "onset (idx)", "start_m", "t_beats"]
)
def test_a_unit_that_is_ambiguous_is_refused(name: str, tmp_path: Path) -> None:
    content = f"file,{name},offset,label\na.wav,1,2,x\n"
    with pytest.raises(DataError, match=r"unit is unknown.*data\.time_unit=s, ms, min, h"):
        read(tmp_path, content, {"onset": name})
    assert read(tmp_path, content, {"onset": name}, time_unit="s").faults == ()


@pytest.mark.parametrize(
    ("unit", "expected"), [("s", 1.0), ("ms", 0.001), ("min", 60.0), ("h", 3600.0), ("samples", 1)]
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.rttm", "a.jams"])
def test_a_unit_that_is_set_is_that_of_every_format(
    name: str, unit: str, expected: float, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("file,onset,offset,label\na,1,2,x\n")
    (tmp_path / "a.txt").write_text("1\t2\tx\n")
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 1 1 <NA> <NA> x <NA> <NA>\n")
    (tmp_path / "a.jams").write_text(
        '{"annotations": [{"namespace": "tag_open", "data": '
        '[{"time": 1, "duration": 1, "value": "x"}]}]}'
    )

    annotations = read_annotations(tmp_path / name, time_unit=unit)

    assert annotations.taken.time_unit == unit
    assert annotations.events == {"a": [Event(expected, 2 * expected, "x")]}


def test_seconds_are_taken_where_samples_stand_beside_them(tmp_path: Path) -> None:
    content = "file,onset_sample,onset_s,offset_sample,offset_s,label\na.wav,8000,.5,16000,1,x\n"

    assert read(tmp_path, content).events == {"a.wav": [Event(0.5, 1.0, "x")]}


def test_minutes_and_seconds_in_columns_of_their_own_are_refused(tmp_path: Path) -> None:
    """Except for the same time in two units."""
    with pytest.raises(DataError, match=r"start_sec and start_min contain parts of a time"):
        read(tmp_path, "file,start_min,start_sec,end,label\na.wav,1,30,95,x\n")
    content = "file,start_min,start_sec,end,label\na.wav,1.5,90,95,x\n"
    assert read(tmp_path, content).events == {"a.wav": [Event(90.0, 95.0, "x")]}


# ------------------------------------------------------------------------------ times of day

KALEIDOSCOPE = (
    "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,DATE,TIME,HOUR,CLUSTER,TOP1MATCH,MANUAL ID\n"
    "C:\\d,site,a.wav,0,3.0,0.5,2024-05-01,21:00:00,21,tit.1,tit,great tit\n"
)


def test_the_offset_of_kaleidoscope_is_the_onset_and_its_time_that_of_the_day(
    tmp_path: Path,
) -> None:
    for columns in ({}, {"event_label": "MANUAL ID"}):
        annotations = read(tmp_path, KALEIDOSCOPE, columns)
        assert annotations.events == {"a.wav": [Event(3.0, 3.5, "great tit")]}
    with pytest.raises(DataError, match=r"'TIME' \('21:00:00'\) contains times of day"):
        read(tmp_path, KALEIDOSCOPE, {"onset": "TIME"})


@pytest.mark.parametrize(
    "row",
    ["2024-05-01 21:00:00,1", "01.05.2024,1", "2024-05-01T21:00:00Z,1", "9:15:00 PM,1"],
)
def test_dates_and_times_of_day_are_no_onsets(row: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"table\.csv: the column 'timestamp' .* times of day"):
        read(tmp_path, f"file,timestamp,duration,label\na.wav,{row},x\n")


def test_a_clock_time_is_one_of_the_day_beside_a_date(tmp_path: Path) -> None:
    content = "file,date,start,duration,label\na.wav,2024-05-01,0:01:30,2,x\n"
    with pytest.raises(DataError, match=r"set\s+data\.time_unit=s"):
        read(tmp_path, content)
    assert read(tmp_path, content, time_unit="s").events == {"a.wav": [Event(90.0, 92.0, "x")]}
    assert read(tmp_path, content.replace("0:01:30", "90")).faults == ()


# ------------------------------------------------------------------------------ labels, names


def rows(header: str, *values: str) -> str:
    lines = [f"a.wav,{i},{i + 0.5},{value}" for i, value in enumerate(values)]
    return "\n".join([f"file,start,end,{header}", *lines, ""])


@pytest.mark.parametrize(
    ("header", "values", "expected", "others"),
    [
        ("species,event", ("grass,bark", "grass,chew"), {"bark", "chew"}, ("species",)),
        ("event,species", ("grass,bark", "grass,chew"), {"bark", "chew"}, ("event",)),
        ("species,event", ("NA,bark", "NA,chew"), {"bark", "chew"}, ()),
        ("annotation,label", ("0,bark", "1,chew"), {"bark", "chew"}, ("annotation",)),
        ("annotation,species", ("0,tit", "1,wren"), {"tit", "wren"}, ("annotation",)),
        ("species,label", ("tit,x", "wren,x"), {"x"}, ("species",)),
        ("Common Name,Species Code", ("tit,t", "wren,w"), {"tit", "wren"}, ("Species Code",)),
        ("species,call_type", ("tit,a", "wren,b", "tit,b"), {"tit", "wren"}, ("call_type",)),
        ("event,tag", ("bark,1a", "chew,2a"), {"bark", "chew"}, ("tag",)),
    ],
)
def test_columns_of_labels_are_chosen_by_their_values_and_the_others_named(
    header: str,
    values: tuple[str, ...],
    expected: set[str],
    others: tuple[str, ...],
    tmp_path: Path,
) -> None:
    annotations = read(tmp_path, rows(header, *values))

    assert labels(annotations) == expected
    assert dict(annotations.taken.others).get("event_label", ()) == others
    assert all(name in str(annotations.taken) for name in others)


def test_columns_that_label_different_things_are_asked_for(tmp_path: Path) -> None:
    content = rows("species,event", "tall,bark", "short,chew", "tall,chew")
    with pytest.raises(DataError, match=r"\(species: short, tall; event: bark, chew\); choose one"):
        read(tmp_path, content)
    assert labels(read(tmp_path, content, {"event_label": "event"})) == {"bark", "chew"}


def test_a_column_of_audio_files_names_the_recordings(tmp_path: Path) -> None:
    """As in crowsetta's generic-seq, and for any other column name."""
    for name in ("notated_path", "where"):
        content = f"label,onset_s,offset_s,{name},annot_path,annotation\nx,1,2,a.wav,a.txt,0\n"
        annotations = read(tmp_path, content)
        assert annotations.events == {"a.wav": [Event(1.0, 2.0, "x")]}
        assert ("filename", name) in annotations.taken.columns
    with pytest.raises(DataError, match=r"any of one, two; .*data\.columns\.filename=NAME"):
        read(tmp_path, "label,onset,offset,one,two\nx,1,2,a.wav,b.wav\n")


def test_a_table_without_file_names_explains_how_to_name_their_column(tmp_path: Path) -> None:
    hint = read(tmp_path, "label,onset,offset,id\nx,1,2,a\n").hint

    assert "among label, onset, offset, id;" in hint
    assert "data.columns.filename=NAME" in hint
    assert read(tmp_path, "label,onset,offset,file\nx,1,2,a\n").hint == ""


# ------------------------------------------------------------------------------ other units


@pytest.mark.parametrize(
    ("factor", "remedy"),
    [
        (1.0, None),
        (1e3, "look like milliseconds; set data.time_unit=ms"),
        (16e3, "look like samples at 16000 Hz; set data.time_unit=samples"),
        (44.1e3, "are not seconds from the start"),
    ],
)
def test_times_behind_the_ends_of_all_recordings_tell_their_unit(
    factor: float, remedy: str | None
) -> None:
    times = [[(1.0, 1.5), (3.0, 3.4), (6.25, 7.0)], [(0.001, 0.5), (9.0, 9.9)], []]
    recordings = [
        [Event(onset * factor, offset * factor, "x") for onset, offset in of_one]
        for of_one in times
    ]

    said = likely_unit(recordings, [10.0] * 3, [16e3] * 3)

    assert (said is None) == (remedy is None)
    assert remedy is None or remedy in str(said)


def test_single_events_behind_an_end_are_faults_of_their_own() -> None:
    inside = [Event(float(i), i + 0.5, "x") for i in range(5)]
    late = [*inside, Event(500.0, 501.0, "x")]

    assert likely_unit([late, inside, late], [10.0] * 3, [16e3] * 3) is None
    assert likely_unit([[], []], [10.0] * 2, [16e3] * 2) is None
    assert likely_unit([[Event(0.0, float("inf"), "x")]], [10.0], [16e3]) is None
