"""A figure of one recording of any length: log-mel, events and probabilities over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from sed_cli.reports import style
from sed_cli.reports.figures import MAX_LANES, EventRow, RollItem, draw_log_mel
from sed_cli.system.text import plain

_COLUMNS = 1500  # minimum columns of a figure, if there are as many frames
_WIDTH, _MEL_HEIGHT, _LANE_HEIGHT = 11.0, 1.6, 0.28  # inches
_TOP, _GAP, _BOTTOM, _RIGHT = 0.42, 0.08, 0.5, 0.35
_LABEL_LENGTH, _CHARACTER = 24, 0.074
# minimum width in the figure, so that short events in long recordings are visible
_LEAST_WIDTH = 1 / 1200
_CLOCK_FROM_S = 120  # longer recordings have times in hours, minutes and seconds
_STEPS_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_EVENT: dict[str, Any] = {"facecolor": style.VERMILION, "edgecolor": style.VERMILION}
_PALE_TO_BLUE = LinearSegmentedColormap.from_list("pale to blue", ["#F3F3F3", style.BLUE])


class Overview:
    """Frames of a recording of any length, pooled to between 1500 and 3000 columns.

    Args:
        pool: reduces the frames of a column, such as ``np.mean`` or ``np.max``.
        width: numbers per frame.

    Attributes:
        frames_a_column: number of frames per column.
    """

    def __init__(self, pool: Callable[..., Any], width: int) -> None:
        self.frames_a_column = 1
        self._pool = pool
        self._columns: NDArray[np.float32] = np.empty((0, width), np.float32)
        self._rest = self._columns  # frames of an incomplete column

    def push(self, frames: NDArray[np.float32]) -> None:
        """Take the next frames (t, width)."""
        self._rest = np.concatenate([self._rest, frames])
        self._fill()
        while len(self._columns) >= 2 * _COLUMNS:
            n_pairs = len(self._columns) // 2
            odd = self._columns[2 * n_pairs :].repeat(self.frames_a_column, axis=0)
            self._columns = self._pooled(self._columns[: 2 * n_pairs], 2)
            self._rest = np.concatenate([odd, self._rest])
            self.frames_a_column *= 2
            self._fill()

    def columns(self) -> NDArray[np.float32]:
        """Return the columns so far, (n, width); the last may have fewer frames."""
        if not len(self._rest):
            return self._columns
        return np.concatenate([self._columns, self._pooled(self._rest, len(self._rest))])

    def _fill(self) -> None:
        n_full = len(self._rest) // self.frames_a_column * self.frames_a_column
        full = self._pooled(self._rest[:n_full], self.frames_a_column)
        self._columns = np.concatenate([self._columns, full])
        self._rest = self._rest[n_full:]

    def _pooled(self, frames: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
        shaped = frames.reshape(len(frames) // factor, factor, frames.shape[1])
        pooled: NDArray[np.float32] = self._pool(shaped, axis=1).astype(np.float32)
        return pooled


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Data of a recording to draw.

    Args:
        name: the title.
        duration_s: of the recording.
        hop_s: seconds from frame to frame.
        log_mel: its features.
        probabilities: of its frames.
        events: detected.
        classes: labels of the probabilities.
        centres_hz: (M,) centre frequencies of the mel bands; ``None``: features are no bands.
    """

    name: str
    duration_s: float
    hop_s: float
    log_mel: Overview
    probabilities: Overview
    events: Sequence[EventRow]
    classes: Sequence[str]
    centres_hz: NDArray[np.float64] | None


def draw_timeline(path: Path, timeline: Timeline) -> None:
    """Draw a recording from start to end as a PNG: log-mel, and below it one lane per class.

    In a lane the upper bars are the events, and the strip below them is the probability (the
    maximum if a column has several frames). Of more than 24 classes only detected ones are shown. A
    recording without frames gets no figure.
    """
    if not len(timeline.log_mel.columns()):
        return  # nothing to show for less than a sample
    found = {label for _, _, label in timeline.events}
    labels = list(timeline.classes)
    if len(labels) > MAX_LANES:
        labels = [label for label in labels if label in found]
    height = _TOP + _MEL_HEIGHT + _GAP + _LANE_HEIGHT * len(labels) + _BOTTOM
    left = max(0.75, 0.2 + _CHARACTER * min(max(map(len, labels), default=0), _LABEL_LENGTH))

    def box(top: float, size: float) -> tuple[float, float, float, float]:
        width = (_WIDTH - left - _RIGHT) / _WIDTH
        return left / _WIDTH, (height - top - size) / height, width, size / height

    with style.applied():
        figure = style.new_figure(_WIDTH, height)
        mel = figure.add_axes(box(_TOP, _MEL_HEIGHT))
        # a file name may not be valid text
        mel.set_title(style.shortened(plain(timeline.name), 80))
        _draw_log_mel(mel, timeline)
        bottom = mel
        if labels:
            lanes_top = _TOP + _MEL_HEIGHT + _GAP
            bottom = figure.add_axes(box(lanes_top, _LANE_HEIGHT * len(labels)))
            _draw_lanes(bottom, timeline, labels)
            _add_key(figure, mel, height)
            mel.tick_params(axis="x", labelbottom=False)
        for axes in {mel, bottom}:
            axes.set_xlim(0.0, timeline.duration_s)
            _label_time(axes, timeline.duration_s)
        bottom.set_xlabel("time (s)" if timeline.duration_s < _CLOCK_FROM_S else "time (h:mm:ss)")
        style.save_png(figure, path)


def _draw_log_mel(axes: Axes, timeline: Timeline) -> None:
    hop_s = timeline.hop_s * timeline.log_mel.frames_a_column
    item = RollItem(
        name=timeline.name,
        log_mel=timeline.log_mel.columns(),
        hop_s=hop_s,
        reference=(),
        predicted=(),
        classes=(),
        centres_hz=timeline.centres_hz,
    )
    draw_log_mel(axes, item, (0.0, item.duration_s))


def _draw_lanes(axes: Axes, timeline: Timeline, labels: Sequence[str]) -> None:
    columns = timeline.probabilities.columns()
    end_s = len(columns) * timeline.hop_s * timeline.probabilities.frames_a_column
    least_s = timeline.duration_s * _LEAST_WIDTH
    for lane, label in enumerate(labels):
        of_class = columns[None, :, list(timeline.classes).index(label)]
        extent = (0.0, end_s, lane + 0.42, lane + 0.14)
        axes.imshow(
            of_class,
            extent=extent,
            aspect="auto",
            interpolation="nearest",
            cmap=_PALE_TO_BLUE,
            vmin=0.0,
            vmax=1.0,
        )
        spans = [(on, max(off - on, least_s)) for on, off, name in timeline.events if name == label]
        axes.broken_barh(spans, (lane - 0.36, 0.44), linewidth=0.3, **_EVENT)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels([style.shortened(label, _LABEL_LENGTH) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def _add_key(figure: Any, mel: Axes, height: float) -> None:
    """Add a legend of bars and strips above the figure."""
    figure.legend(
        handles=[Patch(label="event", **_EVENT)],
        loc="upper right",
        bbox_to_anchor=(1 - (_RIGHT + 2.05) / _WIDTH, 1 - 0.09 / height),
        borderaxespad=0.0,
        frameon=False,
        handlelength=2.0,
    )
    width = 0.9 / _WIDTH
    bar = figure.add_axes((1 - (_RIGHT + 1.0) / _WIDTH, 1 - 0.24 / height, width, 0.1 / height))
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), _PALE_TO_BLUE), cax=bar, orientation="horizontal"
    )
    bar.set_xticks([])
    bar.text(-0.06, 0.4, "probability 0", ha="right", va="center", fontsize=8)
    bar.text(1.03, 0.4, "1", ha="left", va="center", fontsize=8)


def _label_time(axes: Axes, duration_s: float) -> None:
    if duration_s < _CLOCK_FROM_S:
        return
    step = next((s for s in _STEPS_S if duration_s <= 10 * s), 86_400 * (1 + duration_s // 864_000))
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
