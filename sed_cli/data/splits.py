"""Dividing a set that has no splits: whole recordings, sources kept together, classes balanced.

The balance is that of Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data",
2011: what is rarest is dealt out first, each time to the split that lacks most of it. The packages
that do this (iterative-stratification, scikit-multilearn) deal out single samples, scikit-learn's
StratifiedGroupKFold knows one label a sample; none keeps groups of many labels whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Fault
from sed_cli.data.listing import Listed, Listing, stem_of
from sed_cli.errors import DataError, UserError

SPLIT_WORDS: dict[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "evaluate"), "test"),
}
"""What splits are called elsewhere."""


def divide(
    listed: Sequence[Listed],
    shares: Mapping[str, float],
    *,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, list[Listed]]:
    """Divide recordings into splits.

    Args:
        listed: the recordings; their order does not matter.
        shares: of each split; they are scaled to sum to 1.
        group: a regular expression; recordings in whose names it finds the same (its first group,
            where it has one) stay together. One in whose name it finds nothing stands alone.
        seed: of the order in which equals are dealt out.

    Returns:
        The recordings of each split in the order of ``listed``. No split with a share is empty
        where there are as many groups as splits.

    Raises:
        UserError: if there are fewer groups than splits.
    """
    wanted = {name: share for name, share in shares.items() if share > 0}
    groups = _groups(listed, group)
    if len(groups) < len(wanted):
        what = "recordings" if group is None else f"groups by data.group={group}"
        raise UserError(
            f"{len(groups)} {what} cannot be divided into {len(wanted)} splits "
            f"({', '.join(wanted)}); ask for fewer, or add recordings"
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


def hold_out(
    listed: Sequence[Listed], share: float, *, group: str | None = None, seed: int = 0
) -> tuple[list[Listed], list[Listed]]:
    """Divide recordings into those to train with and a share of them for validation."""
    parts = divide(listed, {"train": 1 - share, "validation": share}, group=group, seed=seed)
    return parts["train"], parts.get("validation", [])


def fold_of(
    listed: Sequence[Listed],
    *,
    folds: int,
    fold: int,
    validation_share: float,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, list[Listed]]:
    """Return the splits of one of ``folds`` cross-validation folds: ``fold``, from 1, is tested.

    Of the others a share is held out for validation, so that early stopping sees no test recording.
    """
    shares = {f"fold {number}": 1 / folds for number in range(1, folds + 1)}
    tested = divide(listed, shares, group=group, seed=seed)[f"fold {fold}"]
    names = {one.name for one in tested}
    rest = [one for one in listed if one.name not in names]
    train, validation = hold_out(rest, validation_share, group=group, seed=seed)
    return {"train": train, "validation": validation, "test": tested}


# ---------------------------------------------------------------------------------- lists


def by_lists(listed: Sequence[Listed], lists: Mapping[str, Path], annotations: Path) -> Listing:
    """Divide recordings by lists of their names.

    Args:
        listed: the recordings.
        lists: of each split, a text file with a name a line, with or without folder and ending;
            where a line goes on (after a tab, comma or semicolon) with the name of a split, as in
            one table for all, only the lines of this split count.
        annotations: what faults of names that nothing is annotated for refer to.

    Raises:
        DataError: if a list is missing or empty.
    """
    index: dict[str, list[Listed]] = {}
    for one in listed:
        base = _base(one.name)
        for key in {one.name.lower(), base.lower(), stem_of(base).lower()}:
            index.setdefault(key, []).append(one)
    exact = {one.name.lower(): [one] for one in listed}
    splits: dict[str, list[Listed]] = {}
    faults: list[Fault] = []
    taken: dict[str, str] = {}
    for split, path in lists.items():
        splits[split] = []
        for line, name in _read_list(path, split):
            base = _base(name)
            keys = (name.lower(), base.lower(), stem_of(base).lower())
            ways = (exact.get(keys[0]), *(index.get(key) for key in keys))
            found, *others = next((way for way in ways if way), [None])
            if others:
                message = f"{name} may be any of {len(others) + 1} recordings; list their folders"
                faults.append(Fault(path, line, message, "it is left out"))
            elif found is None:
                message = f"{name} is listed, but {annotations.name} does not annotate it"
                faults.append(Fault(path, line, message, "it is left out"))
            elif found.name in taken:
                message = f"{name} is in the {taken[found.name]} split already"
                faults.append(Fault(path, line, message, "it stays there"))
            else:
                taken[found.name] = split
                splits[split].append(found)
    return Listing(splits=splits, faults=tuple(faults))


def _read_list(path: Path, split: str) -> list[tuple[int, str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such list of recordings")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        name, *more = (field.strip() for field in re.split(r"[\t,;]", line))
        words = {SPLIT_WORDS[word.lower()] for word in more if word.lower() in SPLIT_WORDS}
        is_header = number == 1 and name.lower() in ("filename", "file", "name", "recording")
        if name and not is_header and (not words or split in words):
            found.append((number, name))
    if not found:
        raise DataError(f"{path}: lists no recording of the {split} split")
    return found


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


# -------------------------------------------------------------------------------- dealing


def _groups(listed: Sequence[Listed], pattern: str | None) -> list[list[Listed]]:
    groups: dict[tuple[str, str], list[Listed]] = {}
    for one in sorted(listed, key=lambda one: one.name):
        match = re.search(pattern, one.name) if pattern is not None else None
        key = ("name", one.name) if match is None else ("group", match[1 if match.re.groups else 0])
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _weights(groups: Sequence[Sequence[Listed]]) -> NDArray[np.float64]:
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

    Groups are dealt out with the largest part of anything first, each to the split in which it
    lessens the squared distance from the shares most; the distance counts in units of the share.
    """
    n_groups, n_columns = weights.shape
    # All labels together weigh as much as the number of recordings does.
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
        if empty.sum() == left:  # one each, or a split would stay empty
            cost[~empty] = np.inf
        chosen[group] = int(cost.argmin())
        dealt[chosen[group]] += part
    return [int(index) for index in chosen]
