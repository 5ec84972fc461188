"""Results as tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_KINDS = {"frame": "frame", "segment": "segment", "event": "event"}
_NOTE = "segments of 1 s, events with a collar of 200 ms; frames and segments never compare"
_WIDTH = 100  # where standard output is no terminal


def print_metrics(metrics: Mapping[str, Any], run_dir: Path) -> None:
    """Print F1 and ER, micro and per class, as fractions; a dash where a figure has no base."""
    title = f"{metrics['split']}: {metrics['n_files']} files, free running"
    table = Table(title=title, caption=_NOTE)
    table.add_column("class", no_wrap=True)
    for kind in _KINDS.values():
        table.add_column(f"{kind}\nF1", justify="right", no_wrap=True)
        table.add_column(f"{kind}\nER", justify="right", no_wrap=True)
    for label, scores in metrics["per_class"].items():
        table.add_row(label, *_cells(scores))
    table.add_section()
    table.add_row("all (micro)", *_cells(metrics), style="bold")
    console = results_console()
    console.print(table)
    console.print(f"run folder: {run_dir}", highlight=False, soft_wrap=True)


def results_console() -> Console:
    """Console for standard output, wide enough for a table where that is a file or a pipe."""
    width = None if sys.stdout.isatty() else _WIDTH
    # Labels are data: neither markup nor emoji are meant by them.
    return _ResultsConsole(file=sys.stdout, width=width, markup=False, emoji=False)


class _ResultsConsole(Console):
    """A reader that stops reading, such as ``| head``, is no reason to fail a run."""

    def on_broken_pipe(self) -> None:
        discard_standard_output()


def discard_standard_output() -> None:
    """Send the rest of standard output nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _cells(scores: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    values = [scores[kind][name] for kind in _KINDS for name in ("f1", "er")]
    return ["-" if value is None else f"{value:.3f}" for value in values]
