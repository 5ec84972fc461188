"""Training on a part of the training split: whole recordings, nested, drawn by a seed."""

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
_ROUNDING = 1e-9  # minutes: lengths of files add up with the rounding of their sums


@dataclass(frozen=True, kw_only=True)
class Subset:
    """What is kept of a training split.

    Args:
        asked: the setting that asks for it, with its value.
        clips: those that are kept, in the order in which they were listed.
        n_all: how many there are.
        minutes_of_all: how long these last.
        lost: classes that have events in the training split, and none in what is kept of it.
        wanted_minutes: what was asked for; ``None``: a share.
    """

    asked: str
    clips: list[Clip]
    n_all: int
    minutes_of_all: float
    lost: tuple[str, ...]
    wanted_minutes: float | None = None

    @property
    def line(self) -> str:
        """What is kept, for the log."""
        return (
            f"{self.asked}: {len(self.clips):,} of {counted(self.n_all, 'recording')} of the "
            f"training split are kept, {_minutes(self.clips):.1f} of {self.minutes_of_all:.1f} "
            f"minutes; classes stay those of all of them"
        )

    @property
    def warnings(self) -> list[str]:
        """What to bear in mind."""
        found = []
        if self.wanted_minutes is not None and self.minutes_of_all < self.wanted_minutes:
            found.append(f"{self.asked}: the training split lasts {self.minutes_of_all:.1f} only")
        if self.lost:
            found.append(
                f"{self.asked} leaves no event to train on of {cut_short(self.lost, _NAMED)}"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it in numbers, for ``data.json``."""
        return {
            "asked": self.asked,
            "n_kept": len(self.clips),
            "n_all": self.n_all,
            "minutes_kept": _minutes(self.clips),
            "minutes_of_all": self.minutes_of_all,
            "lost_classes": list(self.lost),
        }


def subset_of(listed: Sequence[Clip], data: DataConfig, group: str | None = None) -> Subset | None:
    """Keep a part of a training split, as much as ``data`` asks for; ``None``: all of it.

    The names of recordings and ``data.train_seed`` alone decide their order, in which they are
    taken until their number is that share of all, rounded, or until they last
    ``data.train_minutes`` or more; at least one. So a smaller part lies within any larger one.

    Args:
        listed: the recordings of the split, with their lengths and events.
        data: with ``train_share``, ``train_minutes`` and ``train_seed``.
        group: a regular expression; recordings in whose names it finds the same are taken
            together.

    Raises:
        DataError: if what is kept has no event, though the split has.
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
            f"split, none of which holds an event: ask for more, or draw again with data.train_seed"
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
    """Where a group stands in the order: by a hash, so that it does not depend on the others."""
    return hashlib.blake2b(f"{seed}/{of_group[0].name}".encode()).digest()


def _minutes(clips: Sequence[Clip]) -> float:
    return sum(clip.duration_s for clip in clips) / 60


def _labels(clips: Sequence[Clip]) -> set[str]:
    return {event.label for clip in clips for event in clip.events}
