"""Dividing data sets: whole recordings, groups kept together, shares and classes as requested."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.data.annotations import Event, Row
from sed_cli.data.manifest import Clip
from sed_cli.data.notes import Notes
from sed_cli.data.splits import by_lists, divide, fold_of, hold_out
from sed_cli.errors import DataError, UserError

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def listed(name: str, labels: str = "") -> Clip:
    rows = tuple(
        Row(name, Event(float(i), i + 0.5, label), i + 2) for i, label in enumerate(labels)
    )
    return Clip(name=name, path=Path(name), annotations=Path("table.tsv"), rows=rows)


def names(recordings: list[Clip]) -> list[str]:
    return [one.name for one in recordings]


@st.composite
def sets(draw: st.DrawFn) -> list[Clip]:
    """Recordings of up to 12 sources, up to 6 per source, with up to 5 events of 4 classes."""
    sources = draw(st.lists(st.integers(1, 6), min_size=3, max_size=12))
    return [
        listed(f"s{source}_{take}.wav", draw(st.text("abcd", max_size=5)))
        for source, n_takes in enumerate(sources)
        for take in range(n_takes)
    ]


@given(recordings=sets(), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_every_recording_is_in_one_split_and_no_source_in_two(
    recordings: list[Clip], seed: int
) -> None:
    parts = divide(recordings, SHARES, group="^s[0-9]+", seed=seed)

    assert sorted(name for part in parts.values() for name in names(part)) == sorted(
        names(recordings)
    )
    sources = [{name.split("_")[0] for name in names(part)} for part in parts.values()]
    assert sum(map(len, sources)) == len(set().union(*sources))
    assert all(parts.values())


@given(recordings=sets(), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_files_does_not_matter(
    recordings: list[Clip], seed: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(recordings))

    first, second = divide(recordings, SHARES, seed=seed), divide(shuffled, SHARES, seed=seed)

    assert {k: set(names(v)) for k, v in first.items()} == {
        k: set(names(v)) for k, v in second.items()
    }


def test_another_seed_is_another_division() -> None:
    recordings = [listed(f"{i}.wav", "a") for i in range(40)]

    divisions = [set(names(divide(recordings, SHARES, seed=s)["test"])) for s in range(5)]

    assert len({frozenset(division) for division in divisions}) > 1


@pytest.mark.parametrize("n_recordings", [20, 100, 333])
def test_shares_and_classes_come_near_to_what_was_asked(n_recordings: int) -> None:
    recordings = [
        listed(f"{i}.wav", "a" * (i % 3) + "b" * (i % 2) + "c" * (i % 10 == 0))
        for i in range(n_recordings)
    ]
    counts = Counter(label for one in recordings for label in one.labels)

    for split, part in divide(recordings, SHARES).items():
        # A recording is the smallest unit that can be moved.
        assert len(part) == pytest.approx(SHARES[split] * n_recordings, abs=1.5)
        for label, count in counts.items():
            found = sum(label in one.labels for one in part)
            assert found == pytest.approx(SHARES[split] * count, abs=0.02 * n_recordings + 1.5)


def test_a_class_of_one_recording_is_trained_on() -> None:
    recordings = [listed(f"{i}.wav", "a") for i in range(20)] + [listed("rare.wav", "z")]

    for seed in range(10):
        assert "rare.wav" in names(divide(recordings, SHARES, seed=seed)["train"])


def test_as_many_recordings_as_splits_fill_all_of_them() -> None:
    recordings = [listed(f"{i}.wav", "a") for i in range(3)]

    assert [len(part) for part in divide(recordings, SHARES).values()] == [1, 1, 1]
    with pytest.raises(UserError, match="2 recordings cannot be divided into 3 splits"):
        divide(recordings[:2], SHARES)
    with pytest.raises(UserError, match=r"1 groups by data\.group"):
        divide(recordings, SHARES, group=r"\.wav$")


def test_a_name_without_the_group_is_a_group_by_itself() -> None:
    recordings = [listed(name, "a") for name in ("x_1.wav", "x_2.wav", "1.wav", "2.wav")]

    parts = divide(recordings, {"train": 0.5, "test": 0.5}, group="^(x)_")

    sides = {name: split for split, part in parts.items() for name in names(part)}
    assert sides["x_1.wav"] == sides["x_2.wav"]
    assert sides["1.wav"] == sides["2.wav"] != sides["x_1.wav"]


def test_folds_test_every_recording_once_and_never_train_on_it() -> None:
    recordings = [listed(f"s{i // 2}_{i}.wav", "ab"[i % 2]) for i in range(30)]

    folds = [
        fold_of(recordings, folds=5, fold=fold, validation_share=0.2, group="^s[0-9]+")
        for fold in range(1, 6)
    ]

    tested = [name for fold in folds for name in names(fold["test"])]
    assert sorted(tested) == sorted(names(recordings))
    for fold in folds:
        sources = [{name.split("_")[0] for name in names(part)} for part in fold.values()]
        assert sum(map(len, sources)) == 15
        assert all(fold.values())


def test_nothing_is_held_out_where_no_share_is_asked_for() -> None:
    recordings = [listed(f"{i}.wav", "a") for i in range(4)]

    train, validation = hold_out(recordings, 0.0)

    assert (names(train), validation) == (names(recordings), [])


def test_lists_choose_by_name_path_or_stem(tmp_path: Path) -> None:
    recordings = [listed(f"audio/{name}.wav") for name in "abcd"]
    (tmp_path / "train.txt").write_text("a.wav\n\naudio/b.wav\n")
    (tmp_path / "test.txt").write_text("c\n")

    listing = by_lists(
        recordings,
        {"train": tmp_path / "train.txt", "test": tmp_path / "test.txt"},
        Path("table.tsv"),
    )

    assert {split: names(part) for split, part in listing.splits.items()} == {
        "train": ["audio/a.wav", "audio/b.wav"],
        "test": ["audio/c.wav"],
    }
    assert listing.faults == ()


def test_one_table_may_list_all_splits(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("filename,split\na.wav,train\nb.wav,dev\nc.wav,evaluation\n")
    recordings = [listed(f"{name}.wav") for name in "abc"]

    listing = by_lists(recordings, dict.fromkeys(SHARES, path), Path("table.tsv"))

    assert [names(part) for part in listing.splits.values()] == [["a.wav"], ["b.wav"], ["c.wav"]]


def test_names_that_are_unknown_or_listed_twice_are_faults_with_their_lines(
    tmp_path: Path,
) -> None:
    (tmp_path / "train.txt").write_text("a.wav\nnobody.wav\n")
    (tmp_path / "test.txt").write_text("a.wav\nb.wav\n")

    listing = by_lists(
        [listed("a.wav"), listed("b.wav")],
        {"train": tmp_path / "train.txt", "test": tmp_path / "test.txt"},
        Path("table.tsv"),
    )

    assert [(fault.path.name, fault.line) for fault in listing.faults] == [
        ("train.txt", 2),
        ("test.txt", 1),
    ]
    assert names(listing.splits["test"]) == ["b.wav"]
    with pytest.raises(DataError, match="no such list"):
        by_lists([listed("a.wav")], {"train": tmp_path / "nowhere.txt"}, Path("table.tsv"))


def test_a_listed_name_is_its_own_recording_before_it_is_anothers_base(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("x.wav\ny\n")
    recordings = [listed(name) for name in ("x.wav", "sub/x.wav", "a/y.wav", "b/y.wav")]

    listing = by_lists(recordings, {"train": tmp_path / "train.txt"}, Path("table.tsv"))

    assert names(listing.splits["train"]) == ["x.wav"]
    (fault,) = listing.faults
    assert (fault.line, "any of 2 recordings" in fault.message) == (2, True)


def test_a_list_spells_names_as_it_likes_but_not_those_of_other_folders(tmp_path: Path) -> None:
    found_here = [
        replace(listed(name, "x"), path=tmp_path / "set" / name)
        for name in ("a/x.wav", "b/y.wav", "b/z, late.wav", "c/u.wav")
    ]
    path = tmp_path / "train.txt"
    path.write_text("./A/X\nset\\b\\Y.wav\nb/z, late.wav\nlost/u.wav\n")

    notes = Notes()
    found = by_lists(found_here, {"train": path}, Path("table.tsv"), notes)

    assert [one.name for one in found.splits["train"]] == ["a/x.wav", "b/y.wav", "b/z, late.wav"]
    assert ["lost/u.wav is listed" in str(fault) for fault in found.faults] == [True]
    assert "annotated recordings missing in all lists of splits: c/u.wav" in notes.lines()
