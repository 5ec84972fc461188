"""Results as tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from sed_cli.config.registry import components
from sed_cli.system.text import plain

_FIGURES = {
    "precision": "precision",
    "recall": "recall",
    "er": "ER",
    "substitution_rate": "  substitutions",
    "deletion_rate": "  deletions",
    "insertion_rate": "  insertions",
}
_NOTE = "scores of frames are not comparable with those of segments; -: nothing to score"
_WIDTH = 100  # if standard output is not a terminal


def print_metrics(metrics: Mapping[str, Any], run_dir: Path) -> None:
    """Print F1 and ER of each class, then all micro figures, as fractions."""
    how = "scores as given" if "folds" in metrics else "free running"
    title = f"{metrics['split']}: {metrics['n_files']} files, {how}, {_made(metrics)}"
    console = results_console()
    console.print(title, style="bold", highlight=False)
    console.print(_of_classes(metrics))
    console.print(_of_kinds(metrics))
    for line in _of_others(metrics):
        console.print(line, highlight=False)
    if psds := metrics.get("psds"):
        console.print(_of_psds(psds), highlight=False)
    console.print(f"run folder: {run_dir}", highlight=False, soft_wrap=True)


def _made(metrics: Mapping[str, Any]) -> str:
    tuned_for = metrics["tuned_for"]
    decoder = metrics.get("decoder", "threshold")  # the only one in older runs
    if decoder != "threshold":
        return f"{decoder}, tuned for {tuned_for} F1" if tuned_for else decoder
    return f"tuned for {tuned_for} F1" if tuned_for else "threshold 0.5"


def _kinds(metrics: Mapping[str, Any]) -> dict[str, type[Any]]:
    """Metrics with figures, by name."""
    return {name: cls for name, cls in components("metric").items() if name in metrics}


def _of_classes(metrics: Mapping[str, Any]) -> Table:
    table = Table()
    table.add_column("class", no_wrap=True)
    kinds = {n: cls for n, cls in _kinds(metrics).items() if cls.HEADING and cls.IN_SHORT}
    for cls in kinds.values():
        for figure in cls.FIGURES:
            heading = "\n".join(figure.title.rsplit(" ", 1))
            table.add_column(heading, justify="right", no_wrap=True)

    def cells(scores: Mapping[str, Mapping[str, float | None]]) -> list[str]:
        return [_cell(scores[kind][of.name]) for kind, cls in kinds.items() for of in cls.FIGURES]

    for label, scores in metrics["per_class"].items():
        table.add_row(label, *cells(scores))
    table.add_section()
    table.add_row("all (micro)", *cells(metrics), style="bold")
    return table


def _of_others(metrics: Mapping[str, Any]) -> Iterator[str]:
    """One line per metric without F1."""
    for name, cls in _kinds(metrics).items():
        if not cls.HEADING:
            yield ", ".join(_with_interval(metrics[name], of) for of in cls.FIGURES)


def _with_interval(block: Mapping[str, Any], figure: Any) -> str:
    said = f"{figure.title} {_cell(block[figure.name])}"
    low, high = block.get("interval", {}).get(figure.name, (None, None))
    return said if low is None else f"{said} (95 % from {_cell(low)} to {_cell(high)})"


def _of_kinds(metrics: Mapping[str, Any]) -> Table:
    """One column per kind of figures, within 80 characters."""
    table = Table(caption=_NOTE)
    table.add_column("all classes", no_wrap=True)
    kinds = {name: cls.HEADING for name, cls in _kinds(metrics).items() if cls.HEADING}
    blocks = [metrics[kind] for kind in kinds]
    collar_ms = f"{1000 * metrics.get('collar_s', 0.2):g}"
    for heading in kinds.values():
        heading = heading.replace("{collar_ms}", collar_ms)
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("F1", *(_cell(block["f1"]) for block in blocks), style="bold")
    if "interval" in blocks[0]:
        for index, name in enumerate(("  95 % from", "  to")):
            table.add_row(name, *(_cell(block["interval"]["f1"][index]) for block in blocks))
    for key, name in _FIGURES.items():
        style = "bold" if key == "er" else None
        table.add_row(name, *(_cell(block[key]) for block in blocks), style=style)
    table.add_row("macro F1", *(_cell(block["macro"]["f1"]) for block in blocks))
    if plain := metrics["plain"]:
        cells = (_cell(plain[kind]["f1"]) if kind in plain else "" for kind in kinds)
        table.add_row("F1 at 0.5", *cells)
    return table


def _of_psds(psds: Mapping[str, Any]) -> str:
    ap = psds["segment_average_precision"]["mean"]
    scores = [f"{name.upper()} {_cell(psds[name]['psds'])}" for name in ("psds1", "psds2")]
    return ", ".join([*scores, f"average precision of segments {_cell(ap)}"])


def results_console() -> Console:
    """Console for standard output, wide enough for a table if that is a file or a pipe."""
    width = None if sys.stdout.isatty() else _WIDTH
    # Labels are data, without markup or emoji.
    return _ResultsConsole(file=sys.stdout, width=width, markup=False, emoji=False)


class _ResultsConsole(Console):
    """A console for data: control characters are escaped, and ``| head`` does not fail a run."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Escape control characters in data; those of colours are added later."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(plain(text), style)

    def on_broken_pipe(self) -> None:
        discard_standard_output()


def discard_standard_output() -> None:
    """Discard the rest of standard output: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
