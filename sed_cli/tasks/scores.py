"""What ``sedtf compare`` asks of the scores of any task."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sed_cli.metrics.metric import Figure


@dataclass(frozen=True)
class Shown(Figure):
    """A figure that is shown of each row.

    Args:
        name: of the figure.
        title: of its column.
        lower_is_better: as of a perplexity.
        is_fraction: whether it lies from 0 to 1.
        kind: of what is counted.
    """

    kind: str = field(kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a comparison shows of a task.

    Args:
        shown: on the terminal, as far as they find room; rows are sorted by the first.
        reported: in the tables for a paper.
        by_seed: names of the figures that are listed for each seed too.
        curves: columns of ``history.csv`` with their titles.
        counted: the kind whose references tell the data apart.
        references: what these are, in words.
        items: what the data consist of, in words.
    """

    shown: tuple[Shown, ...]
    reported: tuple[Shown, ...]
    by_seed: tuple[str, ...]
    curves: dict[str, str]
    counted: str
    references: str
    items: str

    def limited_to(self, kinds: Collection[str]) -> Layout:
        """Without figures that no run has."""
        parts = (self.shown, self.reported)
        shown, reported = (tuple(each for each in of if each.kind in kinds) for of in parts)
        return replace(self, shown=shown, reported=reported)

    @property
    def first(self) -> Shown:
        """The figure that decides."""
        return self.shown[0]

    def rank(self, row: Mapping[str, Any]) -> float:
        """Sort the best row first, one without a figure last."""
        mean = row["scores"][self.first.kind][self.first.name]["mean"]
        if mean is None:
            return math.inf
        return float(mean) if self.first.lower_is_better else -float(mean)
