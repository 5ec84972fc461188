"""Merging and dropping labels, before they are counted."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sed_cli.config.annotations import AnnotationsConfig
from sed_cli.data.annotations import Row
from sed_cli.data.annotations.text import read_text
from sed_cli.data.manifest import Clip
from sed_cli.errors import DataError


@dataclass(frozen=True)
class Relabelling:
    """A mapping of labels.

    Args:
        new: new label by old one; ``None``: their events are dropped.
        excluded: labels to drop, by their old or new names.
    """

    new: Mapping[str, str | None] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    _met: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, data: AnnotationsConfig) -> Relabelling:
        """From a configuration; ``data.merge`` takes precedence over its table.

        Raises:
            DataError: if the table cannot be read.
        """
        table = {} if data.relabel is None else _read_table(Path(data.relabel).expanduser())
        return cls({**table, **data.merge}, frozenset(data.exclude))

    @property
    def is_active(self) -> bool:
        """Whether anything is relabelled."""
        return bool(self.new or self.excluded)

    @property
    def unused(self) -> list[str]:
        """Labels in the mapping that have not occurred so far."""
        return sorted((set(self.new) | self.excluded) - self._met)

    def label(self, old: str) -> str | None:
        """Return the new label; ``None``: its events are dropped."""
        new = self.new.get(old, old)
        self._met.update((old, old if new is None else new))
        return None if new is None or not self.excluded.isdisjoint((old, new)) else new

    def labels(self, old: Iterable[str]) -> tuple[str, ...]:
        """Return the new labels, each once."""
        new = map(self.label, old)
        return tuple(dict.fromkeys(label for label in new if label is not None))

    def rows(self, rows: Iterable[Row]) -> tuple[Row, ...]:
        """Relabel a recording's rows; events that become equal are kept once.

        If all events are dropped, it is a recording without events. The annotated classes in all
        rows are kept.
        """
        kept: dict[object, Row] = {}
        for row in rows:
            event = row.event
            if event is not None:
                label = self.label(event.label)
                event = None if label is None else event._replace(label=label)
            row = row._replace(event=event, annotated=self._annotated(row.annotated))
            kept[event] = _joined(kept[event], row) if event in kept else row
        return tuple(kept.values())

    def _annotated(self, named: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Relabel the annotated classes of a recording, if they are known.

        A merged class is annotated if it is named itself, or if all its parts are.
        """
        if named is None:
            return None
        found: dict[str, None] = {}
        for old in named:
            label = self.label(old)
            if label is not None and (label == old or self._parts_of(label) <= set(named)):
                found.setdefault(label)
        return tuple(found)

    def _parts_of(self, label: str) -> set[str]:
        return {old for old, new in self.new.items() if new == label and old != label}

    def clip(self, clip: Clip) -> Clip:
        """Relabel the rows of a clip."""
        return replace(clip, rows=self.rows(clip.rows))


def _joined(first: Row, second: Row) -> Row:
    """One row from two of the same event, with the information of both."""
    told = [row.annotated for row in (first, second) if row.annotated is not None]
    annotated = tuple(dict.fromkeys(label for of in told for label in of)) if told else None
    return first._replace(annotated=annotated)


def _read_table(path: Path) -> dict[str, str | None]:
    """Read a table of old and new labels, with or without a header of these names."""
    text = read_text(path, "table of labels")
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in text.content), ",")
    found: dict[str, str | None] = {}
    try:
        rows = list(csv.reader(text.lines, delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: not a table of labels: {error}") from error
    for number, fields in enumerate(rows, start=1):
        old, *rest = (one.strip() for one in fields or [""])
        if not old or old.startswith("#") or (number == 1 and old.lower() == "old"):
            continue
        if len(rest) != 1 or found.setdefault(old, rest[0] or None) != (rest[0] or None):
            what = "twice, as two labels" if len(rest) == 1 else f"beside {len(rest)} others"
            raise DataError(
                f"{path}, line {number}: {old!r} occurs {what}: expected old and new label, an "
                f"empty new one to drop the events"
            )
    return found
