"""Labels that are merged or left out, before anybody counts them."""

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
    """What labels become.

    Args:
        new: of old labels; ``None``: their events are left out.
        excluded: labels that are left out, by their old names or their new ones.
    """

    new: Mapping[str, str | None] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    _met: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, data: AnnotationsConfig) -> Relabelling:
        """What a configuration says; ``data.merge`` comes before its table.

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
        """Labels that are asked for, and that nothing has been annotated with so far."""
        return sorted((set(self.new) | self.excluded) - self._met)

    def label(self, old: str) -> str | None:
        """Return what a label becomes; ``None``: its events are left out."""
        new = self.new.get(old, old)
        self._met.update((old, old if new is None else new))
        return None if new is None or not self.excluded.isdisjoint((old, new)) else new

    def labels(self, old: Iterable[str]) -> tuple[str, ...]:
        """Return what labels become, each once."""
        new = map(self.label, old)
        return tuple(dict.fromkeys(label for label in new if label is not None))

    def rows(self, rows: Iterable[Row]) -> tuple[Row, ...]:
        """Relabel a recording's rows; what becomes the same event twice is kept once.

        One whose events are all left out is a recording without events. The classes that it is
        annotated for are relabelled as well.
        """
        kept: dict[object, Row] = {}
        for row in rows:
            event = row.event
            if event is not None:
                label = self.label(event.label)
                event = None if label is None else event._replace(label=label)
            same = kept.get(event, row._replace(event=event, annotated=()))
            annotated = (*same.annotated, *self.labels(row.annotated))
            kept[event] = same._replace(annotated=tuple(dict.fromkeys(annotated)))
        return tuple(kept.values())

    def clip(self, clip: Clip) -> Clip:
        """Relabel the rows of a clip."""
        return replace(clip, rows=self.rows(clip.rows))


def _read_table(path: Path) -> dict[str, str | None]:
    """Read a table of old and new labels, with or without a header of these names."""
    text = read_text(path, "table of labels")
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in text.content), ",")
    found: dict[str, str | None] = {}
    for number, fields in enumerate(csv.reader(text.lines, delimiter=delimiter), start=1):
        old, *rest = (one.strip() for one in fields or [""])
        if not old or old.startswith("#") or (number == 1 and old.lower() == "old"):
            continue
        if len(rest) != 1 or found.setdefault(old, rest[0] or None) != (rest[0] or None):
            what = "twice, as two labels" if len(rest) == 1 else f"beside {len(rest)} others"
            raise DataError(
                f"{path}, line {number}: {old!r} stands {what}: expected old and new label, the "
                f"new one empty where events are to be left out"
            )
    return found
