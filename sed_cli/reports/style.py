"""The look of every figure, in one place: fonts, colours, sizes and how a figure is saved.

Figures are made with :class:`matplotlib.figure.Figure` on the Agg canvas, never through pyplot: no
window system, and no figure outlives the function that draws it.

Colours: Okabe and Ito, "Color universal design", 2008, distinguishable with common
colour-vision deficiencies.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes._base import _AxesBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sed_cli.system.files import replacing

DPI = 150

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
INK = "#222222"
GREY = "#8A8A8A"
PALE = "#BDBDBD"
GRID = "#DDDDDD"
PAPER = "#FFFFFF"
NEUTRAL = "#E9E4D8"
"""Light and warm, so that it is neither blue nor the white of the paper."""

CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""For lines, in order; without the palette's yellow, which is too pale on white."""

DASHES = ("-", "--", "-.", ":")
"""Besides colour, so that lines are distinguishable in grey prints."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a file name is a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": GRID,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.8,
    "pdf.fonttype": 42,  # embedded TrueType fonts, for editors and publishers
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}


@contextmanager
def applied() -> Iterator[None]:
    """Create figures in this project's style, independent of the user's matplotlibrc."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A file name may be in a script that the font lacks: boxes are acceptable.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float, *, dpi: float = DPI) -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches on an Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG to ``path`` and as PDF beside it, each atomically.

    For figures in papers; those of every run use :func:`save_png`, since a process takes about a
    second to load the PDF back end. The same figure gives the same bytes.
    """
    # It logs every glyph.
    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)
    save_png(figure, path)
    with replacing(path.with_suffix(".pdf")) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})


def save_png(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG to ``path``, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def dash_of(index: int) -> str:
    """Line style of line ``index``; four styles and seven colours, so 28 pairs do not repeat."""
    return DASHES[index % len(DASHES)]


def colour_of(index: int) -> str:
    """Colour of line ``index``."""
    return CYCLE[index % len(CYCLE)]


def count_ticks(axes: _AxesBase, *, n_ticks: int = 8) -> None:
    """Label the x axis with whole numbers, with commas between thousands."""
    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=n_ticks, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def shortened(text: str, n_characters: int) -> str:
    """Return ``text``, without its middle if longer than ``n_characters``."""
    if len(text) <= n_characters:
        return text
    head = (n_characters - 1) // 2
    return f"{text[:head]}…{text[len(text) - (n_characters - 1 - head) :]}"
