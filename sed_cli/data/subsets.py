"""Training on a part of the training split: whole recordings, nested, random by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sed_cli.config.data import DataConfig
from sed_cli.data.manifest import Clip
from sed_cli.data.splits import groups_of
from sed_cli.errors import DataError
from sed_cli.system.text import counted, cut_short

_NAMED = 8  # classes in a warning
_ROUNDING = 1e-9  # minutes: tolerance for rounding in sums of lengths


@dataclass(frozen=True, kw_only=True)
class Subset:
    """The part kept of a training split.

    Args:
        asked: the setting that requests it, with its value.
        clips: those kept, in the order of the list.
        n_all: number of all clips.
        minutes_of_all: their total duration.
        lost: classes with events in the training split, but not in the part kept.
        wanted_minutes: the requested minutes; ``None``: a share.
    """

    asked: str
    clips: list[Clip]
    n_all: int
    minutes_of_all: float
    lost: tuple[str, ...]
    wanted_minutes: float | None = None

    @property
    def line(self) -> str:
        """Description for the log."""
        return (
            f"{self.asked}: {len(self.clips):,} of {counted(self.n_all, 'recording')} of the "
            f"training split are kept, {_minutes(self.clips):.1f} of {self.minutes_of_all:.1f} "
            f"minutes; the classes are those of the whole split"
        )

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user."""
        found = []
        if self.wanted_minutes is not None and self.minutes_of_all < self.wanted_minutes:
            found.append(
                f"{self.asked}: the training split lasts only {self.minutes_of_all:.1f} minutes"
            )
        if self.lost:
            found.append(f"{self.asked} leaves no training event of {cut_short(self.lost, _NAMED)}")
        return found

    def as_json(self) -> dict[str, Any]:
        """Return its numbers, for ``data.json``."""
        return {
            "asked": self.asked,
            "n_kept": len(self.clips),
            "n_all": self.n_all,
            "minutes_kept": _minutes(self.clips),
            "minutes_of_all": self.minutes_of_all,
            "lost_classes": list(self.lost),
        }


def subset_of(listed: Sequence[Clip], data: DataConfig, group: str | None = None) -> Subset | None:
    """Keep the part of a training split that ``data`` requests; ``None``: all of it.

    Only names of recordings and ``data.train_seed`` determine their order, in which they are taken
    until their number is that share of all, rounded, or until they last ``data.train_minutes`` or
    more; at least one. So a smaller part is contained in any larger one.

    Args:
        listed: the recordings of the split, with their lengths and events.
        data: with ``train_share``, ``train_minutes`` and ``train_seed``.
        group: a regular expression; recordings with the same match in their names are taken
            together.

    Raises:
        DataError: if the part kept has no event, although the split has.
    """
    share, minutes = data.train_share, data.train_minutes
    if share is None and minutes is None:
        return None
    asked = (
        f"data.train_share={share:g}" if share is not None else f"data.train_minutes={minutes:g}"
    )
    wanted = max(1, round((share or 0.0) * len(listed)))
    kept: list[Clip] = []
    for of_group in sorted(groups_of(listed, group), key=lambda one: _place(one, data.train_seed)):
        if kept and (
            len(kept) >= wanted if minutes is None else _minutes(kept) >= minutes - _ROUNDING
        ):
            break
        kept += of_group
    names = {one.name for one in kept}
    clips = [one for one in listed if one.name in names]
    before, left = _labels(listed), _labels(clips)
    if before and not left:
        raise DataError(
            f"{asked} keeps {len(clips)} of {counted(len(listed), 'recording')} of the training "
            f"split, none of which has an event: keep more, or change data.train_seed"
        )
    return Subset(
        asked=asked,
        clips=clips,
        n_all=len(listed),
        minutes_of_all=_minutes(listed),
        lost=tuple(sorted(before - left)),
        wanted_minutes=minutes,
    )


def _place(of_group: Sequence[Clip], seed: int) -> bytes:
    """Position of a group in the order: by a hash, independent of other groups."""
    return hashlib.blake2b(f"{seed}/{of_group[0].name}".encode()).digest()


def _minutes(clips: Sequence[Clip]) -> float:
    return sum(clip.duration_s for clip in clips) / 60


def _labels(clips: Sequence[Clip]) -> set[str]:
    return {event.label for clip in clips for event in clip.events}
