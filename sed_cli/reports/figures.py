"""Figures of a run: its learning curves, and its events compared with the reference."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator
from numpy.typing import NDArray

from sed_cli.errors import UserError
from sed_cli.reports import style
from sed_cli.system.structured import read_history_text

if TYPE_CHECKING:
    import pandas as pd

EventRow = tuple[float, float, str]
"""Onset in seconds, offset in seconds, label."""

MAX_WINDOW_S = 30.0
"""Maximum duration in a piano roll; of longer recordings the busiest part is shown."""

MAX_LANES = 24
"""Maximum number of classes in a piano roll; of more, only those active in the window are shown."""

_HISTORY_COLUMNS = (
    "epoch",
    "p_teacher",
    "train_loss",
    "validation_loss",
    "validation_f1",
    "validation_er",
)


def learning_curves(
    history: pd.DataFrame | Path | str, path: Path, *, best_epoch: int | None = None
) -> None:
    """Draw loss, validation scores and p_teacher over the epochs, as PNG.

    p_teacher is left out where it is 0 throughout: free running, or a model without feedback.

    Args:
        history: one row per epoch, or the path of ``history.csv``, with the columns ``epoch``,
            ``train_loss``, ``validation_loss``, ``validation_f1``, ``validation_er`` (fractions)
            and ``p_teacher``; cells may be empty, other columns are ignored.
        path: of the PNG.
        best_epoch: the epoch to mark; by default that of the highest ``validation_f1``, or of the
            lowest ``validation_loss`` if there are no scores.

    Raises:
        UserError: if a column is missing or there is no row.
    """
    columns = _history_columns(history)
    best = _best_epoch(columns) if best_epoch is None else best_epoch
    with style.applied():
        is_taught = bool(np.nan_to_num(columns["p_teacher"]).any())
        figure = style.new_figure(7.5, 7.2 if is_taught else 5.6)
        ratios = (3, 3, 2) if is_taught else (3, 3)
        panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
        losses, scores, *probability = panels
        _draw_series(losses, columns, {"train_loss": "training", "validation_loss": "validation"})
        losses.set_ylabel("loss")
        _draw_series(scores, columns, {"validation_f1": "F1", "validation_er": "error rate"})
        scores.set_ylabel("validation, frame-wise")
        scores.set_ylim(0.0, None if scores.lines else 1.0)
        for panel in probability:
            _draw_series(panel, columns, {"p_teacher": "p_teacher"})
            panel.set_ylabel("p_teacher")
            panel.set_ylim(-0.03, 1.03)
        panels[-1].set_xlabel("epoch")
        epochs = columns["epoch"]
        pad = 0.5 if len(epochs) == 1 else 0.02 * float(np.ptp(epochs))
        panels[-1].set_xlim(float(epochs.min()) - pad, float(epochs.max()) + pad)
        style.count_ticks(panels[-1], n_ticks=12)
        _mark_best(losses, tuple(panels), columns, best)
        figure.align_ylabels()
        figure.set_layout_engine("constrained")
        style.save_png(figure, path)


def _history_columns(history: pd.DataFrame | Path | str) -> dict[str, NDArray[np.float64]]:
    columns: Any = read_history(Path(history)) if isinstance(history, Path | str) else history
    missing = [name for name in _HISTORY_COLUMNS if name not in columns]
    if missing:
        raise UserError(
            f"the history has no column {', '.join(missing)}: "
            "expected the columns that training writes to history.csv"
        )
    if not len(columns["epoch"]):
        raise UserError("the history has no rows: learning curves need at least one epoch")
    return {name: np.asarray(columns[name], dtype=np.float64) for name in _HISTORY_COLUMNS}


def read_history(path: Path | str) -> dict[str, NDArray[np.float64]]:
    """Read the columns of ``history.csv``; NaN for empty cells."""
    try:
        text = read_history_text(Path(path))
        header, *rows = csv.reader(io.StringIO(text, newline=""))
    except csv.Error as error:
        raise UserError(f"{path}: not a table of epochs ({error})") from error
    cells = [[float(cell or "nan") for cell in row] for row in rows]
    table = np.array(cells, dtype=np.float64).reshape(len(rows), len(header))
    return dict(zip(header, table.T, strict=True))


def _best_epoch(columns: dict[str, NDArray[np.float64]]) -> int | None:
    for name, sign in (("validation_f1", 1.0), ("validation_loss", -1.0)):
        if np.isfinite(columns[name]).any():
            return int(columns["epoch"][np.nanargmax(sign * columns[name])])
    return None


def _draw_series(
    axes: Axes, columns: dict[str, NDArray[np.float64]], labels: dict[str, str]
) -> None:
    """Draw columns over the epochs, bridging epochs without a number."""
    for index, (name, label) in enumerate(labels.items()):
        known = np.isfinite(columns[name])
        if not known.any():
            continue
        axes.plot(
            columns["epoch"][known],
            columns[name][known],
            color=style.colour_of(index),
            linestyle=style.dash_of(index),
            marker="os"[index],
            # Dots mark the values; in a long run they would hide the line.
            markersize=4.0 if known.sum() <= 40 else 0.0,
            label=label,
        )
    if len(labels) > 1 and axes.lines:
        axes.legend(loc="best")


def _mark_best(
    titled: Axes,
    panels: Iterable[Axes],
    columns: dict[str, NDArray[np.float64]],
    best: int | None,
) -> None:
    if best is None:
        return
    for axes in panels:
        axes.axvline(best, color=style.GREEN, linewidth=1.2, linestyle=(0, (6, 3)), zorder=1)
    row = columns["epoch"] == best
    scores = {
        "loss": columns["validation_loss"][row],
        "F1": columns["validation_f1"][row],
        "ER": columns["validation_er"][row],
    }
    known = [f"{name} {v[0]:.3f}" for name, v in scores.items() if len(v) and np.isfinite(v[0])]
    titled.set_title(", ".join([f"best epoch {best}", *known]), color=style.GREEN)


# --- piano rolls -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RollItem:
    """One recording to draw.

    Args:
        name: file name, the title.
        log_mel: (T, M); non-finite values are drawn as minimum.
        hop_s: seconds from frame to frame, above 0.
        reference: annotated events.
        predicted: detected events; None without a detector.
        classes: labels in the order of the lanes; other labels get their own lanes
            below.
        centres_hz: (M,) centre frequencies of the mel bands; None: features are no bands.
    """

    name: str
    log_mel: NDArray[np.floating]
    hop_s: float
    reference: Sequence[EventRow]
    predicted: Sequence[EventRow] | None
    classes: Sequence[str]
    centres_hz: NDArray[np.float64] | None = None

    @property
    def duration_s(self) -> float:
        """Duration of the frames in seconds."""
        return float(len(self.log_mel) * self.hop_s)


_ROLL_WIDTH, _MEL_HEIGHT, _LANE_HEIGHT = 9.0, 1.5, 0.21  # inches
_TITLE_ROOM, _GAP_ROOM, _AXIS_ROOM = 0.36, 0.08, 0.5
_RIGHT_ROOM, _KEY_ROOM = 0.2, 0.3
_LABEL_LENGTH, _CHARACTER = 24, 0.074


def piano_rolls(path: Path, items: Sequence[RollItem]) -> None:
    """Draw recordings one above the other: log-mel, and below it one lane per class.

    In a lane the reference is the filled upper bar and the prediction the hatched lower one, to be
    distinguishable without colour; without predictions the bar fills the lane. Of a recording
    longer than :data:`MAX_WINDOW_S` the part with most events is shown, given in the title.

    Args:
        path: of the PNG.
        items: at least one; a handful stays readable.

    Raises:
        UserError: without items, or if an item has no frames.
    """
    if not items:
        raise UserError("no recordings: a piano roll needs at least one")
    for item in items:
        if item.log_mel.ndim != 2 or not item.log_mel.size:
            raise UserError(
                f"{item.name}: log-mel of shape {item.log_mel.shape}, expected (T, M) with frames"
            )
    windows = [_window(item) for item in items]
    lanes = [_lanes(item, window) for item, window in zip(items, windows, strict=True)]
    heights = [
        _TITLE_ROOM + _MEL_HEIGHT + _GAP_ROOM + _LANE_HEIGHT * len(labels) + _AXIS_ROOM
        for labels in lanes
    ]
    with style.applied():
        has_key = any(item.predicted is not None for item in items)
        top = _KEY_ROOM if has_key else 0.0
        page = _Page(height=top + sum(heights), left=_label_room(lanes))
        for item, window, labels, height in zip(items, windows, lanes, heights, strict=True):
            _draw_item(page, top, item, window, labels)
            top += height
        if has_key:
            page.add_key()
        style.save_png(page.figure, path)


class _Page:
    """A figure with axes placed in inches from its top, so that lanes keep their height."""

    def __init__(self, *, height: float, left: float) -> None:
        self.height, self.left = height, left
        self.figure = style.new_figure(_ROLL_WIDTH, height)

    def add_axes(self, top: float, height: float) -> Axes:
        width = _ROLL_WIDTH - self.left - _RIGHT_ROOM
        bottom = (self.height - top - height) / self.height
        box = (self.left / _ROLL_WIDTH, bottom, width / _ROLL_WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def add_key(self) -> None:
        bars = {"reference": _REFERENCE, "predicted": _PREDICTED}
        self.figure.legend(
            handles=[Patch(label=name, **look) for name, look in bars.items()],
            loc="upper right",
            bbox_to_anchor=(1 - _RIGHT_ROOM / _ROLL_WIDTH, 1 - 0.06 / self.height),
            borderaxespad=0.0,
            ncols=2,
            frameon=False,
            handlelength=3.0,
        )


_REFERENCE: dict[str, Any] = {"facecolor": style.BLUE, "edgecolor": style.PAPER, "linewidth": 0.6}
_PREDICTED: dict[str, Any] = {
    "facecolor": "#FBE3D0",
    "edgecolor": style.VERMILION,
    "linewidth": 0.8,
    "hatch": "//////",
}


def _window(item: RollItem) -> tuple[float, float]:
    """Seconds (start, end) to show: all, or the first part with most events."""
    if item.duration_s <= MAX_WINDOW_S:
        return 0.0, item.duration_s
    spans = np.array([e[:2] for e in (*item.reference, *(item.predicted or ()))]).reshape(-1, 2)
    latest = item.duration_s - MAX_WINDOW_S
    starts = np.append(np.arange(0.0, latest, 1.0), latest)[:, None]  # (n_starts, 1)
    inside = np.minimum(spans[:, 1], starts + MAX_WINDOW_S) - np.maximum(spans[:, 0], starts)
    start = float(starts[np.clip(inside, 0.0, None).sum(axis=1).argmax(), 0])
    return start, start + MAX_WINDOW_S


def _lanes(item: RollItem, window: tuple[float, float]) -> list[str]:
    sounding = {
        label
        for onset, offset, label in (*item.reference, *(item.predicted or ()))
        if onset < window[1] and offset > window[0]
    }
    lanes = [*item.classes, *sorted(sounding - set(item.classes))]
    if len(lanes) > MAX_LANES:
        lanes = [label for label in lanes if label in sounding]
    return lanes or ["(no event)"]


def _label_room(lanes: Sequence[Sequence[str]]) -> float:
    """Inches left of the axes for the longest label, and at least for the mel axis."""
    longest = max(len(label) for labels in lanes for label in labels)
    return max(0.75, 0.2 + _CHARACTER * min(longest, _LABEL_LENGTH))


def _draw_item(
    page: _Page, top: float, item: RollItem, window: tuple[float, float], labels: Sequence[str]
) -> None:
    mel = page.add_axes(top + _TITLE_ROOM, _MEL_HEIGHT)
    roll_top = top + _TITLE_ROOM + _MEL_HEIGHT + _GAP_ROOM
    roll = page.add_axes(roll_top, _LANE_HEIGHT * len(labels))
    title = style.shortened(item.name, 80)
    if window[1] - window[0] < item.duration_s:
        title += f"  ({window[0]:.0f} to {window[1]:.0f} s of {item.duration_s:.0f} s)"
    mel.set_title(title)
    draw_log_mel(mel, item, window)
    _draw_lanes(roll, item, window, labels)
    for axes in (mel, roll):
        axes.set_xlim(*window)
    mel.tick_params(axis="x", labelbottom=False)
    roll.set_xlabel("time (s)")


def draw_log_mel(axes: Axes, item: RollItem, window: tuple[float, float]) -> None:
    """Draw the features of a recording between two times in seconds.

    Bands share their colours; other features are scaled individually.
    """
    first = math.floor(window[0] / item.hop_s)
    last = min(len(item.log_mel), math.ceil(window[1] / item.hop_s))
    picture = np.asarray(item.log_mel[first:last], dtype=np.float64).T  # (M, T)
    if item.centres_hz is None and picture.size:
        least = picture.min(axis=1, keepdims=True)
        picture = (picture - least) / np.maximum(np.ptp(picture, axis=1, keepdims=True), 1e-9)
    finite = picture[np.isfinite(picture)]
    # A click or digital silence must not use up the colour range.
    low, high = np.percentile(finite, (2.0, 99.7)) if finite.size else (0.0, 1.0)
    n_mels = len(picture)
    axes.imshow(
        np.nan_to_num(picture, nan=low, neginf=low, posinf=high),
        extent=(first * item.hop_s, last * item.hop_s, -0.5, n_mels - 0.5),
        origin="lower",
        aspect="auto",
        interpolation="nearest" if last - first < 600 else "antialiased",
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-9),
    )
    axes.grid(False)
    if item.centres_hz is None:
        axes.set_ylabel("feature")
        return
    ticks, names = frequency_ticks(item.centres_hz)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels(names)
    axes.set_ylabel("frequency (kHz)")


def frequency_ticks(centres_hz: NDArray[np.float64] | None) -> tuple[list[float], list[str]]:
    """Bands of round frequencies, at least a tenth of the axis apart."""
    ticks: list[float] = []
    names: list[str] = []
    if centres_hz is None:
        return ticks, names
    for hertz in 125 * 2 ** np.arange(12):  # up to 256 kHz, for bats
        band = float(np.interp(hertz, centres_hz, np.arange(len(centres_hz)), np.nan, np.nan))
        if math.isfinite(band) and (not ticks or band - ticks[-1] >= 0.1 * len(centres_hz)):
            ticks.append(band)
            names.append(f"{hertz / 1000:g}")
    return ticks, names


def _draw_lanes(
    axes: Axes, item: RollItem, window: tuple[float, float], labels: Sequence[str]
) -> None:
    lane_of = {label: lane for lane, label in enumerate(labels)}
    height = 0.39 if item.predicted is not None else 0.84
    rows = ((item.reference, _REFERENCE, -0.42), (item.predicted or (), _PREDICTED, 0.03))
    for lane in range(0, len(labels), 2):  # a tint on every second lane leads the eye
        axes.axhspan(lane - 0.5, lane + 0.5, color="#F3F3F3", linewidth=0, zorder=0)
    for events, look, offset_in_lane in rows:
        for label, lane in lane_of.items():
            spans = [(on, off - on) for on, off, name in events if name == label]
            if spans:
                axes.broken_barh(spans, (lane + offset_in_lane, height), zorder=2, **look)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels([style.shortened(label, _LABEL_LENGTH) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
