"""Dividing a data set without splits: whole recordings, sources kept together, classes balanced.

The balance is that of Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data",
2011: the rarest label is assigned first, always to the split that lacks most of it. Packages
that do this (iterative-stratification, scikit-multilearn) assign single samples, scikit-learn's
StratifiedGroupKFold supports one label per sample; none keeps groups with many labels whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Fault
from sed_cli.data.annotations.text import read_text
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.names import key_of, parts_of
from sed_cli.data.notes import Notes
from sed_cli.errors import DataError, UserError

SPLIT_WORDS: dict[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "evaluate"), "test"),
}
"""Other names of splits."""


def divide(
    listed: Sequence[Clip],
    shares: Mapping[str, float],
    *,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, list[Clip]]:
    """Divide recordings into splits.

    Args:
        listed: the recordings; their order does not matter.
        shares: of each split; they are scaled to sum to 1.
        group: a regular expression; recordings with the same match in their names (its first group,
            if it has one) stay together. One without a match is a group by itself.
        seed: of the order of equal groups.

    Returns:
        The recordings of each split in the order of ``listed``. No split with a share is empty if
        there are as many groups as splits.

    Raises:
        UserError: if there are fewer groups than splits.
    """
    wanted = {name: share for name, share in shares.items() if share > 0}
    groups = groups_of(listed, group)
    if len(groups) < len(wanted):
        what = "recordings" if group is None else f"groups by data.group={group}"
        raise UserError(
            f"{len(groups)} {what} cannot be divided into {len(wanted)} splits "
            f"({', '.join(wanted)}); use fewer, or add recordings"
        )
    total = sum(wanted.values())
    chosen = _deal(_weights(groups), np.array([share / total for share in wanted.values()]), seed)
    names = list(wanted)
    split_of = {
        one.name: names[index]
        for of_group, index in zip(groups, chosen, strict=True)
        for one in of_group
    }
    return {name: [one for one in listed if split_of[one.name] == name] for name in wanted}


def groups_of(listed: Sequence[Clip], pattern: str | None) -> list[list[Clip]]:
    """Group recordings with the same match of a pattern in their names, as in :func:`divide`.

    The order of neither the recordings nor their groups depends on that of ``listed``.
    """
    groups: dict[tuple[str, str], list[Clip]] = {}
    for one in sorted(listed, key=lambda one: one.name):
        match = re.search(pattern, one.name) if pattern is not None else None
        key = ("name", one.name) if match is None else ("group", match[1 if match.re.groups else 0])
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def hold_out(
    listed: Sequence[Clip], share: float, *, group: str | None = None, seed: int = 0
) -> tuple[list[Clip], list[Clip]]:
    """Divide recordings into those to train with and a share of them for validation."""
    parts = divide(listed, {"train": 1 - share, "validation": share}, group=group, seed=seed)
    return parts["train"], parts.get("validation", [])


def fold_of(
    listed: Sequence[Clip],
    *,
    folds: int,
    fold: int,
    validation_share: float,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, list[Clip]]:
    """Return the splits of one of ``folds`` cross-validation folds: ``fold``, from 1, is tested.

    A share of the others is held out for validation, so that early stopping uses no test recording.
    """
    shares = {f"fold {number}": 1 / folds for number in range(1, folds + 1)}
    tested = divide(listed, shares, group=group, seed=seed)[f"fold {fold}"]
    names = {one.name for one in tested}
    rest = [one for one in listed if one.name not in names]
    train, validation = hold_out(rest, validation_share, group=group, seed=seed)
    return {"train": train, "validation": validation, "test": tested}


# ---------------------------------------------------------------------------------- lists


def by_lists(
    listed: Sequence[Clip],
    lists: Mapping[str, Path],
    annotations: Path,
    notes: Notes | None = None,
) -> Manifest:
    """Divide recordings by lists of their names.

    Args:
        listed: the recordings.
        lists: by split, text files with one name per line, with or without folder and ending; if
            lines continue (after a tab, comma or semicolon) with the name of a split, as in one
            table for all, only the lines of this split count.
        annotations: named in faults of names without annotations.
        notes: on recordings that no list names.

    Raises:
        DataError: if a list is missing or empty.
    """
    index: dict[str, list[Clip]] = {}
    for one in listed:
        names = (one.name, one.path.as_posix())
        for key in {key for name in names for key in (parts_of(name)[-1], key_of(name))}:
            index.setdefault(key, []).append(one)
    splits: dict[str, list[Clip]] = {}
    faults: list[Fault] = []
    taken: dict[str, str] = {}
    for split, path in lists.items():
        splits[split] = []
        lines = _read_list(path, split, index)
        found_by = [_named(name, index) for _, name in lines]
        # If the folders of any name match its recording, they must not be ignored.
        has_folders = any(
            len(parts_of(name)) > 1 and any(_lies_in(one, name) for one in found)
            for (_, name), found in zip(lines, found_by, strict=True)
        )
        for (line, name), found in zip(lines, found_by, strict=True):
            if has_folders:
                found = [one for one in found if _lies_in(one, name)]
            if len(found) > 1:
                message = f"{name} may be any of {len(found)} recordings; list their folders"
                faults.append(Fault(path, line, message, "it is skipped"))
            elif not found:
                message = f"{name} is listed, but not annotated in {annotations.name}"
                faults.append(Fault(path, line, message, "it is skipped"))
            elif (one := found[0]).name in taken:
                message = f"{name} is already in the {taken[one.name]} split"
                faults.append(Fault(path, line, message, "it stays there"))
            else:
                taken[one.name] = split
                splits[split].append(one)
    if notes is not None:
        for one in listed:
            if one.name not in taken:
                notes.add("annotated recordings missing in all lists of splits", one.name)
    return Manifest(splits=splits, faults=tuple(faults))


def _named(name: str, index: Mapping[str, list[Clip]]) -> list[Clip]:
    """Return the recordings that best match a name in a list."""
    parts = parts_of(name)
    for key in (parts[-1], key_of(name)) if parts else ():
        if found := index.get(key, []):
            exact = [one for one in found if one.name == name]
            whole = [one for one in found if parts_of(one.name) == parts]
            return exact or whole or [one for one in found if _lies_in(one, name)] or found
    return []


def _lies_in(one: Clip, name: str) -> bool:
    """Whether a recording is in the folders of a name."""
    folders = parts_of(name)[:-1]
    places = (parts_of(one.path.as_posix())[:-1], parts_of(one.name)[:-1])
    return any(place[len(place) - len(folders) :] == folders for place in places)


def _read_list(path: Path, split: str, index: Mapping[str, list[Clip]]) -> list[tuple[int, str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such list of recordings")
    found = []
    for number, line in enumerate(read_text(path, "list").lines, start=1):
        name, *more = (field.strip() for field in re.split(r"[\t,;]", line))
        words = {SPLIT_WORDS[word.lower()] for word in more if word.lower() in SPLIT_WORDS}
        is_header = number == 1 and name.lower() in ("filename", "file", "name", "recording")
        if more and key_of(line.strip()) in index:  # a name with a comma
            name, words = line.strip(), set()
        if name and not is_header and (not words or split in words):
            found.append((number, name))
    if not found:
        raise DataError(f"{path}: lists no recording of the {split} split")
    return found


# -------------------------------------------------------------------------------- dealing


def _weights(groups: Sequence[Sequence[Clip]]) -> NDArray[np.float64]:
    """Share of each group in all recordings, and in all events of each label, (groups, 1 + C)."""
    counts = [
        Counter(row.event.label for one in g for row in one.rows if row.event) for g in groups
    ]
    labels = sorted({label for count in counts for label in count})
    table = np.array(
        [
            [len(of_group), *(count[label] for label in labels)]
            for of_group, count in zip(groups, counts, strict=True)
        ],
        dtype=np.float64,
    )
    weights: NDArray[np.float64] = table / table.sum(axis=0)
    return weights


def _deal(weights: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> list[int]:
    """Choose a split for each group so that all columns come near to ``shares``.

    Groups are assigned in order of their largest part, each to the split in which it most reduces
    the squared distance from the shares, in units of the share.
    """
    n_groups, n_columns = weights.shape
    # All labels together have the same weight as the number of recordings.
    importance = np.r_[1.0, np.full(n_columns - 1, 1 / max(1, n_columns - 1))]
    dealt = np.zeros((len(shares), n_columns))
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-weights[order].max(axis=1), kind="stable")]
    chosen = np.full(n_groups, -1)
    for left, group in zip(range(n_groups, 0, -1), order, strict=True):
        part = weights[group]
        cost = part * (part + 2 * (dealt - shares[:, None])) / shares[:, None]
        cost = (importance * cost).sum(axis=1)
        empty = ~np.isin(np.arange(len(shares)), chosen)
        if empty.sum() == left:  # one each, so that no split stays empty
            cost[~empty] = np.inf
        chosen[group] = int(cost.argmin())
        dealt[chosen[group]] += part
    return [int(index) for index in chosen]
