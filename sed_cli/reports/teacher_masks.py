"""The teacher masks of a sampler's batches as an animation: the teacher-forced steps.

It shows results of :mod:`sed_cli.reports.simulation`, without drawing random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from PIL import Image

from sed_cli.reports import style
from sed_cli.reports.sampler_curve import Abscissa, Curve
from sed_cli.system.files import replacing
from sed_cli.system.text import counted

MAX_PANELS = 4
"""Maximum number of tile maps in an animation; only the first samplers are shown."""


MAX_FRAMES = 100
"""Maximum number of frames in an animation; of more batches every n-th is shown."""


_WIDTH = 1010  # pixels, like all of the following
_LEFT, _RIGHT, _GAP = 64, 26, 60
_HEAD, _TITLE, _FOOT = 58, 38, 40  # at the top, above a panel, below a panel
_CURVE, _CURVE_FOOT = 180, 54
_MIN_CELL, _MAX_CELL = 4, 28
_GIF_DPI = 100
_FRAME_MS, _LAST_FRAME_MS = 160, 2400


@dataclass(frozen=True, kw_only=True)
class TileGrid:
    """Positions of the tiles of one panel, in pixels of the frame from its top left corner.

    A tile is one sample and one step. If there are more of them than pixels, a tile joins
    neighbours and shows the share of them that is teacher-forced.
    """

    left: int
    top: int
    width: int
    height: int
    n_samples: int
    n_steps: int

    @property
    def n_rows(self) -> int:
        """Tiles down."""
        return min(self.n_samples, self.height)

    @property
    def n_columns(self) -> int:
        """Tiles across."""
        return min(self.n_steps, self.width)

    def centre(self, row: int, column: int) -> tuple[int, int]:
        """Pixel (x, y) in the middle of a tile, never in the line between two."""
        across, down = _edges(self.width, self.n_columns), _edges(self.height, self.n_rows)
        x = (across[column] + across[column + 1] - 1) // 2
        y = (down[row] + down[row + 1] - 1) // 2
        return self.left + int(x), self.top + int(y)

    def shares(self, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Reduce a mask (B, T) or (B, T, C) to the share of set entries per tile, 0 to 255."""
        fed = mask.mean(axis=2) if mask.ndim == 3 else mask.astype(np.float64)  # (B, T)
        rows = _group_means(fed, self.n_rows)
        tiles = _group_means(rows.T, self.n_columns).T  # (n_rows, n_columns)
        return np.rint(tiles * 255).astype(np.uint8)

    def picture(self, shares: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colour the tiles: uint8 (height, width, 3)."""
        across, down = _edges(self.width, self.n_columns), _edges(self.height, self.n_rows)
        pixels = np.repeat(np.repeat(_RAMP[shares], np.diff(down), 0), np.diff(across), 1)
        if self.width >= _MIN_CELL * self.n_columns:  # borders would hide narrower tiles
            pixels[:, across[1:] - 1] = 255
        if self.height >= _MIN_CELL * self.n_rows:
            pixels[down[1:] - 1] = 255
        return pixels


def tile_grids(n_panels: int, n_samples: int, n_steps: int) -> list[TileGrid]:
    """Lay out the tile maps of ``n_panels`` samplers.

    One or two panels are stacked; three or four are in two columns.
    """
    columns = 1 if n_panels <= 2 else 2
    max_width = (_WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) // columns
    width = _extent(n_steps, max_width)
    height = _extent(n_samples, 224 if n_panels == 1 else 144)
    return [
        TileGrid(
            left=_LEFT + panel % columns * (max_width + _GAP),
            top=_HEAD + _TITLE + panel // columns * (height + _TITLE + _FOOT),
            width=width,
            height=height,
            n_samples=n_samples,
            n_steps=n_steps,
        )
        for panel in range(n_panels)
    ]


def _extent(n_tiles: int, n_pixels: int) -> int:
    """Pixels for ``n_tiles``: whole pixels per tile, unless tiles are too small."""
    cell = min(_MAX_CELL, n_pixels // n_tiles)
    return cell * n_tiles if cell >= _MIN_CELL else n_pixels


def _edges(length: int, n_parts: int) -> NDArray[np.int64]:
    """Integers from 0 to ``length`` that divide it into ``n_parts`` as evenly as possible."""
    return np.arange(n_parts + 1) * length // n_parts


def _group_means(values: NDArray[np.float64], n_groups: int) -> NDArray[np.float64]:
    """Means of ``n_groups`` runs of neighbouring rows."""
    if n_groups == len(values):
        return values
    edges = _edges(len(values), n_groups)
    sums = np.add.reduceat(values, edges[:-1], axis=0)
    means: NDArray[np.float64] = sums / np.diff(edges)[:, None]
    return means


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], dtype=np.float64)


def _blend(start: str, end: str, n_colours: int) -> NDArray[np.uint8]:
    weight = np.linspace(0.0, 1.0, n_colours)[:, None]
    return np.rint(_rgb(start) * (1 - weight) + _rgb(end) * weight).astype(np.uint8)


_RAMP = _blend(style.NEUTRAL, style.BLUE, 256)
"""Colour of a tile by its share of set entries, (256, 3): the ends are exactly the two colours."""


def _palette() -> Image.Image:
    """Palette of the animation: its colours, and their blends with the background.

    It is fixed, so that colours neither flicker between frames nor depend on the draws.
    """
    inks = [style.colour_of(index) for index in range(MAX_PANELS)]
    fades = [_blend(ink, style.PAPER, 24) for ink in inks]
    tiles = _RAMP[np.linspace(0, 255, 64).round().astype(int)]
    colours = np.concatenate([tiles, _blend(style.INK, style.PAPER, 48), *fades])
    # Pillow matches colours approximately: a near-background colour would replace the background.
    colours = np.concatenate(
        [colours[colours.min(axis=1) < 240], _blend(style.PAPER, "#FFFFFF", 1)]
    )
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image


@dataclass(frozen=True, kw_only=True)
class CoinFrame:
    """One batch: its tiles per sampler, and p_teacher per sampler.

    That is p_teacher at its first step, at its last, and on the curve.
    """

    batch: int
    tiles: Sequence[NDArray[np.uint8]]
    p_first: Sequence[float]
    p_last: Sequence[float]
    p_curve: Sequence[float]


class _Film:
    """The animation's one figure.

    Static parts are drawn once; a frame restores them, draws its few moving parts over them and
    pastes the tiles, pixel for pixel. Redrawing the whole figure took several times as long.
    """

    def __init__(
        self,
        curves: Sequence[Curve],
        grids: Sequence[TileGrid],
        *,
        n_batches: int,
        batch_size: int,
        n_steps: int,
        caption: str,
    ) -> None:
        self._n_batches = n_batches
        self._curves, self._grids = curves, grids
        self._abscissa = Abscissa(curves)
        tiles_end = max(grid.top + grid.height for grid in grids) + _FOOT
        self._height = tiles_end + 16 + _CURVE + _CURVE_FOOT
        # The hundredth of a pixel prevents rounding from dropping a row of the canvas.
        size = ((_WIDTH + 0.01) / _GIF_DPI, (self._height + 0.01) / _GIF_DPI)
        self._figure = style.new_figure(*size, dpi=_GIF_DPI)
        self._title = self._write(_LEFT, 24, "", size=12.0, weight="bold")
        self._write(_LEFT, 46, caption, size=8.0)
        self._p_texts: list[Text] = []
        for k, (grid, curve) in enumerate(zip(grids, curves, strict=True)):
            name = style.shortened(curve.name, 54 if len(grids) > 2 else 110)
            dot = self._write(grid.left, grid.top - 26, "●", size=10.0)
            dot.set_color(style.colour_of(k))
            self._write(grid.left + 16, grid.top - 26, name, size=9.0, weight="bold")
            self._add_panel(grid, n_samples=batch_size, n_steps=n_steps)
        self._add_key()
        self._add_curves(tiles_end + 16)
        self._moving: list[Artist] = [self._title, *self._p_texts]
        self._moving += [*self._rests, *self._lines, *self._points]
        for artist in self._moving:
            artist.set_animated(True)
        self._canvas = cast(Any, FigureCanvasAgg(self._figure))  # its methods are not typed
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(self._figure.bbox)

    def _write(self, x: float, y: float, text: str, *, size: float, weight: str = "normal") -> Text:
        place = (x / _WIDTH, 1 - y / self._height)
        return self._figure.text(*place, text, fontsize=size, fontweight=weight, va="center")

    def _add_axes(self, left: int, top: int, width: int, height: int) -> Axes:
        bottom = self._height - top - height
        x, y = 1 / _WIDTH, 1 / self._height
        return self._figure.add_axes((left * x, bottom * y, width * x, height * y))

    def _add_panel(self, grid: TileGrid, *, n_samples: int, n_steps: int) -> None:
        axes = self._add_axes(grid.left, grid.top, grid.width, grid.height)
        axes.set_xlim(0, n_steps)
        axes.set_ylim(n_samples, 0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.grid(False)
        axes.set_xticks(_tile_ticks(n_steps, grid.width // 40) + 0.5)
        axes.set_yticks(_tile_ticks(n_samples, grid.height // 24) + 0.5)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value - 0.5:.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value - 0.5:.0f}"))
        axes.tick_params(length=3)
        axes.set_xlabel("time step", labelpad=2)
        axes.set_ylabel("sample")
        self._p_texts.append(self._write(grid.left, grid.top - 10, "", size=9.0))

    def _add_key(self) -> None:
        fed = Patch(facecolor=style.BLUE, label="ground truth fed")
        own = Patch(facecolor=style.NEUTRAL, edgecolor=style.GREY, label="model's own output fed")
        corner = (1 - _RIGHT / _WIDTH, 1 - 10 / self._height)
        self._figure.legend(
            handles=[fed, own],
            loc="upper right",
            bbox_to_anchor=corner,
            ncols=2,
            frameon=False,
            borderaxespad=0.0,
        )

    def _add_curves(self, top: int) -> None:
        axes = self._add_axes(_LEFT, top, _WIDTH - _LEFT - _RIGHT, _CURVE)
        self._rests: list[Line2D] = []
        self._lines: list[Line2D] = []
        self._points: list[Line2D] = []
        for index in range(len(self._curves)):
            colour = style.colour_of(index)
            (rest,) = axes.plot([], [], color=style.PALE, linewidth=1.2)
            (line,) = axes.plot([], [], color=colour, linestyle=style.dash_of(index))
            (point,) = axes.plot([], [], color=colour, marker="o", markersize=7)
            self._rests.append(rest)
            self._lines.append(line)
            self._points.append(point)
        self._abscissa.dress(axes, second_axis=False)

    def render(self, frame: CoinFrame) -> Image.Image:
        """Draw one frame, RGB."""
        self._title.set_text(f"batch {frame.batch + 1:,} of {self._n_batches:,}")
        for k, (first, last) in enumerate(zip(frame.p_first, frame.p_last, strict=True)):
            self._p_texts[k].set_text(_p_text(first, last))
            self._advance(k, frame)
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            artist.draw(self._canvas.get_renderer())
        pixels = np.array(self._canvas.buffer_rgba())[..., :3]  # (height, width, 3)
        for grid, tiles in zip(self._grids, frame.tiles, strict=True):
            rows = slice(grid.top, grid.top + grid.height)
            pixels[rows, grid.left : grid.left + grid.width] = grid.picture(tiles)
        return Image.fromarray(pixels)

    def _advance(self, k: int, frame: CoinFrame) -> None:
        curve = self._curves[k]
        now = np.int64((frame.batch + 1) * curve.iterations_per_batch - 1)
        past = curve.iterations < now
        middle = self._abscissa.of(curve, np.array([now])), [frame.p_curve[k]]
        x = self._abscissa.of(curve, curve.iterations)
        self._points[k].set_data(*middle)
        for line, part, order in ((self._lines, past, 1), (self._rests, ~past, -1)):
            xs, ps = (x[part], middle[0]), (curve.p_teacher[part], middle[1])
            line[k].set_data(np.concatenate(xs[::order]), np.concatenate(ps[::order]))


def _tile_ticks(n_items: int, n_ticks: int) -> NDArray[np.int64]:
    """Round item numbers from 0, at most about ``n_ticks`` of them."""
    steps = [base * 10**power for power in range(9) for base in (1, 2, 5)]
    step = next(step for step in steps if n_items / step <= max(1, n_ticks))
    return np.arange(0, n_items, step)


def _p_text(first: float, last: float) -> str:
    """p_teacher of a batch; two numbers if it changes visibly within the batch."""
    start, end = f"{first:.3f}", f"{last:.3f}"
    return f"p_teacher {start}" if start == end else f"p_teacher {start} to {end}"


def forced_targets(
    path: Path,
    curves: Sequence[Curve],
    frames: Sequence[CoinFrame],
    *,
    n_batches: int,
    batch_size: int,
    n_steps: int,
    n_classes: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the teacher masks as an animated GIF: in each frame a batch, and the curve so far.

    Args:
        path: of the GIF; written atomically.
        curves: of all samplers; the first :data:`MAX_PANELS` are shown.
        frames: one per image, with tiles on the grids of :func:`tile_grids`.
        n_batches: of the whole run; the caption has the number of batches per frame.
        batch_size: B.
        n_steps: T.
        n_classes: draws per step and sample, 1 unless each class has its own.
        progress: called with the number of frames drawn.
    """
    shown = curves[:MAX_PANELS]
    with style.applied():
        film = _Film(
            shown,
            tile_grids(len(shown), batch_size, n_steps),
            n_batches=n_batches,
            batch_size=batch_size,
            n_steps=n_steps,
            caption=_caption(len(curves), frames, n_steps, batch_size, n_classes),
        )
        palette = _palette()

        def pictures() -> Iterator[Image.Image]:
            for number, frame in enumerate(frames, start=1):
                picture = film.render(frame)
                yield picture.quantize(palette=palette, dither=Image.Dither.NONE)
                if progress is not None:
                    progress(number)

        rest = pictures()
        first = next(rest)
        durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
        with replacing(path) as temporary:
            first.save(
                temporary,
                format="GIF",
                save_all=True,
                append_images=rest,
                duration=durations,
                loop=0,
                optimize=False,
            )


def _caption(
    n_curves: int, frames: Sequence[CoinFrame], n_steps: int, batch_size: int, n_classes: int
) -> str:
    grid = tile_grids(min(n_curves, MAX_PANELS), batch_size, n_steps)[0]
    parts = [f"{counted(batch_size, 'sample')} x {counted(n_steps, 'time step')} per batch"]
    if n_classes > 1:
        parts.append(f"shade: share of {n_classes} classes")
    if grid.n_rows < batch_size or grid.n_columns < n_steps:
        parts.append("neighbours share a tile; its shade is their mean")
    if len(frames) > 1 and (stride := frames[1].batch - frames[0].batch) > 1:
        parts.append(f"one batch in {stride:,} is shown")
    if n_curves > MAX_PANELS:
        parts.append(f"the first {MAX_PANELS} of {n_curves} samplers")
    return " · ".join(parts)
