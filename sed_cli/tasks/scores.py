"""The description of a task's scores for ``sedtf compare``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sed_cli.metrics.metric import Figure


@dataclass(frozen=True)
class Shown(Figure):
    """A figure that is shown for each row.

    Args:
        name: of the figure.
        title: of its column.
        lower_is_better: true of a perplexity, for example.
        is_fraction: whether it lies between 0 and 1.
        kind: of the counts behind it.
    """

    kind: str = field(kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Contents of a comparison of runs of one task.

    Args:
        shown: on the terminal, as far as they fit; rows are sorted by the first.
        reported: in the tables for a paper.
        by_seed: names of the figures that are also listed per seed.
        curves: columns of ``history.csv`` with their titles.
        counted: the kind whose reference counts identify the data.
        references: the term for these references.
        items: the term for the items of the data.
    """

    shown: tuple[Shown, ...]
    reported: tuple[Shown, ...]
    by_seed: tuple[str, ...]
    curves: dict[str, str]
    counted: str
    references: str
    items: str

    def limited_to(self, kinds: Collection[str]) -> Layout:
        """The layout without figures that no run has."""
        parts = (self.shown, self.reported)
        shown, reported = (tuple(each for each in of if each.kind in kinds) for of in parts)
        return replace(self, shown=shown, reported=reported)

    @property
    def first(self) -> Shown:
        """The figure that decides the ranking."""
        return self.shown[0]

    def rank(self, row: Mapping[str, Any]) -> float:
        """Sort key: the best row comes first, rows without the figure last."""
        mean = row["scores"][self.first.kind][self.first.name]["mean"]
        if mean is None:
            return math.inf
        return float(mean) if self.first.lower_is_better else -float(mean)
