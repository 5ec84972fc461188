"""The gain of feedback over the bits of syntax that the data hold, as a picture for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.study.results import Gain, Row
from sed_cli.reports import style

_MARKERS = "osD^vPX"
Point = tuple[Row, float, Gain]  # with its bits


def draw_gains(panels: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Draw a panel for each heading: gains with 95 % intervals, and each seed's own.

    Args:
        panels: points by heading of the figure that gains.
        path: of the PNG.
    """
    with style.applied():
        figure = style.new_figure(7.2, 3.4)
        axes = figure.subplots(1, len(panels), sharex=True)
        questions = list(dict.fromkeys(row.question for row, *_ in next(iter(panels.values()))))
        for of_panel, (heading, points) in zip(np.atleast_1d(axes), panels.items(), strict=True):
            of_panel.axhline(0, color=style.GREY, lw=0.8)
            for index, question in enumerate(questions):
                own = [point for point in points if point[0].question == question]
                bits = np.array([bits for _, bits, _ in own])
                means = 100 * np.array([gain.mean for *_, gain in own])
                halves = 100 * np.nan_to_num([gain.half for *_, gain in own], posinf=0.0)
                of_panel.errorbar(
                    bits, means, halves, fmt=_MARKERS[index % len(_MARKERS)], ms=5, capsize=2,
                    lw=1.2, color=style.CYCLE[index % len(style.CYCLE)], label=question,
                )  # fmt: skip
            of_panel.set_xlabel("syntax in bits an event")
            of_panel.set_ylabel(f"gain in {heading}, points")
        if len(questions) > 1:
            handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.set_layout_engine("constrained")
        style.save_png(figure, path)
