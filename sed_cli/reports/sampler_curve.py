"""Figure of a sampler's curve: p_teacher over iterations, and share of teacher-forced steps.

It shows results of :mod:`sed_cli.reports.simulation`, without drawing random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

from sed_cli.reports import style

_EARLY = 0.05  # curves that settle within this share of the run get a logarithmic axis


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One sampler's curve, thinned for a figure, and the observed share of teacher-forced steps.

    Args:
        name: for the legend.
        iterations: int64 (N,), rising, from 0 to the last of the run.
        p_teacher: float64 (N,), p_teacher at ``iterations``.
        iterations_per_batch: steps of a batch if iterations are time steps, else 1.
        batches_per_epoch: for a second axis in epochs; None if the schedule has no epochs.
        batches: int64 (K,), batches whose teacher masks were drawn.
        shares: float64 (K,), the share of their teacher-forced steps.
        band: p_teacher at the first and the last step of a sequence, each (N,), if it depends on
            the step and ``p_teacher`` is a mean; None: it does not.
    """

    name: str
    iterations: NDArray[np.int64]
    p_teacher: NDArray[np.float64]
    iterations_per_batch: int
    batches_per_epoch: int | None
    batches: NDArray[np.int64]
    shares: NDArray[np.float64]
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def settled_at(self) -> int | None:
        """First iteration from which the curve stays at its last value, None if it never moves."""
        away = np.flatnonzero(self.p_teacher != self.p_teacher[-1])
        return int(self.iterations[away[-1] + 1]) if len(away) else None


class Abscissa:
    """The x axis that several curves share: iterations if all count the same, else batches."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        rates = {curve.iterations_per_batch for curve in curves}
        self.shared = len(rates) == 1
        self.per_batch = rates.pop() if self.shared else 1
        self.end = max(float(self.of(curve, curve.iterations)[-1]) for curve in curves)
        settled = [at for curve in curves if (at := curve.settled_at()) is not None]
        self.is_log = bool(settled) and self.end > 100 and max(settled) < _EARLY * self.end
        epochs = {curve.batches_per_epoch for curve in curves}
        self.per_epoch = epochs.pop() if len(epochs) == 1 else None

    def of(self, curve: Curve, iterations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Positions of ``iterations`` of ``curve`` on the axis."""
        return iterations / (1 if self.shared else curve.iterations_per_batch)

    def dress(self, axes: Axes, *, second_axis: bool = True) -> None:
        """Set limits, ticks and labels of both x axes and of the y axis."""
        unit = "time step" if self.per_batch > 1 else "update"
        label = f"iteration ({unit})" if self.shared else "batch"
        if self.is_log:
            axes.set_xscale("log")
            axes.set_xlim(1, self.end)
            axes.xaxis.set_major_locator(LogLocator(numticks=10))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _brief(value)))
            label += ", logarithmic from 1"
        else:
            pad = 0.01 * max(self.end, 1.0)
            axes.set_xlim(-pad, max(self.end, 1.0) + pad)
            style.count_ticks(axes)
        axes.set_xlabel(label)
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
        axes.set_ylabel("p_teacher")
        if second_axis and not self.is_log:
            self._dress_top(axes)

    def _dress_top(self, axes: Axes) -> None:
        n_batches = self.end / self.per_batch
        if self.per_epoch and n_batches >= 2 * self.per_epoch:
            scale, label = float(self.per_batch * self.per_epoch), "epoch"
        elif self.shared and self.per_batch > 1:
            scale, label = float(self.per_batch), "batch"
        else:
            return

        def to_top(x: Any) -> Any:
            return x / scale

        def from_top(x: Any) -> Any:
            return x * scale

        top = axes.secondary_xaxis("top", functions=(to_top, from_top))
        top.set_xlabel(label)
        top.spines["top"].set_visible(True)
        style.count_ticks(top)


def _brief(value: float) -> str:
    """1, 10, 100, 1k, 10k, ... 1M: labels of a logarithmic axis."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def sampler_curve(path: Path, curves: Sequence[Curve]) -> None:
    """Draw the curves over one another, as PNG and as PDF beside it.

    A single curve is shown with the share of teacher-forced steps of single batches, so that one
    sees how far the draws of a batch deviate from their probability.
    """
    with style.applied():
        figure = style.new_figure(7.5, 4.2)
        axes = figure.subplots()
        abscissa = Abscissa(curves)
        for index, curve in enumerate(curves):
            axes.plot(
                abscissa.of(curve, curve.iterations),
                curve.p_teacher,
                color=style.colour_of(index),
                linestyle=style.dash_of(index),
                label=style.shortened(curve.name, 60),
            )
            if curve.band is not None:
                axes.fill_between(
                    abscissa.of(curve, curve.iterations),
                    *curve.band,
                    color=style.colour_of(index),
                    alpha=0.15,
                    linewidth=0,
                    label="from the first step of a sequence to the last",
                )
        if len(curves) == 1 and not abscissa.is_log:
            _draw_shares(axes, curves[0])
        abscissa.dress(axes)
        _place_legend(figure, axes, len(curves))
        figure.set_layout_engine("constrained")
        style.save_figure(figure, path)


def _draw_shares(axes: Axes, curve: Curve) -> None:
    middle = (curve.batches + 0.5) * curve.iterations_per_batch - 0.5
    axes.plot(
        middle,
        curve.shares,
        linestyle="none",
        marker="o",
        markersize=3.5,
        markerfacecolor="none",
        markeredgecolor=style.VERMILION,
        markeredgewidth=0.8,
        label="share of teacher-forced steps in a batch",
    )


def _place_legend(figure: Figure, axes: Axes, n_curves: int) -> None:
    if n_curves <= 6:
        axes.legend(loc="best")
    else:  # next to the axes, where it hides no curve; the figure grows with it
        figure.set_size_inches(10.0, max(4.2, 0.22 * n_curves + 0.8))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
