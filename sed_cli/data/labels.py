"""Labels of a data set: known and unknown classes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sed_cli.data.annotations import Fault
from sed_cli.data.manifest import Clip
from sed_cli.errors import DataError

log = logging.getLogger(__name__)


def labels_to_learn(labels: Mapping[str, set[str]]) -> list[str]:
    """Return the labels of the training split, sorted; without one, those of all splits."""
    return sorted(labels["train"] if "train" in labels else set().union(*labels.values()))


def alike(classes: Iterable[str]) -> list[str]:
    """Return classes that differ only in case or blanks; single letters do so on purpose."""
    spelled: dict[str, list[str]] = {}
    for label in classes:
        if len(label) > 1:
            spelled.setdefault("".join(label.casefold().split()), []).append(label)
    return [" and ".join(labels) for labels in spelled.values() if len(labels) > 1]


def unknown_labels(splits: dict[str, list[Clip]], classes: Collection[str | None]) -> list[Fault]:
    """Report labels missing in the training annotations, each at its first occurrence."""
    faults = []
    for split, listed in splits.items():
        seen: Counter[str] = Counter()
        first: dict[str, tuple[Path, int | None]] = {}
        for one in listed:
            for row in one.rows:
                if row.event is not None and row.event.label not in classes:
                    seen[row.event.label] += 1
                    first.setdefault(row.event.label, (one.annotations, row.line))
        for label in sorted(seen):
            often = f" ({seen[label]} times)" if seen[label] > 1 else ""
            faults.append(
                Fault(
                    *first[label],
                    f"the {split} annotations contain {label}{often}, which the training "
                    f"annotations do not; choose with data.classes=[...]",
                    "the label is skipped",
                )
            )
    return faults


def refuse_nothing_to_learn(found: set[str], classes: Sequence[str]) -> None:
    """Reject training annotations without any of the classes.

    Raises:
        DataError: if there are none.
    """
    if not found:
        raise DataError("the training annotations contain no event to learn from")
    if not found & set(classes):
        raise DataError(
            f"data.classes={list(classes)}: the training annotations contain none of these, "
            f"but {', '.join(sorted(found))}"
        )


def compare_labels(labels: Mapping[str, set[str]], classes: Sequence[str]) -> None:
    """Report labels unknown to a trained detector; reject a data set with only such labels."""
    for split, found in labels.items():
        if found and not found & set(classes):
            raise DataError(
                f"the {split} annotations contain {', '.join(sorted(found))}, but the detector "
                f"only knows {', '.join(classes)}: there is nothing to compare"
            )
        if unknown := sorted(found - set(classes)):
            log.warning("%s: skipped, unknown to the detector: %s", split, ", ".join(unknown))
