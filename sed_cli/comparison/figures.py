"""Figures of ``sedtf compare``: learning curves with bands, scores, F1 over a swept key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from sed_cli.comparison.amounts import ASIDE
from sed_cli.comparison.amounts_figure import draw_amounts
from sed_cli.reports import style
from sed_cli.reports.figures import read_history

Comparison = Mapping[str, Any]
"""Contents of ``comparison.json``."""

MAX_NAMED = 8
"""Number of rows with a colour and a name in learning curves; further rows are grey."""

_NAME_LENGTH = 56
_LOG_FROM = 8.0  # ratio of largest to smallest value from which the axis of a key is logarithmic


def draw_comparison(comparison: Comparison, folder: Path) -> None:
    """Draw all figures that the runs allow, each as PNG and PDF."""
    names = _labels([row["name"] for row in comparison["rows"]])
    histories = {
        name: found
        for name, row in zip(names, comparison["rows"], strict=True)
        if (found := _histories(row["runs"], comparison["learning_curves"]))
    }
    with style.applied():
        _draw_scores(comparison, names, folder / "scores.png")
        if histories:
            curves = comparison["learning_curves"]
            _draw_learning_curves(histories, curves, folder / "learning_curves.png")
        figure = comparison["principal"]["name"]
        if comparison["amounts"]:
            draw_amounts(comparison, folder / f"{figure}_over_training_minutes.png")
        for key in comparison["columns"]:
            if comparison["amounts"] and key in ASIDE:  # that figure has them
                continue
            if lines := _swept(comparison, key):
                _draw_swept(comparison, key, lines, folder / f"{figure}_over_{key}.png")


def _labels(names: Sequence[str]) -> list[str]:
    """Shorten names; if they become ambiguous, number them as in the table."""
    if all(len(name) <= _NAME_LENGTH for name in names):
        return list(names)
    return [f"{n}: {style.shortened(name, _NAME_LENGTH)}" for n, name in enumerate(names, start=1)]


# --------------------------------------------------------------------------- learning curves


def _histories(
    runs: Sequence[str], curves: Mapping[str, str]
) -> list[dict[str, NDArray[np.float64]]]:
    found = []
    for run in runs:
        path = Path(run) / "history.csv"
        if path.is_file():  # runs of `sedtf eval` have none
            table = read_history(path)
            # Without a validation split a history may lack columns.
            unknown = np.full(len(table["epoch"]), np.nan)
            found.append({name: table.get(name, unknown) for name in ("epoch", *curves)})
    return found


def _draw_learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]],
    curves: Mapping[str, str],
    path: Path,
) -> None:
    """Draw the mean over the runs of a row as a line, the lowest to the highest as a band."""
    figure = style.new_figure(
        2.0 + 3.0 * len(curves), 3.4 + 0.18 * min(len(histories), MAX_NAMED + 1)
    )
    panels = figure.subplots(1, len(curves))
    for axes, (column, title) in zip(panels, curves.items(), strict=True):
        for index, runs in enumerate(histories.values()):
            _draw_band(axes, runs, column, index)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        style.count_ticks(axes, n_ticks=6)
        if column not in ("validation_loss", "validation_perplexity"):
            axes.set_ylim(bottom=0.0)
    panels[-1].set_ylim(-0.03, 1.03)
    handles, _ = panels[-1].get_legend_handles_labels()  # p_teacher, in every history
    names = list(histories)[:MAX_NAMED]
    if len(histories) > MAX_NAMED:
        names.append(f"{len(histories) - MAX_NAMED} others")
    figure.legend(
        handles[: len(names)],
        names,
        loc="outside lower left",
        ncols=2 if max(map(len, names)) < 60 else 1,
        frameon=False,
        handlelength=3.4,
        title="line: mean over runs; band: lowest to highest",
        alignment="left",
    )
    figure.set_layout_engine("constrained")
    style.save_figure(figure, path)


def _draw_band(
    axes: Axes, runs: Sequence[Mapping[str, NDArray[np.float64]]], column: str, index: int
) -> None:
    epochs, values = _aligned(runs, column)
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return
    epochs, values = epochs[known], values[:, known]
    named = index < MAX_NAMED
    colour = style.colour_of(index) if named else style.PALE
    if named and len(values) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
    axes.plot(
        epochs,
        np.nanmean(values, axis=0),
        color=colour,
        linestyle=style.dash_of(index) if named else "-",
        linewidth=1.8 if named else 0.9,
        marker="o" if len(epochs) == 1 else None,
        zorder=2 if named else 0.5,
        label=str(index),
    )


def _aligned(
    runs: Sequence[Mapping[str, NDArray[np.float64]]], column: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs (E,) that at least half of the runs reached, and values (n_runs, E)."""
    last = sorted(len(run["epoch"]) for run in runs)[len(runs) // 2]
    values = np.full((len(runs), last), np.nan)
    for row, run in zip(values, runs, strict=True):
        own = run[column][:last]
        row[: len(own)] = own
    return np.arange(1.0, last + 1), values


# ------------------------------------------------------------------------------------ scores


def _draw_scores(comparison: Comparison, names: Sequence[str], path: Path) -> None:
    """Draw one line per row: mean, interval, and each seed."""
    principal, rows = comparison["principal"], comparison["rows"]
    figure = style.new_figure(4.8 + 0.07 * max(map(len, names)), 1.1 + 0.3 * len(rows))
    axes = figure.subplots()
    for at, row in enumerate(rows):
        score = row["scores"][principal["kind"]][principal["name"]]
        colour = style.VERMILION if row["is_baseline"] else style.BLUE
        seeds = [value for value in score["by_seed"].values() if value is not None]
        axes.plot(seeds, [at + 0.24] * len(seeds), "o", color=colour, markersize=3.2, mfc="none")
        if score["low"] is not None:
            axes.plot([score["low"], score["high"]], [at, at], color=colour, linewidth=2.2)
        if score["mean"] is not None:
            axes.plot([score["mean"]], [at], "D", color=colour, markersize=5.5)
        if row["is_baseline"] and score["mean"] is not None:
            axes.axvline(
                score["mean"], color=colour, linewidth=1.0, linestyle=(0, (6, 3)), zorder=1
            )
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    if principal["is_fraction"]:  # the interval of two seeds may exceed the range of the score
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -0.02), min(high, 1.02))
    axes.set_xlabel(f"{principal['title']}: mean, 95 % t interval, single seeds")
    figure.set_layout_engine("constrained")
    style.save_figure(figure, path)


# -------------------------------------------------------------------------------- swept keys


class _Point(NamedTuple):
    x: float
    mean: float
    low: float | None
    high: float | None
    seeds: list[float]


def _swept(comparison: Comparison, key: str) -> dict[str, list[_Point]]:
    """Points over the values of ``key``, one line per setting of the other columns.

    Only lines of two points or more; may be empty.
    """
    lines: dict[str, list[_Point]] = {}
    for row in comparison["rows"]:
        x, point = _number(row["columns"][key]), _point(comparison, row)
        if x is not None and point is not None:
            others = {k: v for k, v in row["columns"].items() if k != key and v != "-"}
            name = ", ".join(f"{k}={v}" for k, v in others.items())
            lines.setdefault(name, []).append(point._replace(x=x))
    return {name: sorted(points) for name, points in lines.items() if len(points) > 1}


def _point(comparison: Comparison, row: Mapping[str, Any]) -> _Point | None:
    principal = comparison["principal"]
    score = row["scores"][principal["kind"]][principal["name"]]
    if score["mean"] is None:
        return None
    seeds = [value for value in score["by_seed"].values() if value is not None]
    return _Point(math.nan, score["mean"], score["low"], score["high"], seeds)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _draw_swept(
    comparison: Comparison, key: str, lines: Mapping[str, Sequence[_Point]], path: Path
) -> None:
    figure = style.new_figure(6.4, 3.8 + 0.2 * len(lines))
    axes = figure.subplots()
    values = sorted({point.x for points in lines.values() for point in points})
    n_levels = 0  # rows without the key: a horizontal line
    is_log = values[0] > 0 and values[-1] / values[0] >= _LOG_FROM
    if is_log:
        axes.set_xscale("log")
    for index, (name, points) in enumerate(lines.items()):
        _draw_line(axes, points, index, name, _shift(index, len(lines), values, is_log))
    for row in comparison["rows"]:
        if row["columns"][key] == "-" and (point := _point(comparison, row)):
            n_levels += 1
            dash, name = style.dash_of(n_levels), style.shortened(row["name"], 2 * _NAME_LENGTH)
            axes.axhline(point.mean, color=style.GREY, linestyle=dash, label=name, zorder=1)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    if comparison["principal"]["is_fraction"]:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.set_xlabel(key)
    axes.set_ylabel(comparison["principal"]["title"])
    axes.set_title("mean with 95 % t interval; dots: seeds")
    if len(lines) + n_levels > 1:
        figure.legend(loc="outside lower left", frameon=False, handlelength=3.4)
    figure.set_layout_engine("constrained")
    style.save_figure(figure, path)


def _shift(index: int, n_lines: int, values: Sequence[float], is_log: bool) -> float:
    """Part of the axis by which a line is shifted, so that intervals do not overlap."""
    span = math.log(values[-1] / values[0]) if is_log else values[-1] - values[0]
    return (index - (n_lines - 1) / 2) * 0.012 * span


def _draw_line(axes: Axes, points: Sequence[_Point], index: int, name: str, shift: float) -> None:
    colour = style.colour_of(index)
    is_log = axes.get_xscale() == "log"
    xs = [point.x * math.exp(shift) if is_log else point.x + shift for point in points]
    for x, point in zip(xs, points, strict=True):
        axes.plot([x] * len(point.seeds), point.seeds, "o", color=colour, markersize=3, mfc="none")
        if point.low is not None and point.high is not None:
            axes.plot([x, x], [point.low, point.high], color=colour, linewidth=1.4, alpha=0.6)
    axes.plot(
        xs,
        [point.mean for point in points],
        color=colour,
        linestyle=style.dash_of(index),
        marker="D",
        markersize=5,
        label=style.shortened(name, 2 * _NAME_LENGTH) or "all runs",
    )
