"""A figure of the number of events of each class: by time of day, or by recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from sed_cli.reports import style
from sed_cli.system.text import counted, cut_short, plain

MOST_ROWS = 12
_MOST_NAMES = 40  # names of recordings below their bars
_MOST_BARS = 1000
_NAME_LENGTH = 28
_LABEL_LENGTH = 24
_MOST_ABSENT = 6
_WIDTH, _ROW, _EFFORT, _GAP = 9.0, 0.78, 0.42, 0.14  # inches
_TOP, _RIGHT, _CHARACTER = 0.62, 1.3, 0.078


@dataclass(frozen=True, kw_only=True)
class CallRates:
    """Number of events of each class, by hour of the day or by recording.

    Args:
        classes: labels (C,).
        counts: events (C, K).
        hours: recorded hours in each hour of the day or recording (K,).
        names: of recordings; empty: K = 24 hours of the day.
        n_undated: number of recordings left out, since their time is unknown.
        n_joined: number of recordings per name; see :meth:`joined`.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    hours: NDArray[np.float64]
    names: tuple[str, ...] = ()
    n_undated: int = 0
    n_joined: int = 1

    def joined(self, most: int) -> CallRates:
        """Join neighbouring recordings into at most ``most`` bars; more would be invisible."""
        n_joined = -(-len(self.names) // most)
        if n_joined <= 1:
            return self
        first = np.arange(0, len(self.names), n_joined)
        return replace(
            self,
            counts=np.add.reduceat(self.counts, first, axis=1),
            hours=np.add.reduceat(self.hours, first),
            names=self.names[::n_joined],
            n_joined=n_joined,
        )

    @property
    def rates(self) -> NDArray[np.float64]:
        """Events per hour of recording (C, K); NaN where nothing was recorded."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rates: NDArray[np.float64] = np.where(self.hours > 0, self.counts / self.hours, np.nan)
        return rates


def draw_call_rates(path: Path, rates: CallRates) -> None:
    """Draw a row of bars for each class, the most frequent first, and the recorded time.

    Classes without detections have no row, and if there are more than :data:`MOST_ROWS`, only the
    most frequent ones do. The background is shaded where nothing was recorded.
    """
    rates = rates.joined(_MOST_BARS)
    totals = rates.counts.sum(axis=1)
    order = np.argsort(-totals, kind="stable")
    rows = order[totals[order] > 0][:MOST_ROWS].tolist()
    longest = max((len(rates.classes[row]) for row in rows), default=0)
    left = 0.9 + _CHARACTER * min(max(longest, len("(minutes)")), _LABEL_LENGTH)
    width = _WIDTH - left - _RIGHT
    height = _TOP + len(rows) * (_ROW + _GAP) + _EFFORT + _bottom(rates)

    def add_axes(title: str, top: float, size: float) -> Axes:
        middle = (height - top - size / 2) / height
        figure.text(0.15 / _WIDTH, middle, title, va="center")
        box = left / _WIDTH, (height - top - size) / height, width / _WIDTH, size / height
        return figure.add_axes(box)

    with style.applied():
        figure = style.new_figure(_WIDTH, height)
        figure.text(0.15 / _WIDTH, 1 - 0.24 / height, _title(rates), weight="bold", fontsize=10)
        figure.text(0.15 / _WIDTH, 1 - 0.44 / height, _notes(rates, rows), fontsize=8)
        for place, row in enumerate(rows):
            label = style.shortened(plain(rates.classes[row]), _LABEL_LENGTH)
            _draw_class(add_axes(label, _TOP + place * (_ROW + _GAP), _ROW), rates, row)
        scale, unit = (1.0, "hours") if rates.hours.max(initial=0.0) >= 1 else (60.0, "minutes")
        axes = add_axes(f"recorded\n({unit})", _TOP + len(rows) * (_ROW + _GAP), _EFFORT)
        _draw_effort(axes, rates, scale, unit)
        style.save_png(figure, path)


def _title(rates: CallRates) -> str:
    return f"Events per hour of recording, by {'recording' if rates.names else 'time of day'}"


def _notes(rates: CallRates, rows: Sequence[int]) -> str:
    """Notes on classes left out, and on shading."""
    notes = []
    if bool((rates.hours <= 0).any()):
        notes.append("shaded: nothing recorded")
    found = rates.counts.sum(axis=1) > 0
    absent = [label for label, is_found in zip(rates.classes, found, strict=True) if not is_found]
    if absent:
        notes.append(f"not detected: {cut_short(list(map(plain, absent)), _MOST_ABSENT)}")
    if len(rows) < found.sum():
        notes.append(f"{int(found.sum()) - len(rows)} rarer classes: see the table")
    if rates.n_undated:
        notes.append(f"{counted(rates.n_undated, 'recording')} of unknown time are left out")
    return "; ".join(notes)


def _bottom(rates: CallRates) -> float:
    if not rates.names or len(rates.names) > _MOST_NAMES:
        return 0.5
    longest = max(map(len, rates.names), default=0)
    return 0.25 + 0.062 * min(longest, _NAME_LENGTH)


def _draw_class(axes: Axes, rates: CallRates, row: int) -> None:
    heights = np.nan_to_num(rates.rates[row])
    _prepare(axes, rates)
    axes.bar(np.arange(len(heights)) + 0.5, heights, width=_bar_width(rates), color=style.BLUE)
    axes.set_ylim(0, 1.08 * float(heights.max(initial=1e-6)))
    axes.tick_params(axis="x", labelbottom=False, length=0)
    total, hours = int(rates.counts[row].sum()), float(rates.hours.sum())
    text = counted(total, "event")
    if hours > 0:
        text += f"\n{_number(total / hours)} per hour"
    axes.text(1.015, 0.5, text, transform=axes.transAxes, va="center", fontsize=8)


def _draw_effort(axes: Axes, rates: CallRates, scale: float, unit: str) -> None:
    _prepare(axes, rates)
    hours = rates.hours * scale
    axes.bar(np.arange(len(hours)) + 0.5, hours, width=_bar_width(rates), color=style.GREY)
    axes.set_ylim(0, max(1e-6, 1.08 * float(hours.max(initial=0.0))))
    text = f"{_number(float(hours.sum()))} {unit}"
    axes.text(1.015, 0.5, text, transform=axes.transAxes, va="center", fontsize=8)
    if not rates.names:
        axes.set_xlabel("time of day")
    elif rates.n_joined > 1:
        axes.set_xlabel(f"recordings, {rates.n_joined} per bar, in the order of the table")
    elif len(rates.names) > _MOST_NAMES:
        axes.set_xlabel(f"{len(rates.names):,} recordings, in the order of the table")


def _prepare(axes: Axes, rates: CallRates) -> None:
    """Set the x axis, and grey where nothing was recorded."""
    n = len(rates.hours)
    axes.set_xlim(0, n)
    axes.grid(False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    for column in np.flatnonzero(rates.hours <= 0).tolist():
        axes.axvspan(column, column + 1, color=style.NEUTRAL, linewidth=0, zorder=0)
    if not rates.names:
        axes.xaxis.set_major_locator(FixedLocator(list(range(0, 25, 3))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:02.0f}:00"))
    elif n <= _MOST_NAMES:
        axes.set_xticks(np.arange(n) + 0.5)
        names = [style.shortened(plain(name), _NAME_LENGTH) for name in rates.names]
        axes.set_xticklabels(names, rotation=90, fontsize=7)
    else:
        style.count_ticks(axes)


def _bar_width(rates: CallRates) -> float:
    return 1.0 if len(rates.hours) > _MOST_NAMES else 0.84


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.2g}"
