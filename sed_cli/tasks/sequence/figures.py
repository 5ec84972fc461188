"""Tables and figures of sequence models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from sed_cli.reports import style
from sed_cli.reports.figures import read_history
from sed_cli.reports.tables import results_console

WAYS = {"teacher_forced": "teacher forced", "free_running": "free running"}
_RARE = 10, 0.01  # minimum number and share of sequences for a step to be drawn: fewer are noise
_N_NGRAM_NAMES = {"1": "unigram", "2": "bigram", "3": "trigram"}

Metrics = Mapping[str, Any]
"""Content of ``metrics.json`` for ``task=sequence``."""


def print_sequence_metrics(metrics: Metrics, run_dir: Path) -> None:
    """Print perplexity and accuracy in both modes, those of n-gram counts, and decoding."""
    console = results_console()
    title = (
        f"{metrics['split']}: {metrics['n_sequences']} sequences, {metrics['n_targets']} targets"
    )
    unknown = metrics["n_unknown"]
    console.print(title + (f", {unknown} unknown" if unknown else ""), style="bold")
    console.print(_both_ways(metrics))
    if metrics["ngrams"] or metrics["best_possible_perplexity"]:
        console.print(_beside(metrics))
    if metrics["decoded"]:
        console.print(_decoded(metrics["decoded"]))
    console.print(f"run folder: {run_dir}", highlight=False, soft_wrap=True)


def _both_ways(metrics: Metrics) -> Table:
    table = Table(caption="the end of a sequence is a target too", caption_justify="left")
    table.add_column("")
    for name in ("perplexity", "accuracy", "whole sequences right"):
        table.add_column(name, justify="right")
    for way, title in WAYS.items():
        of = metrics[way]
        table.add_row(
            title, number(of["perplexity"]), f"{of['accuracy']:.3f}", f"{of['exact_match']:.3f}"
        )
    return table


def _beside(metrics: Metrics) -> Table:
    table = Table()
    table.add_column("beside it")
    table.add_column("perplexity", justify="right")
    for order, value in metrics["ngrams"].items():
        table.add_row(_N_NGRAM_NAMES.get(order, f"{order}-gram"), number(value))
    table.add_row("this model", number(metrics["perplexity"]), style="bold")
    if metrics["best_possible_perplexity"]:
        table.add_row("the best possible", number(metrics["best_possible_perplexity"]))
    return table


def _decoded(decoded: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table()
    table.add_column("decoding")
    for name in ("exact match", "token accuracy", "BLEU"):
        table.add_column(name, justify="right")
    for method, of in decoded.items():
        bleu = of["bleu"]
        table.add_row(
            method,
            f"{of['exact_match']:.3f}",
            f"{of['token_accuracy']:.3f}",
            "-" if bleu is None else f"{bleu:.1f}",
        )
    return table


def number(value: float) -> str:
    """Format a perplexity, which may be as small as 1 or arbitrarily large."""
    return f"{value:.3f}" if value < 1000 else f"{value:.3g}"


# ----------------------------------------------------------------------------------- figures


def draw_by_step(metrics: Metrics, path: Path) -> None:
    """Draw loss and accuracy at each step in both modes: how errors accumulate."""
    n = np.asarray(metrics["by_step"]["n"], dtype=np.float64)
    least = max(min(_RARE[0], n[0]), _RARE[1] * n[0])
    drawn = n >= least
    rest = "" if drawn.all() else f" (as far as {np.ceil(least):.0f} sequences go)"
    steps = np.arange(1, len(n) + 1)[drawn]
    with style.applied():
        figure = style.new_figure(8.6, 3.4)
        panels = figure.subplots(1, 2)
        for axes, key, title in zip(
            panels, ("loss", "accuracy"), ("partial loss in nats", "accuracy"), strict=True
        ):
            for index, (way, label) in enumerate(WAYS.items()):
                values = np.asarray(metrics["by_step"][way][key])[drawn]
                axes.plot(
                    steps,
                    values,
                    color=style.colour_of(index),
                    linestyle=style.dash_of(index),
                    marker="o" if len(steps) < 25 else None,
                    markersize=3.5,
                    label=label,
                )
            axes.set_title(title)
            axes.set_xlabel(f"step{rest}")
            style.count_ticks(axes, n_ticks=8)
        panels[0].set_ylim(bottom=0.0)
        panels[1].set_ylim(-0.02, 1.02)
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside lower left",
            ncols=2,
            frameon=False,
            handlelength=3.4,
        )
        figure.set_layout_engine("constrained")
        style.save_png(figure, path)


def sequence_learning_curves(history: Path, path: Path, *, best_epoch: int) -> None:
    """Draw losses, accuracies, perplexity and p_teacher over the updates."""
    columns = read_history(history)
    panels: list[tuple[str, dict[str, str]]] = [
        ("loss", {"train_loss": "training", "validation_loss": "validation, free running"}),
        (
            "validation accuracy",
            {
                "validation_forced_accuracy": "teacher forced",
                "validation_f1": "free running",
            },
        ),
        ("perplexity, forced", {"validation_perplexity": "teacher forced"}),
        ("p_teacher", {"p_teacher": "p_teacher"}),
    ]
    # Without a validation split its columns are missing.
    panels = [one for one in panels if _known(columns, one[1])]
    heights = [3 if len(series) > 1 else 2 for _, series in panels]
    with style.applied():
        figure = style.new_figure(7.5, 0.84 * sum(heights))
        all_axes = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights)
        for axes, (title, series) in zip(all_axes, panels, strict=True):
            _draw_series(axes, columns, _known(columns, series))
            axes.set_ylabel(title)
            if "accuracy" in title or title == "p_teacher":
                axes.set_ylim(-0.03, 1.03)
            if "perplexity" in title and np.nanmax(columns["validation_perplexity"]) > 100:
                axes.set_yscale("log")
            axes.axvline(
                columns["update"][best_epoch - 1], color=style.GREY, linewidth=1.0, zorder=1
            )
        all_axes[-1].set_xlabel("updates; the line marks the epoch that is kept")
        style.count_ticks(all_axes[-1])
        figure.align_ylabels()
        figure.set_layout_engine("constrained")
        style.save_png(figure, path)


def _known(columns: Mapping[str, NDArray[np.float64]], series: Mapping[str, str]) -> dict[str, str]:
    """The series of a panel that have values."""
    return {
        name: label
        for name, label in series.items()
        if name in columns and np.isfinite(columns[name]).any()
    }


def _draw_series(
    axes: Any, columns: Mapping[str, NDArray[np.float64]], series: Mapping[str, str]
) -> None:
    for index, (name, label) in enumerate(series.items()):
        values = columns[name]
        known = np.isfinite(values)
        axes.plot(
            columns["update"][known],
            values[known],
            color=style.colour_of(index),
            linestyle=style.dash_of(index),
            marker="o" if known.sum() == 1 else None,
            label=label,
        )
    if len(series) > 1:
        axes.legend()


def draw_convergence(comparison: Mapping[str, Any], path: Path) -> None:
    """Draw the accuracy of each row of a comparison over the updates, and the remaining gap.

    Args:
        comparison: ``comparison.json`` of sequence models, including ``convergence``.
        path: of the PNG; the PDF has the same name.
    """
    rows = comparison["rows"][:_MOST_ROWS]
    curves = comparison["convergence"]["rows"]
    names = [style.shortened(row["name"], 48) for row in rows]
    highest = max(max(curves[row["name"]][way]["mean"]) for row in rows for way in _SIDES)
    top = min(1.0, 1.5 * highest) or 1.0  # bands may be cut off, but their lines must not look flat
    with style.applied():
        figure = style.new_figure(11.5, 4.2)
        forced, free, gap = figure.subplots(1, 3, width_ratios=(3, 3, 2))
        for axes, (way, title) in zip((forced, free), _SIDES.items(), strict=True):
            for index, (row, name) in enumerate(zip(rows, names, strict=True)):
                _draw_curve(axes, curves[row["name"]], way, index, name)
            level = comparison["convergence"]["levels"][way]
            axes.axhline(level, color=style.GREY, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
            axes.set_ylim(-0.02 * top, 1.02 * top)
            axes.set_title(title)
            axes.set_xlabel("updates; diamonds: dotted level reached")
            style.count_ticks(axes, n_ticks=6)
        forced.set_ylabel("accuracy on validation")
        free.tick_params(labelleft=False)
        _draw_gaps(gap, rows)
        figure.legend(
            *forced.get_legend_handles_labels(),
            loc="outside lower left",
            ncols=3,
            frameon=False,
            handlelength=3.4,
            title="line: mean over seeds; band and bar: 95 % t interval; circles: seeds",
            alignment="left",
        )
        figure.set_layout_engine("constrained")
        style.save_figure(figure, path)


_MOST_ROWS = 6
_SIDES = {"forced": "teacher-forced", "free": "free-running"}


def _draw_curve(axes: Any, curve: Mapping[str, Any], way: str, index: int, name: str) -> None:
    colour, of = style.colour_of(index), curve[way]
    updates = [0, *curve["updates"]]  # before the first, chance level: practically 0
    axes.fill_between(
        updates, [0, *of["low"]], [0, *of["high"]], color=colour, alpha=0.15, linewidth=0
    )
    axes.plot(updates, [0, *of["mean"]], color=colour, linestyle=style.dash_of(index), label=name)
    needed = [n for n in of["needed"]["by_seed"].values() if n is not None]
    if needed and len(needed) == len(of["needed"]["by_seed"]):
        at = of["needed"]["mean"]
        axes.plot([at], [np.interp(at, updates, [0, *of["mean"]])], "D", color=colour, markersize=5)


def _draw_gaps(axes: Any, rows: Any) -> None:
    for at, row in enumerate(rows):
        score, colour = row["scores"]["sequence"]["gap"], style.colour_of(at)
        seeds = [value for value in score["by_seed"].values() if value is not None]
        axes.plot([at] * len(seeds), seeds, "o", color=colour, markersize=3.5, mfc="none")
        if score["low"] is not None:
            axes.plot([at + 0.15] * 2, [score["low"], score["high"]], color=colour)
        axes.plot([at + 0.15], [score["mean"]], "D", color=colour, markersize=5)
    axes.set_xlim(-0.6, len(rows) - 0.3)
    axes.set_xticks([])
    axes.axhline(0.0, color=style.GREY, linewidth=0.8)
    axes.set_title("the gap on the test split")
    axes.set_ylabel("accuracy teacher-forced less free-running")
