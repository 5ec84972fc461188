"""Splits of a bank: by a table, by folds, or random; no source is in two."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sed_cli.config.annotations import SPLITS
from sed_cli.data.annotations import Fault
from sed_cli.data.soundscapes.text import read_setting
from sed_cli.data.splits import SPLIT_WORDS
from sed_cli.errors import DataError
from sed_cli.system.text import nearest

_CLIP_COLUMNS = ("clip", "filename", "file", "path", "name", "slice_file_name")
_SPLIT_COLUMNS = ("split", "subset", "set", "partition")


def split_named(word: str) -> str | None:
    """Return the split named ``word`` by a folder or a table; ``None`` if there is none."""
    return SPLIT_WORDS.get(word.casefold())


# --------------------------------------------------------------------------------- by a table


def read_split_table(path: Path, files: Sequence[str]) -> tuple[dict[str, str | None], list[Fault]]:
    """Read the split of each clip.

    The table has a header with a column ``clip`` (or filename) and a column ``split``, or no header
    and these two columns; tabs, semicolons or commas. A clip is named by its path below the bank or
    by its file name, with or without its ending; an empty split excludes it.

    Args:
        path: of the table.
        files: paths of the bank's clips, below it.

    Returns:
        Split by clip, and the faults found.

    Raises:
        DataError: if the file is missing or is not such a table.
    """
    rows, clip_column, split_column = _table(path)
    known = _by_name(files)
    splits: dict[str, str | None] = {}
    faults = []
    for line, fields in rows:
        clip, split = fields[clip_column].strip(), fields[split_column].strip()
        matches = known.get(clip.replace("\\", "/").removeprefix("./"), [])
        named = split_named(split)
        fault = ""
        if not matches:
            near = nearest(clip, list(known))
            fault = f"the bank has no clip {clip}" + (f"; did you mean {near}?" if near else "")
        elif len(matches) > 1:
            fault = f"{clip} may be {' or '.join(matches[:3])}: name it with its folder"
        elif split and named is None:
            fault = f"split {split!r}: expected {', '.join(SPLITS)}, or nothing to exclude it"
        elif splits.setdefault(matches[0], named) != named:
            fault = f"{clip} is listed before with another split"
        if fault:
            faults.append(Fault(path, line, fault, "the row is skipped"))
    return splits, faults


def _table(path: Path) -> tuple[list[tuple[int, list[str]]], int, int]:
    """Return the rows with their lines, and which column names the clip and which the split."""
    lines = read_setting(path, f"data.bank_splits={path}").splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in "\t;," if mark in first), "\t")
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        rows = [(reader.line_num, fields) for fields in reader if any(map(str.strip, fields))]
    except csv.Error as error:
        raise DataError(f"data.bank_splits={path}: not a table ({error})") from error
    header = [name.strip().casefold() for name in rows[0][1]] if rows else []
    clip = next((header.index(name) for name in _CLIP_COLUMNS if name in header), None)
    split = next((header.index(name) for name in _SPLIT_COLUMNS if name in header), None)
    if clip is not None and split is not None:
        rows = rows[1:]
    elif len(header) == 2 and split_named(header[1]):
        clip, split = 0, 1
    else:
        raise DataError(
            f"data.bank_splits={path}: starts with {first[:80]!r}; expected a header with the "
            f"columns clip and split, separated by tabs or commas"
        )
    width = 1 + max(clip, split)
    return [(line, fields + [""] * (width - len(fields))) for line, fields in rows], clip, split


def _by_name(files: Iterable[str]) -> dict[str, list[str]]:
    """Return the clips that a name may refer to."""
    known: dict[str, list[str]] = defaultdict(list)
    for file in files:
        names = {file, file.rsplit("/", 1)[-1]}
        for name in names | {name.rsplit(".", 1)[0] for name in names}:
            known[name].append(file)
    return known


def refuse_shared(
    path: Path, splits: Mapping[str, str | None], names: Mapping[str, str]
) -> list[Fault]:
    """Return a fault for each group in two splits.

    Args:
        path: what decided the splits.
        splits: by clip.
        names: by clip, of groups that may be in one split only.
    """
    first: dict[str, str] = {}
    faults = {}
    for file, split in splits.items():
        if split is None:
            continue
        other = first.setdefault(names[file], file)
        if splits[other] != split and names[file] not in faults:
            faults[names[file]] = Fault(
                path,
                None,
                f"{names[file]} is in {splits[other]} ({other}) and in {split} ({file}): the "
                f"test would include training data; put its clips into one split",
            )
    return list(faults.values())


# ------------------------------------------------------------------------------ by folds, drawn


def fold_splits(
    folds: Mapping[str, int | None], groups: Mapping[str, str]
) -> dict[str, str | None] | None:
    """Return splits by fold: the last is for testing, the one before for validation.

    Args:
        folds: by clip; ``None`` if its name has none.
        groups: by clip; clips of a group stay together.

    Returns:
        Split by clip; ``None`` if a clip has no fold, a group is in two, or there are under three.
    """
    there = sorted({fold for fold in folds.values() if fold is not None})
    in_group: dict[str, set[int | None]] = defaultdict(set)
    for file, fold in folds.items():
        in_group[groups[file]].add(fold)
    consistent = all(len(of_group) == 1 for of_group in in_group.values())
    if len(there) < 3 or None in folds.values() or not consistent:
        return None
    held_out = {there[-2]: "validation", there[-1]: "test"}
    return {file: held_out.get(fold, "train") for file, fold in folds.items() if fold is not None}


def draw_splits(
    labels: Mapping[str, str],
    groups: Mapping[str, str],
    shares: Sequence[float],
    seed: int,
) -> dict[str, str | None]:
    """Divide groups at random, so that each class has its share of them in each split.

    A class needs an event in every split, so one group goes to each before shares apply; unlike in
    :func:`sed_cli.data.splits.divide`, clips may also be added later. The split of a group depends
    on its name and on the number of groups, not on the order of files: clips added later leave most
    others in their split.

    Args:
        labels: by clip.
        groups: by clip; clips of a group stay together.
        shares: of the groups of each class, for train, validation and test.
        seed: of the draw.

    Returns:
        Split by clip.
    """
    of_class: dict[str, set[str]] = defaultdict(set)
    for file, label in labels.items():
        of_class[label].add(groups[file])
    split_of: dict[str, str] = {}
    # Rare classes first: they have the least choice if a group has several classes.
    for label in sorted(of_class, key=lambda label: (len(of_class[label]), label)):
        wanted = _quotas(len(of_class[label]), shares)
        for group in of_class[label] & split_of.keys():
            wanted[split_of[group]] -= 1
        for group in sorted(of_class[label] - split_of.keys(), key=lambda g: _chance(seed, g)):
            split = max(SPLITS, key=lambda split: wanted[split])
            split_of[group] = split
            wanted[split] -= 1
    return {file: split_of[groups[file]] for file in labels}


def _quotas(n_groups: int, shares: Sequence[float]) -> dict[str, int]:
    """Whole numbers that sum to ``n_groups``: each split with a share first gets one."""
    share = {split: part for split, part in zip(SPLITS, shares, strict=True) if part > 0}
    # Training first, then testing: with two groups there is no validation.
    first = [split for split in ("train", "test", "validation") if split in share][:n_groups]
    quotas = {split: int(split in first) for split in SPLITS}
    for _ in range(n_groups - len(first)):
        missing = {
            s: part / sum(share.values()) * n_groups - quotas[s] for s, part in share.items()
        }
        quotas[max(missing, key=lambda split: missing[split])] += 1
    return quotas


def _chance(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}\t{group}".encode()).hexdigest()
