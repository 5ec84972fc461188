"""Equal files in two splits are found; equal sizes, middles and splits alone are none."""

from __future__ import annotations

from pathlib import Path

from sed_cli.data.catalogue import Catalogue, Entry
from sed_cli.inspection.copies import find_copies


def test_only_equal_files_in_different_splits_are_copies(tmp_path: Path) -> None:
    long = bytes(200_000)
    contents = {
        "train_a": b"one",
        "train_b": b"two",  # as long as the first
        "train_c": long + b"begin",
        "train_d": b"one",  # again, in the same split
        "train_e": b"alone twice",
        "train_f": b"alone twice",
        "test_a": b"one",
        "test_b": b"six",
        "test_c": long + b"other",  # the same middle
    }
    splits: dict[str, list[Entry]] = {"train": [], "test": []}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        entry = Entry(name=name, path=tmp_path / name, duration_s=1.0, events=())
        splits[name.split("_")[0]].append(entry)

    (group,) = find_copies(Catalogue(classes=(), splits=splits))

    assert [place.name for place in group] == ["train_a", "train_d", "test_a"]
