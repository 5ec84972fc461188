"""Files and figures of a detector's results over all thresholds."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sed_cli.metrics.curves import MAX_FP_PER_HOUR, Curves, Points, Roc
from sed_cli.reports.curve_figures import Line, Panel, class_curves
from sed_cli.system.files import replacing


def write_curves(folder: Path, curves: Curves) -> None:
    """Write ``psd_roc.csv`` and ``thresholds.csv``, one row per point, and pictures of both."""
    if not curves.psd_roc:
        return
    _write_rows(folder / "psd_roc.csv", "scenario", Roc, curves.psd_roc)
    _write_rows(folder / "thresholds.csv", "kind", Points, curves.points)
    class_curves(folder / "figures" / "psd_roc.png", _psd_panels(curves))
    class_curves(folder / "figures" / "thresholds.png", _threshold_panels(curves.points))


def _write_rows(path: Path, first: str, kind: Any, groups: Mapping[str, Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([first, "class", *kind._fields[1:]])
        for name, curves in groups.items():
            for label, *columns in curves:
                for row in zip(*columns, strict=True):
                    writer.writerow([name, label, *(f"{value:.6g}" for value in row)])


def _psd_panels(curves: Curves) -> list[Panel]:
    def line(roc: Roc) -> Line:  # extend to the edge: more false positives find nothing more
        return Line(
            roc.label,
            np.append(roc.fp_per_hour, MAX_FP_PER_HOUR),
            np.append(roc.tp_ratio, roc.tp_ratio[-1]),
        )

    return [
        Panel(
            title=f"{name.upper()} {curves.figures[name]['psds']:.3f}",
            lines=[line(roc) for roc in rocs],
            x_label="effective false positives per hour",
            y_label="true positive ratio",
            x_max=MAX_FP_PER_HOUR,
        )
        for name, rocs in curves.psd_roc.items()
    ]


def _threshold_panels(points: Mapping[str, Sequence[Points]]) -> list[Panel]:
    def by_recall(of: Points) -> Line:
        order = np.lexsort((-of.precision, of.recall))
        return Line(of.label, of.recall[order], of.precision[order])

    panels = [
        Panel("segments of 1 s", [by_recall(of) for of in points["segment"]], "recall", "precision")
    ]
    for kind, title in (("segment", "segments of 1 s"), ("event", "events")):
        lines = [Line(of.label, of.threshold, of.f1) for of in points[kind]]
        panels.append(Panel(title, lines, "threshold", "F1"))
    return panels
