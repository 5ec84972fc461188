"""Tiers of one recording: one per class, or one with the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sed_cli.data.annotations.events import Annotations, Taken
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

_MARKS = ("x", "+", "*", "1")  # in a tier named by its class


class Mark(NamedTuple):
    """An interval, or a point, which has no end."""

    line: int | None
    onset: str
    end: str
    text: str


@dataclass
class Tier:
    """A tier with its marks; ``holds_points``: none of its marks has an end."""

    name: str
    holds_points: bool = False
    marks: list[Mark] = field(default_factory=list)

    @property
    def texts(self) -> set[str]:
        """Texts of its marks."""
        return {mark.text for mark in self.marks}


def read_tiers(
    text: Text, options: ReadOptions, found: Sequence[Tier], collector: RowCollector, format: str
) -> Annotations:
    """Extract the events of a recording from its tiers.

    Raises:
        DataError: if the tier of the labels is ambiguous.
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
    """Whether names of tiers are the labels: their intervals repeat them, or contain a mark."""
    if not all(tier.name for tier in tiers):
        return False
    said = [{text.lower() for text in tier.texts} - {tier.name.lower()} for tier in tiers]
    marks = set().union(*said)
    # A single digit in one tier may be a label, as for syllables.
    return len(marks) <= 1 and marks <= set(_MARKS[: len(_MARKS) - (len(tiers) < 2)])


def _chosen(
    text: Text, options: ReadOptions, found: Sequence[Tier], collector: RowCollector
) -> Sequence[Tier]:
    """The tiers of the events: one, or one per class."""
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
            f"data.columns.event_label=NAME (in a tier per class, the text of an interval is its "
            f"name, or one of {', '.join(_MARKS)})"
        )
    return kept
