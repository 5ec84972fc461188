"""Figure of a score over the amount of training audio, with its extrapolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from sed_cli.reports import style

_NAME_LENGTH = 80
_ROOM = 1.25  # beyond the last amount, as a ratio
_MARKERS = "D^vPXs"  # of the means: besides colour, for grey prints
_TICKS_APART = 1.3  # ratio of neighbours, so that their labels do not touch


def draw_amounts(comparison: Mapping[str, Any], path: Path) -> None:
    """Draw for each other setting the runs, their means, the fit and the extrapolated band."""
    curves, principal = comparison["amounts"], comparison["principal"]
    lines = sum(2 if curve["fit"] else 1 for curve in curves)
    figure = style.new_figure(6.8, 4.0 + 0.17 * lines)
    axes = figure.subplots()
    axes.set_xscale("log")
    sizes = sorted(size["minutes"] for curve in curves for size in curve["sizes"])
    fits = [curve["fit"] for curve in curves if curve["fit"]]
    ahead = sorted(each["minutes"] for fit in fits for each in fit["predicted"])
    for index, curve in enumerate(curves):
        _draw_curve(axes, curve, index)
    if principal["is_fraction"]:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
    if ahead:
        axes.axvspan(sizes[-1], ahead[-1] * _ROOM, color=style.NEUTRAL, alpha=0.45, zorder=0, lw=0)
        axes.set_xlim(sizes[0] / _ROOM, ahead[-1] * _ROOM)
        axes.text(
            *(sizes[-1] * 1.06, 0.02), "not trained on yet", fontsize=8, color=style.GREY,
            transform=axes.get_xaxis_transform(), va="bottom",
        )  # fmt: skip
    ticks = _apart([*ahead, *reversed(sizes)])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{value:.3g}" for value in ticks])
    axes.set_xlabel("training audio in minutes, logarithmic")
    axes.set_ylabel(principal["title"])
    axes.set_title("rings: runs; filled: their means with 95 % t interval" + _of_the_fit(fits))
    figure.legend(loc="outside lower left", frameon=False, handlelength=3.4)
    figure.set_layout_engine("constrained")
    style.save_figure(figure, path)


def _of_the_fit(fits: Sequence[Any]) -> str:
    return "\nline: fitted power law, with the 95 % band of a bootstrap of the runs" if fits else ""


def _apart(values: Sequence[float]) -> list[float]:
    """Values far enough apart to be labelled; the first ones take precedence."""
    chosen: list[float] = []
    for value in values:
        if all(max(value, other) / min(value, other) >= _TICKS_APART for other in chosen):
            chosen.append(value)
    return sorted(chosen)


def _draw_curve(axes: Axes, curve: Mapping[str, Any], index: int) -> None:
    colour, fit = style.colour_of(index), curve["fit"]
    sizes = curve["sizes"]
    runs = np.array([run for size in sizes for run in size["runs"]])
    axes.plot(*runs.T, "o", color=colour, markersize=3, mfc="none", zorder=3)
    for size in sizes:
        if size["low"] is not None:
            interval = [size["low"], size["high"]]
            axes.plot([size["minutes"]] * 2, interval, color=colour, linewidth=1.4, alpha=0.6)
    axes.plot(
        [size["minutes"] for size in sizes],
        [size["mean"] for size in sizes],
        color=colour,
        linestyle="none" if fit else "-",
        marker=_marker(index),
        markersize=5,
        zorder=4,
        label=_label(curve),
    )
    if fit is None:
        return
    band = fit["band"]
    minutes = np.array(band["minutes"])
    known = minutes <= sizes[-1]["minutes"] * (1 + 1e-9)
    axes.fill_between(minutes, band["low"], band["high"], color=colour, alpha=0.15, lw=0, zorder=1)
    score = np.array(band["score"])
    axes.plot(minutes[known], score[known], color=colour, zorder=2)
    rest = slice(max(0, int(known.sum()) - 1), None)
    axes.plot(minutes[rest], score[rest], color=colour, linestyle="--", zorder=2)
    for each in fit["predicted"]:
        axes.plot(
            each["minutes"], each["score"], _marker(index), color=colour, mfc=style.PAPER, zorder=4
        )


def _label(curve: Mapping[str, Any]) -> str:
    """Name of a curve, and below it its predictions."""
    name = style.shortened(curve["name"], _NAME_LENGTH) or "all runs"
    if curve["fit"] is None:
        return name
    ahead = ", ".join(
        f"{each['times']} times as much: {each['score']:.2f} "
        f"[{each['low']:.2f}, {each['high']:.2f}]"
        for each in curve["fit"]["predicted"]
    )
    return f"{name}\n{ahead}"


def _marker(index: int) -> str:
    return _MARKERS[index % len(_MARKERS)]
