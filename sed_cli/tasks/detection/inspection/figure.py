"""A data set as a picture: classes, durations, syntax, overlaps, histograms, entropies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from sed_cli.data.statistics import ClassStatistics, Histogram, SetStatistics, SplitStatistics
from sed_cli.reports import style
from sed_cli.system.text import counted

MAX_CLASSES = 60
"""Classes in the picture; if there are more, those with the most events are shown."""

_MIN_PANEL_HEIGHT, _PANEL_HEIGHT, _LANE_HEIGHTS = 1.1, 3.0, (0.15, 0.55)  # inches
_CELL_WIDTHS, _MATRIX_WIDTHS = (0.125, 0.34), (2.4, 6.6)
_BAR_WIDTH, _LOWER_HEIGHT = 1.75, 1.8
_TITLE_ROOM, _KEY_ROOM, _AXIS_ROOM, _GAP, _MARGIN = 0.42, 0.34, 0.5, 0.2, 0.15
_LABEL_LENGTH, _CHARACTER = 22, 0.07  # characters; inches per character
_NUMBERED = 12  # up to this many classes, cells of the matrix show numbers
_OVERLAPS = 8  # bars for 0, 1, 2, ... classes at a time; the last includes more
_HATCHES = ("", "/////", ".....")  # in addition to colour, for greyscale prints

_SHADES = LinearSegmentedColormap.from_list("", [style.PAPER, style.SKY, style.BLUE, "#003250"])


def draw_set(path: Path, title: str, found: SetStatistics) -> None:
    """Draw a data set as a PNG.

    Top: a lane for each class with its events and share of the time, the durations of its events,
    and the classes that follow it. Bottom, for the whole data set: classes active at a time,
    durations, silences between events, and the entropies of its syntax.

    Args:
        path: of the PNG.
        title: name of the data set.
        found: its statistics; classes, events and recordings may be missing.
    """
    with style.applied():
        _Picture(title, found).save(path)


@dataclass(frozen=True)
class _Split:
    """A split as drawn."""

    name: str
    statistics: SplitStatistics
    colour: str
    hatch: str
    dash: str


class _Picture:
    """The figure; axes are placed in inches from the top left, so that lanes keep their height.

    Args:
        title: name of the data set.
        found: the statistics to draw.
    """

    def __init__(self, title: str, found: SetStatistics) -> None:
        self.found = found
        self.splits = [
            _Split(name, split, style.colour_of(n), _HATCHES[n % 3], style.dash_of(n))
            for n, (name, split) in enumerate(found.splits.items())
        ]
        self.shown = _most_frequent(found)
        self.labels = [style.shortened(found.classes[n], _LABEL_LENGTH) for n in self.shown]
        n_lanes = max(1, len(self.shown))
        lane = min(max(_PANEL_HEIGHT / n_lanes, _LANE_HEIGHTS[0]), _LANE_HEIGHTS[1])
        lane = max(lane, _MIN_PANEL_HEIGHT / n_lanes)
        cell = min(max(lane, _CELL_WIDTHS[0]), _CELL_WIDTHS[1])
        self.lane_points = 72 * lane
        self.panel_height = lane * n_lanes
        self.matrix_width = min(max(cell * n_lanes, _MATRIX_WIDTHS[0]), _MATRIX_WIDTHS[1])
        self.cell_width = self.matrix_width / n_lanes
        self.label_room = 0.1 + _CHARACTER * max(map(len, self.labels), default=1)
        self.upright = self.label_room > self.cell_width
        names_height = self.label_room if self.upright else 0.2
        self.left = _MARGIN + max(self.label_room, 0.55)
        bars = 3 * (_BAR_WIDTH + _GAP)
        self.width = self.left + bars + self.label_room + self.matrix_width + 0.75
        self.lower_top = _TITLE_ROOM + _KEY_ROOM + self.panel_height + names_height + 0.75
        self.height = self.lower_top + _LOWER_HEIGHT + _AXIS_ROOM
        self.figure = style.new_figure(self.width, self.height)
        self._add_title(title)
        self._add_lanes()
        self._add_lower_row()

    def save(self, path: Path) -> None:
        style.save_figure(self.figure, path)

    def _add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        box = (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(box)

    # --------------------------------------------------------------------------- the title

    def _add_title(self, title: str) -> None:
        overall = self.found.overall
        left, top = _MARGIN / self.width, 1 - 0.1 / self.height
        self.figure.text(
            left,
            top,
            style.shortened(title, 80) + f":  {counted(overall.n_files, 'recording')}, "
            f"{_time(overall.seconds)}, {counted(overall.n_events, 'event')}, "
            f"{counted(len(self.found.classes), 'class')}",
            fontsize=11.0,
            fontweight="bold",
            verticalalignment="top",
        )
        self.figure.legend(
            handles=[
                Patch(facecolor=one.colour, edgecolor=style.PAPER, hatch=one.hatch, label=one.name)
                for one in self.splits
            ],
            loc="upper left",
            bbox_to_anchor=(left, 1 - 0.34 / self.height),
            borderaxespad=0.0,
            ncols=len(self.splits) or 1,
            frameon=False,
        )

    # --------------------------------------------------------------------------- the lanes

    def _add_lanes(self) -> None:
        top = _TITLE_ROOM + _KEY_ROOM
        left = self.left
        panels = []
        for _ in range(3):
            panels.append(self._add_axes(left, top, _BAR_WIDTH, self.panel_height))
            left += _BAR_WIDTH + _GAP
        events, time, durations = panels
        self._stack_bars(events, lambda one: one.n_events)
        events.set_xlabel("events")
        n_classes = len(self.found.classes)
        some = "" if len(self.shown) == n_classes else f"{len(self.shown)} of {n_classes} "
        events.set_title(f"{some}classes")
        total_s = self.found.overall.seconds or 1.0
        self._stack_bars(time, lambda one: 100 * one.seconds / total_s)
        time.set_title("time active")
        time.set_xlabel("share of all time (%)")
        self._draw_durations(durations)
        for axes in panels:
            self._dress_lanes(axes, labelled=axes is events)
        left += self.label_room
        matrix = self._add_axes(left, top, self.matrix_width, self.panel_height)
        bar = self._add_axes(left + self.matrix_width + 0.1, top, 0.12, self.panel_height)
        self._draw_matrix(matrix, bar)

    def _stack_bars(self, axes: Axes, value: Callable[[ClassStatistics], float]) -> None:
        lanes = np.arange(len(self.shown))
        start = np.zeros(len(self.shown))
        for one in self.splits:
            widths = np.array([value(one.statistics.classes[n]) for n in self.shown])
            axes.barh(
                lanes,
                widths,
                left=start,
                height=0.72,
                color=one.colour,
                hatch=one.hatch,
                edgecolor=style.PAPER,
                linewidth=0.0,
                zorder=2,
            )
            start += widths
        axes.set_xlim(0, 1.05 * max(start, default=0.0) or 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))

    def _draw_durations(self, axes: Axes) -> None:
        """Draw medians as dots, 5 to 95 % of the events as bars, and the full range as lines."""
        size = min(5.0, 0.5 * self.lane_points)
        spreads = [self.found.overall.classes[n].duration_s for n in self.shown]
        known = {lane: spread for lane, spread in enumerate(spreads) if spread is not None}
        lanes, values = list(known), list(known.values())
        axes.hlines(
            lanes, [s.least for s in values], [s.most for s in values], color=style.GREY, lw=0.8
        )
        axes.hlines(
            lanes,
            [s.p05 for s in values],
            [s.p95 for s in values],
            color=style.PURPLE,
            lw=0.7 * size,
        )
        axes.plot([s.median for s in values], lanes, "o", color=style.INK, markersize=size)
        _dress_seconds(axes, [s for one in values for s in (one.least, one.most)])
        axes.set_xlabel("median, 5 to 95 %, all (s)")
        axes.set_title("durations")

    def _dress_lanes(self, axes: Axes, *, labelled: bool) -> None:
        for lane in range(0, len(self.shown), 2):  # a tint on every second lane guides the eye
            axes.axhspan(lane - 0.5, lane + 0.5, color="#F3F3F3", linewidth=0, zorder=0)
        axes.set_ylim(max(1, len(self.shown)) - 0.5, -0.5)
        axes.set_yticks(range(len(self.shown)), self.labels if labelled else [])
        axes.tick_params(axis="y", length=0, labelsize=self._font(self.lane_points))
        axes.grid(False, axis="y")

    def _font(self, room_points: float) -> float:
        return max(4.0, min(8.0, 0.85 * room_points))

    # -------------------------------------------------------------------------- the matrix

    def _draw_matrix(self, axes: Axes, bar: Axes) -> None:
        shares = _shares(self.found.overall.syntax.counts)[np.ix_(self.shown, self.shown)]
        axes.grid(False)
        axes.set_title("which class follows which", loc="left")
        axes.set_facecolor(style.NEUTRAL)
        if not len(self.shown):
            axes.set_xticks([])
            axes.set_yticks([])
            bar.set_visible(False)
            return
        image = axes.imshow(
            shares,
            cmap=_SHADES,
            norm=PowerNorm(0.6, 0.0, 1.0),  # keep the rare ones of 50 successors visible
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_yticks(range(len(self.shown)), self.labels)
        axes.set_xticks(range(len(self.shown)), self.labels, rotation=90 if self.upright else 0)
        axes.tick_params(axis="both", length=0)
        axes.tick_params(axis="y", labelsize=self._font(self.lane_points))
        axes.tick_params(axis="x", labelsize=self._font(72 * self.cell_width))
        axes.set_xlabel("next event")
        if len(self.shown) <= _NUMBERED:
            self._number_cells(axes, shares)
        scale = self.figure.colorbar(image, cax=bar)
        scale.set_label("P(next | current)")
        scale.set_ticks([0.0, 0.1, 0.25, 0.5, 1.0], labels=["0", "0.1", "0.25", "0.5", "1"])
        scale.minorticks_off()
        scale.outline.set_visible(False)
        bar.tick_params(length=0)

    def _number_cells(self, axes: Axes, shares: NDArray[np.float64]) -> None:
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{share:.2f}".removeprefix("0") if share < 0.995 else "1",
                ha="center",
                va="center",
                fontsize=7.0,
                color=style.PAPER if share > 0.3 else style.INK,
            )

    # ----------------------------------------------------------------------- the lower row

    def _add_lower_row(self) -> None:
        gap, names = 0.65, 0.6  # the bars of the last panel are labelled on its left
        width = (self.width - 0.2 - self.left - 3 * gap - names) / 4
        lefts = [self.left + n * (width + gap) for n in range(4)]
        lefts[3] += names
        overlaps, durations, gaps, entropies = (
            self._add_axes(left, self.lower_top, width, _LOWER_HEIGHT) for left in lefts
        )
        self._draw_overlaps(overlaps)
        self._draw_histograms(durations, lambda split: split.durations)
        durations.set_title("event durations")
        durations.set_ylabel("share of events (%)")
        durations.set_xlabel("duration (s)")
        self._draw_histograms(gaps, lambda split: split.gaps)
        gaps.set_title("silences between events")
        gaps.set_ylabel("share of silences (%)")
        gaps.set_xlabel("silence (s)")
        self._draw_entropies(entropies)

    def _draw_overlaps(self, axes: Axes) -> None:
        highest = max((len(one.statistics.polyphony) for one in self.splits), default=1)
        n_bars = min(highest, _OVERLAPS)
        height = 0.8 / max(1, len(self.splits))
        for number, one in enumerate(self.splits):
            shares = np.zeros(max(highest, n_bars))
            shares[: len(one.statistics.polyphony)] = 100 * one.statistics.polyphony
            shown = [*shares[: n_bars - 1], shares[n_bars - 1 :].sum()]
            axes.bar(
                np.arange(n_bars) + (number - (len(self.splits) - 1) / 2) * height,
                shown,
                width=height,
                color=one.colour,
                hatch=one.hatch,
                edgecolor=style.PAPER,
                linewidth=0.0,
                zorder=2,
            )
        names = [str(number) for number in range(n_bars)]
        if highest > n_bars:
            names[-1] += "+"
        axes.set_xticks(range(n_bars), names)
        axes.set_xlim(-0.6, n_bars - 0.4)
        axes.grid(False, axis="x")
        axes.set_title("overlap")
        axes.set_xlabel("classes active at a time")
        axes.set_ylabel("share of the time (%)")

    def _draw_histograms(self, axes: Axes, of: Callable[[SplitStatistics], Histogram]) -> None:
        edges: Sequence[float] = []
        for one in self.splits:
            histogram = of(one.statistics)
            if not histogram.counts.any():
                continue
            edges = histogram.edges_s.tolist()
            axes.stairs(
                100 * histogram.counts / histogram.counts.sum(),
                histogram.edges_s,
                color=one.colour,
                linestyle=one.dash,
                linewidth=1.4,
            )
        _dress_seconds(axes, edges)
        if len(edges):
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))

    def _draw_entropies(self, axes: Axes) -> None:
        syntax, n_classes = self.found.overall.syntax, len(self.found.classes)
        axes.set_title("syntax: bits per event")
        axes.set_xlabel("entropy (bits)")
        if not syntax.n_transitions:
            _say_nothing(axes, "no event follows another")
            return
        bars = {
            "log2 C": (math.log2(n_classes), style.PALE),
            "H(next)": (syntax.next_bits, style.SKY),
            "H(next | current)": (syntax.conditional_bits, style.BLUE),
        }
        top = max(0.1, *(value for value, _ in bars.values()))
        for lane, (value, colour) in enumerate(bars.values()):
            axes.barh(lane, value, height=0.6, color=colour, zorder=2)
            axes.text(1.04 * top, lane, f"{value:.2f}", va="center", fontsize=8.0)
        lowest = syntax.next_bits - syntax.chance_bits
        axes.plot((lowest, lowest), (1.6, 2.4), color=style.VERMILION, linewidth=1.6, zorder=3)
        note = "red: as low as shuffled events get"
        axes.text(0.0, 2.75, note, fontsize=7.0, color=style.VERMILION, va="center")
        axes.set_yticks(range(3), list(bars))
        axes.set_ylim(3.05, -0.6)
        axes.set_xlim(0, 1.25 * top)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")


def _most_frequent(found: SetStatistics) -> list[int]:
    """Return the indices of the classes shown, in the order of the data set."""
    counts = np.array([one.n_events for one in found.overall.classes], dtype=np.int64)
    return sorted(np.argsort(-counts, kind="stable")[:MAX_CLASSES].tolist())


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(next | current), NaN in rows without successors."""
    of_rows = counts.sum(axis=1, keepdims=True)
    return np.where(of_rows > 0, counts / np.maximum(of_rows, 1), np.nan)


def _dress_seconds(axes: Axes, values: Sequence[float]) -> None:
    """Give the x axis a logarithmic scale of seconds that covers ``values``, in plain numbers."""
    if not len(values):
        _say_nothing(axes, "none")
        return
    low, high = min(values), max(values)
    low, high = (low / 1.1, high * 1.1) if high > 1.5 * low else (low / 2, high * 2)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    narrow = math.log10(high / low) < 1.6
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _say_nothing(axes: Axes, text: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.GREY)


def _time(seconds: float) -> str:
    """Format a duration with its unit, in three figures."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"
