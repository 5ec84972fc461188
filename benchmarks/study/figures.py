"""Gains over what the data hold, as pictures for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.study.results import Gain
from sed_cli.reports import style

_MARKERS = "osD^vPX"


class Point(NamedTuple):
    """A gain at a place of the axis, which may have a name."""

    x: float
    name: str
    gain: Gain


Series = Sequence[Point]


def draw_gains(panels: Mapping[str, Mapping[str, Series]], path: Path, axis: str) -> None:
    """Draw a panel for each heading: gains with 95 % intervals, a line for each series.

    Args:
        panels: series by their label, by heading of the figure that gains.
        path: of the PNG.
        axis: label of the horizontal axis.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with style.applied():
        figure = style.new_figure(7.2, 3.4)
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True))
        for of_panel, (heading, series) in zip(axes, panels.items(), strict=True):
            of_panel.axhline(0, color=style.GREY, lw=0.8)
            places = sorted({point.x for points in series.values() for point in points})
            width = (places[-1] - places[0]) if len(places) > 1 else 1.0
            for index, (label, points) in enumerate(series.items()):
                # Beside one another: intervals at one place would hide each other.
                aside = (index - (len(series) - 1) / 2) * 0.03 * width
                of_panel.errorbar(
                    [point.x + aside for point in points],
                    [100 * point.gain.mean for point in points],
                    100 * np.nan_to_num([point.gain.half for point in points], posinf=0.0),
                    fmt=_MARKERS[index % len(_MARKERS)],
                    ls=style.DASHES[index % len(style.DASHES)],
                    ms=5, capsize=2, lw=1.2, label=label,
                    color=style.CYCLE[index % len(style.CYCLE)],
                )  # fmt: skip
            names = {point.x: point.name for points in series.values() for point in points}
            if any(names.values()):
                of_panel.set_xticks(places, [names[x] for x in places])
                of_panel.margins(x=0.15)
            of_panel.set_xlabel(axis)
            of_panel.set_ylabel(f"gain in {heading}, points")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.set_layout_engine("constrained")
        style.save_png(figure, path)
