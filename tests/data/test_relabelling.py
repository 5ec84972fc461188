"""Messy labels: they are merged and left out by settings, without editing files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.data.survey import Manifest, load_manifest
from sed_cli.errors import DataError
from tests.data.test_listing import write_audio

EVENTS = [
    Event(0.0, 0.02, "SIL"),
    Event(0.02, 0.04, "Noctule"),
    Event(0.02, 0.04, "noctule?"),
    Event(0.04, 0.06, "noctule?"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("x", "y", "z"):
        write_audio(tmp_path / f"{name}.wav")
        write_annotations(tmp_path / f"{name}.txt", {name: EVENTS}, "audacity")
    write_audio(tmp_path / "silent.wav")
    write_annotations(tmp_path / "silent.txt", {"silent": EVENTS[:1]}, "audacity")
    return tmp_path


def listed(folder: Path, **settings: object) -> Manifest:
    config = AnnotatedConfig(root=str(folder), leak_check="none", test=None, validation=None)
    for key, value in settings.items():
        setattr(config, key, value)
    return load_manifest(config)


def test_labels_are_merged_and_left_out(folder: Path) -> None:
    found = listed(folder, merge={"noctule?": "Noctule"}, exclude=["SIL"])

    assert found.classes == ("Noctule",)
    assert "that do not occur" not in "\n".join(found.notes.lines())
    events = {clip.path.stem: clip.events for clip in found.splits["train"]}
    merged = (Event(0.02, 0.04, "Noctule"), Event(0.04, 0.06, "Noctule"))
    assert events == {"x": merged, "y": merged, "z": merged, "silent": ()}


def test_labels_that_differ_only_in_case_are_named(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav")
    labels = ("Noctule", "noctule ", "a", "A")
    events = [Event(0.02 * n, 0.02 * n + 0.01, label) for n, label in enumerate(labels)]
    write_annotations(tmp_path / "x.csv", {"x.wav": events}, "csv")
    (line,) = [one for one in listed(tmp_path).notes.lines() if "only in case or blanks" in one]
    assert line.endswith(": Noctule and noctule")
    merged = listed(tmp_path, merge={"noctule": "Noctule"})
    assert "only in case or blanks" not in "\n".join(merged.notes.lines())


@pytest.mark.parametrize("head", ["old,new\n", ""])
def test_a_table_is_equivalent_and_single_settings_go_before_it(folder: Path, head: str) -> None:
    table = folder / "meta" / "names.list"
    table.parent.mkdir()
    table.write_text(f"{head}noctule?,Noctule\nSIL,\n\n")

    assert listed(folder, relabel=str(table)).classes == ("Noctule",)
    assert listed(folder, relabel=str(table), merge={"Noctule": "bat"}).classes == (
        "Noctule",
        "bat",
    )


def test_a_label_is_left_out_by_its_new_name_too(folder: Path) -> None:
    assert listed(folder, merge={"noctule?": "bat"}, exclude=["bat"]).classes == ("Noctule", "SIL")


@pytest.mark.parametrize(
    ("content", "reason"),
    [("a,b,c\n", "line 1: 'a' occurs beside 2 others"), ("a,b\na,c\n", "line 2: 'a' occurs twice")],
)
def test_a_table_of_something_else_is_refused(folder: Path, content: str, reason: str) -> None:
    table = folder / "names.list"
    table.write_text(content)
    with pytest.raises(DataError, match=reason):
        listed(folder, relabel=str(table))
    with pytest.raises(DataError, match="no such table of labels file"):
        listed(folder, relabel="nowhere.csv")


def test_a_mistyped_label_is_named(folder: Path) -> None:
    said = "\n".join(listed(folder, exclude=["SILL"]).notes.lines())
    assert "labels to merge or exclude that do not occur: SILL" in said


def unknown_of(folder: Path, table: str, **settings: object) -> dict[str, set[str]]:
    """Classes for which recordings are not annotated."""
    header = "filename\tonset\toffset\tevent_label\tannotated_classes\n"
    (folder / "events.tsv").write_text(header + table)
    found = listed(folder, annotations="events.tsv", audio=".", **settings)
    return {clip.name: {span.label for span in clip.unknown} for clip in found.splits["train"]}


def test_classes_that_recordings_are_annotated_for_are_merged_and_left_out(folder: Path) -> None:
    table = (
        "x.wav\t0\t0.02\ttom\ttom,queen,hum\ny.wav\t0\t0.02\tdog\ttom\nz.wav\t0\t0.02\tdog\tcat\n"
    )
    settings = {"merge": {"tom": "cat", "queen": "cat"}, "exclude": ["hum"]}
    assert unknown_of(folder, table, **settings) == {
        "x.wav": {"dog"},
        "y.wav": {"cat", "dog"},  # unknown for queens, and for all else
        "z.wav": {"dog"},
    }


def test_rows_that_become_one_keep_what_they_are_annotated_for(folder: Path) -> None:
    table = (
        "x.wav\t0\t0.02\ttom\tcat\nx.wav\t0\t0.02\tcat\tdog\n"
        "y.wav\t\t\t\tcat\ny.wav\t\t\t\tdog\nz.wav\t0\t0.02\tdog\tdog\n"
    )
    assert unknown_of(folder, table, merge={"tom": "cat"}) == {
        "x.wav": set(),
        "y.wav": set(),
        "z.wav": {"cat"},
    }
