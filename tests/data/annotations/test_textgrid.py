"""Praat's TextGrid: both text forms, the tiers of labels, and faults of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import Annotations, Event, dump_annotations, read_annotations
from sed_cli.errors import DataError
from tests.conftest import Sedtf

# As Praat 6.4 saves it.
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 2.5 
tiers? <exists> 
size = 2 
item []: 
    item [1]:
        class = "IntervalTier" 
        name = "syllables" 
        xmin = 0 
        xmax = 2.5 
        intervals: size = 3 
        intervals [1]:
            xmin = 0 
            xmax = 0.5 
            text = "a" 
        intervals [2]:
            xmin = 0.5 
            xmax = 1.25 
            text = "" 
        intervals [3]:
            xmin = 1.25 
            xmax = 2.5 
            text = "b ""loud"" 2" 
    item [2]:
        class = "TextTier" 
        name = "clicks" 
        xmin = 0 
        xmax = 2.5 
        points: size = 1 
        points [1]:
            number = 1.75 
            mark = "click" 
"""  # noqa: W291
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"syllables"
0
2.5
3
0
0.5
"a"
0.5
1.25
""
1.25
2.5
"b ""loud"" 2"
"TextTier"
"clicks"
0
2.5
1
1.75
"click"
"""
EVENTS = [Event(0.0, 0.5, "a"), Event(1.25, 2.5, 'b "loud" 2')]


def read(folder: Path, content: str, **options: object) -> Annotations:
    path = folder / "a.TextGrid"
    path.write_text(content, encoding="utf-8")
    return read_annotations(path, **options)  # type: ignore[arg-type]


def grid(*tiers: tuple[str, list[str]], kind: str = "IntervalTier") -> str:
    """Tiers by name, with a text for each second, in the short form."""
    words = ['"ooTextFile"', '"TextGrid"', "0", "9", "<exists>", str(len(tiers))]
    for name, texts in tiers:
        words += [f'"{kind}"', f'"{name}"', "0", "9", str(len(texts))]
        for number, text in enumerate(texts):
            ends = [str(number), str(number + 1)][: 2 if kind == "IntervalTier" else 1]
            words += [*ends, f'"{text}"']
    return "\n".join(words)


@pytest.mark.parametrize("content", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_both_forms_are_read_in_the_encodings_of_praat(
    content: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content.replace('"a"', '"å"').encode(encoding))
    annotations = read_annotations(path)
    assert (annotations.format, annotations.names_files) == ("textgrid", False)
    assert annotations.faults == ()
    assert annotations.events == {"a": [Event(0.0, 0.5, "å"), EVENTS[1]]}
    assert str(annotations.taken) == (
        "event_label=tier syllables; points beside intervals, skipped: 1"
    )


def test_points_are_read_where_there_are_no_intervals(tmp_path: Path) -> None:
    content = grid(("clicks", ["k", "l"]), ("", []), kind="TextTier")
    assert read(tmp_path, content, event_duration_s=0.1).events == {
        "a": [Event(0.0, 0.1, "k"), Event(1.0, 1.1, "l")]
    }
    (fault,) = read(tmp_path, content).faults
    assert "set data.event_duration_s" in fault.message


@pytest.mark.parametrize(
    ("tiers", "labels"),
    [
        ([("dog", ["", "x"]), ("cat", ["x", "x"])], ["cat", "cat", "dog"]),
        ([("dog", ["", "1"]), ("cat", ["1"])], ["cat", "dog"]),
        ([("dog", ["Dog"]), ("cat", ["", "cat"]), ("cow", [])], ["dog", "cat"]),
        ([("dog", ["", "x"])], ["dog"]),
        ([("syllables", ["1", ""])], ["1"]),  # a label, as the next file may have a 2
        ([("syllables", ["x", "y"]), ("notes", [""])], ["x", "y"]),
        ([("song", ["a"]), ("song", ["", "b"])], ["a", "b"]),
    ],
)
def test_a_tier_is_a_class_where_its_intervals_say_no_more(
    tiers: list[tuple[str, list[str]]], labels: list[str], tmp_path: Path
) -> None:
    (events,) = read(tmp_path, grid(*tiers)).events.values()
    assert [event.label for event in events] == labels


def test_of_several_tiers_with_labels_one_is_named(tmp_path: Path) -> None:
    content = grid(("words", ["one", "two"]), ("phones", ["w", "t"]))
    with pytest.raises(DataError, match=r"words: one, two; phones: t, w.*event_label=NAME"):
        read(tmp_path, content)
    events = read(tmp_path, content, columns={"event_label": "phones"}).events["a"]
    assert [event.label for event in events] == ["w", "t"]
    with pytest.raises(DataError, match="no tier 'beats'; there are words, phones"):
        read(tmp_path, content, columns={"event_label": "beats"})


def test_faults_of_intervals_are_reported_together_by_their_lines(tmp_path: Path) -> None:
    content = LONG.replace("xmax = 0.5 ", "xmax = -1 ").replace("xmin = 1.25", "xmin = 3")
    annotations = read(tmp_path, content)
    assert [fault.line for fault in annotations.faults] == [16, 24]
    assert annotations.events == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (LONG[:-40], "ends before an expected number: it is incomplete"),
        (LONG.replace("size = 3", 'size = "3"'), 'line 14: "3": expected a number'),
        (LONG.replace("size = 3", "size = 3.5"), "line 14: 3.5: expected a whole number"),
        (LONG.replace('"TextTier"', '"PitchTier"'), "line 28: a tier of class 'PitchTier'"),
        (LONG.replace("size = 3", "size = 4"), 'line 28: "TextTier": expected a number'),
    ],
)
def test_a_broken_file_is_refused_with_its_line(content: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.TextGrid") as error:
        read(tmp_path, content)
    assert fault in str(error.value)


def test_what_is_written_fills_each_tier_from_end_to_end() -> None:
    """Praat allows no gaps, and no overlapping intervals in a tier."""
    found = {"a.wav": [Event(0.5, 1.5, "x"), Event(1.0, 2.0, "x"), Event(2.0, 2.25, "x")]}
    text = dump_annotations(found, "textgrid", durations_s={"a.wav": 3.0})
    tiers = text.split("    item [")[1:]
    assert len(tiers) == 2
    for tier in tiers:
        times = [float(line.split("= ")[1]) for line in tier.splitlines() if " xm" in line][2:]
        assert times[0] == 0
        assert times[-1] == 3
        assert times[1:-1:2] == times[2:-1:2]


def test_sedtf_data_names_the_format(
    recordings: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for path, found in read_annotations(recordings / "train.tsv").events.items():
        text = dump_annotations({path: found}, "textgrid")
        (labels / f"{Path(path).stem}.TextGrid").write_text(text, encoding="utf-16")
    options = [f"data.root={tmp_path}", f"data.audio={recordings}", "data.annotations=labels"]
    assert sedtf("data", "data=annotated", *options, "output_dir=shown") == 0
    assert "textgrid" in "".join(capfd.readouterr())
