"""The tables of a data set: integers at any width, and notes on the important points."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sed_cli.data.annotations import Event, Fault
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.statistics import describe
from sed_cli.tasks.detection.inspection.tables import notes, print_faults, print_set
from tests.tasks.detection.inspection.conftest import MakeSet


def printed(manifest: Manifest, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False)
    print_set(console, "a set", describe(manifest))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("n_classes", [1, 2, 50])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_number_is_cut_at_any_width(n_classes: int, width: int, make_set: MakeSet) -> None:
    manifest = make_set(n_classes)
    text = printed(manifest, width)

    assert max(map(len, text.splitlines())) <= width
    for label in manifest.classes:
        assert f"things {label.split()[-1]} " in text
    # long labels are shortened, numbers never are
    assert all("…" in line.split("  ")[0] for line in text.splitlines() if "…" in line)
    events = sum(len(entry.events) for split in manifest.splits.values() for entry in split)
    assert f" {events:,} " in text


def test_wider_terminals_show_more(make_set: MakeSet) -> None:
    narrow, wide = (printed(make_set(5), width) for width in (80, 120))

    assert "of time" not in narrow
    assert "of time" in wide


def test_every_share_of_a_row_is_shown_and_adds_up(make_set: MakeSet) -> None:
    lines = iter(printed(make_set(4), 100).splitlines())
    next(line for line in lines if line.startswith("share of the time"))
    row = next(line for line in lines if line.split()[:1] == ["all"])
    shares = [float(cell) for cell in row.replace("<0.1", "0").split() if cell[0].isdigit()]

    assert sum(shares[:-1]) == pytest.approx(100.0, abs=0.5)


def test_a_single_split_is_not_shown_twice(make_set: MakeSet) -> None:
    lines = printed(make_set(3, splits=("test",)), 80).splitlines()

    assert not [line for line in lines if line.split()[:1] == ["all"]]


def entry_of(*labels: str) -> Clip:
    events = tuple(Event(float(n), n + 0.5, label) for n, label in enumerate(labels))
    return Clip(name="x", path=Path("x"), duration_s=len(labels) + 1.0, events=events)


def test_classes_without_events_in_a_split_are_named() -> None:
    manifest = Manifest(
        classes=("a", "b", "c"),
        splits={"train": [entry_of(*"abc" * 20)], "validation": [entry_of("a")], "test": []},
    )

    said = notes(describe(manifest))

    assert "validation contains no event of b, c" in said
    assert "test contains no recording" in said


def test_a_rare_class_is_named() -> None:
    manifest = Manifest(classes=("a", "b"), splits={"train": [entry_of(*"a" * 40, "b")]})

    assert "unbalanced: 40 events of a, 1 of b, 40 to 1" in notes(describe(manifest))


def test_syntax_is_distinguished_from_none() -> None:
    cycle = Manifest(classes=("a", "b"), splits={"train": [entry_of(*"ab" * 50)]})
    # all pairs of the two are equally frequent
    alike = Manifest(classes=("a", "b"), splits={"train": [entry_of(*"aabb" * 30)]})

    assert [note.split(":")[0] for note in notes(describe(cycle))] == ["syntax"]
    assert [note.split(":")[0] for note in notes(describe(alike))] == ["no syntax beyond chance"]


def test_faults_stand_under_their_file_in_order_of_lines() -> None:
    faults = [
        Fault(Path("b.tsv"), 9, "late"),
        Fault(Path("b.tsv"), 2, "early", "the row is dropped"),
        Fault(Path("a.tsv"), None, "no such file [bold]"),
    ]
    console = Console(file=io.StringIO(), width=80, markup=False)

    print_faults(console, faults, n_shown=2)

    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "3 faults (and what data.strict=false does instead)",
        "a.tsv",
        "- no such file [bold]",
        "b.tsv",
        "- line 2: early (the row is dropped)",
        "and 1 more in faults.csv",
    ]
