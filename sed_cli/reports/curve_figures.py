"""Figures over all thresholds: PSD-ROC and precision over recall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sed_cli.reports import style

MAX_NAMED = 14
"""Maximum number of classes with a colour and a name; with more, all are grey."""


class Line(NamedTuple):
    """A curve: its label, empty for all classes together, and its points, ``xs`` rising."""

    label: str
    xs: NDArray[np.float64]
    ys: NDArray[np.float64]


class Panel(NamedTuple):
    """A title with its curves, and the names and limits of the axes."""

    title: str
    lines: Sequence[Line]
    x_label: str
    y_label: str
    x_max: float = 1.0


def class_curves(path: Path, panels: Sequence[Panel]) -> None:
    """Draw panels side by side, one line per class, as PNG to ``path`` and as PDF beside it."""
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    order = {label: index for index, label in enumerate(label for label in labels if label)}
    with style.applied():
        named = len(order) <= MAX_NAMED
        figure = style.new_figure(3.4 * len(panels) + (1.4 if named else 0.0), 3.3)
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_panel(axes, panel, order if named else {})
        handles, names = _legend(all_axes)
        if handles:
            figure.legend(handles, names, loc="outside right center", frameon=False)
        figure.set_layout_engine("constrained")
        style.save_figure(figure, path)


def _draw_panel(axes: Axes, panel: Panel, order: Mapping[str, int]) -> None:
    for line in panel.lines:
        is_all = not line.label
        index = order.get(line.label)
        axes.plot(
            line.xs,
            line.ys,
            drawstyle="steps-post",
            color=style.INK if is_all else style.PALE if index is None else style.colour_of(index),
            linestyle="-" if is_all or index is None else style.dash_of(index),
            linewidth=2.4 if is_all else 1.2,
            zorder=3 if is_all else 2,
            label="all classes" if is_all else line.label if index is not None else "_",
        )
    axes.set_xlim(0.0, panel.x_max)
    axes.set_ylim(0.0, 1.02)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _legend(all_axes: Iterable[Axes]) -> tuple[list[Artist], list[str]]:
    found: dict[str, Artist] = {}
    for axes in all_axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(style.shortened(name, 24), handle)
    return list(found.values()), list(found)
