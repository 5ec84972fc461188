"""Tiers of one recording: each of them a class, or one of them with the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sed_cli.data.annotations.events import Annotations, Taken
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

_MARKS = ("x", "+", "*", "1")  # that stand for the class that a tier is called by


class Mark(NamedTuple):
    """An interval, or a point, which has no end."""

    line: int | None
    onset: str
    end: str
    text: str


@dataclass
class Tier:
    """A tier with what is marked in it; ``holds_points``: none of its marks has an end."""

    name: str
    holds_points: bool = False
    marks: list[Mark] = field(default_factory=list)

    @property
    def texts(self) -> set[str]:
        """What stands at its marks."""
        return {mark.text for mark in self.marks}


def read_tiers(
    text: Text, options: ReadOptions, found: Sequence[Tier], collector: RowCollector, format: str
) -> Annotations:
    """Take the events of a recording out of its tiers.

    Raises:
        DataError: where it cannot be told which tier holds the labels.
    """
    kept = _chosen(text, options, found, collector)
    by_name = _are_classes(kept)
    if by_name and any(tier.texts - {tier.name} for tier in kept):
        collector.note("tiers whose names are read as labels", len(kept))
    for tier in kept:
        for mark in tier.marks:
            label = tier.name if by_name else mark.text
            collector.add(mark.line, text.path.stem, mark.onset, mark.end, label)
    names = cut_short([*dict.fromkeys(tier.name[:80] for tier in kept)], 4)
    columns = () if by_name or not names else (("event_label", f"tier {names}"),)
    return collector.finish(
        format, names_files=False, taken=Taken(columns=columns, time_unit=collector.time_unit)
    )


def _are_classes(tiers: Sequence[Tier]) -> bool:
    """Whether names of tiers are the labels: their intervals say the same, or hold a mark."""
    if not all(tier.name for tier in tiers):
        return False
    said = [{text.lower() for text in tier.texts} - {tier.name.lower()} for tier in tiers]
    marks = set().union(*said)
    # A digit alone in one tier may be a label, as of syllables.
    return len(marks) <= 1 and marks <= set(_MARKS[: len(_MARKS) - (len(tiers) < 2)])


def _chosen(
    text: Text, options: ReadOptions, found: Sequence[Tier], collector: RowCollector
) -> Sequence[Tier]:
    """The tiers that hold the events: one, or one a class."""
    wanted = options.columns.get("event_label")
    if wanted is not None:
        named = [tier for tier in found if tier.name == wanted]
        if not named:
            there = cut_short([tier.name[:80] for tier in found], 8)
            raise DataError(f"{text.path}: no tier {wanted!r}; there are {there}")
        return named
    filled = [tier for tier in found if tier.marks]
    intervals = [tier for tier in filled if not tier.holds_points]
    points = [tier for tier in filled if tier.holds_points]
    if intervals and points:
        collector.note("points beside intervals, skipped", sum(len(t.marks) for t in points))
    kept = intervals or points
    if len({tier.name for tier in kept}) > 1 and not _are_classes(kept):
        shown = "; ".join(f"{t.name[:80]}: {', '.join(sorted(t.texts)[:3])[:80]}" for t in kept[:4])
        raise DataError(
            f"{text.path}: labels may be in any of {len(kept)} tiers ({shown}); choose one: "
            f"data.columns.event_label=NAME (where a tier is a class, its intervals hold its name, "
            f"or one of {', '.join(_MARKS)})"
        )
    return kept
