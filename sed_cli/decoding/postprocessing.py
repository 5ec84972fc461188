"""From probabilities to active frames: thresholds, median filters, minimum duration and gap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from sed_cli.data.frames import runs
from sed_cli.decoding.decoder import by_label

PLAIN_THRESHOLD = 0.5

_LONGEST_FILTER = 10_001  # frames: minutes, while events last seconds
SLACK_S = 1e-9  # tolerance, since runs may equal the minimum duration up to rounding


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Post-processing steps for each class, in this order.

    Args:
        thresholds: a class is active while its probability is above its threshold, (C,).
        filter_frames: odd lengths of the median filters, in frames, (C,); 1: none.
        min_gap_s: shorter silences between two events of a class are filled.
        min_duration_s: shorter events are dropped, after gaps are filled.
        tuned_for: the metric for which thresholds and filters were tuned; ``None``: not tuned.
        tuning: choices and reasons, by label.
    """

    thresholds: tuple[float, ...]
    filter_frames: tuple[int, ...]
    min_gap_s: float = 0.0
    min_duration_s: float = 0.0
    tuned_for: str | None = None
    tuning: dict[str, dict[str, Any]] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.filter_frames):
            raise ValueError(
                f"{len(self.thresholds)} thresholds and {len(self.filter_frames)} filters: "
                f"expected one of each for every class"
            )
        for threshold in self.thresholds:
            if not 0 <= threshold <= 1:
                raise ValueError(f"threshold {threshold}: expected a probability")
        for length in self.filter_frames:
            if not 1 <= length <= _LONGEST_FILTER or length % 2 == 0:
                raise ValueError(
                    f"a median filter of {length} frames: expected an odd length, "
                    f"at most {_LONGEST_FILTER}"
                )
        for seconds in (self.min_gap_s, self.min_duration_s):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"a minimum duration or gap of {seconds} s: expected at least 0")

    @classmethod
    def plain(cls, n_classes: int, *, min_gap_s: float = 0.0, min_duration_s: float = 0.0) -> Self:
        """Threshold at 0.5 without filters."""
        return cls(
            thresholds=(PLAIN_THRESHOLD,) * n_classes,
            filter_frames=(1,) * n_classes,
            min_gap_s=min_gap_s,
            min_duration_s=min_duration_s,
        )

    def filtered(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Median-filter probabilities (T, C), each class by its own length."""
        columns = zip(probabilities.T, self.filter_frames, strict=True)
        return np.stack([smoothed(column, length) for column, length in columns], axis=1)

    def activities(
        self, probabilities: NDArray[np.floating], hop_s: float, duration_s: float | None = None
    ) -> NDArray[np.bool_]:
        """Find the active frames of each class.

        Args:
            probabilities: (T, C).
            hop_s: seconds from one frame to the next.
            duration_s: of the recording, whose last frames may extend beyond its end.

        Returns:
            Bool (T, C).
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.thresholds):
            raise ValueError(
                f"probabilities of shape {probabilities.shape}: "
                f"expected (T, {len(self.thresholds)})"
            )
        return mend_runs(
            self.filtered(probabilities) > np.array(self.thresholds),  # as doubles, as in tuning
            hop_s,
            duration_s,
            min_gap_s=self.min_gap_s,
            min_duration_s=self.min_duration_s,
        )

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Describe it by label, as in ``postprocessing.json`` and ``metrics.json``."""
        return {
            "thresholds": dict(zip(classes, self.thresholds, strict=True)),
            "filter_frames": dict(zip(classes, self.filter_frames, strict=True)),
            "min_gap_s": self.min_gap_s,
            "min_duration_s": self.min_duration_s,
            "tuned_for": self.tuned_for,
            **({} if self.tuning is None else {"tuning": self.tuning}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str]) -> Self:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        thresholds = by_label(values, "thresholds", classes)
        filter_frames = by_label(values, "filter_frames", classes)
        tuned_for = values["tuned_for"]
        return cls(
            thresholds=tuple(map(float, thresholds)),
            filter_frames=tuple(map(int, filter_frames)),
            min_gap_s=float(values["min_gap_s"]),
            min_duration_s=float(values["min_duration_s"]),
            tuned_for=None if tuned_for is None else str(tuned_for),
            tuning=values.get("tuning"),
        )


def smoothed(probabilities: NDArray[np.floating], filter_frames: int) -> NDArray[np.floating]:
    """Median-filter the probabilities of one class (T,); beyond the ends they are mirrored.

    A median of an odd length commutes with a threshold: this and a threshold give the same as the
    threshold and a median of activities, for any number of thresholds at the cost of one filter.
    """
    if filter_frames == 1 or not len(probabilities):
        return probabilities
    filtered: NDArray[np.floating] = median_filter(probabilities, filter_frames, mode="reflect")
    return filtered


def mend_runs(
    active: NDArray[np.bool_],
    hop_s: float,
    duration_s: float | None = None,
    *,
    min_gap_s: float,
    min_duration_s: float,
) -> NDArray[np.bool_]:
    """Fill short gaps within each column of ``active`` (T, K), then drop short runs.

    Silence before the first run and after the last is not a gap. A run ends at the latest at the
    end of the recording, like its event. ``active`` itself is never changed.
    """
    if min_gap_s <= 0 and min_duration_s <= 0:
        return active
    mended = active.copy()
    end_s = math.inf if duration_s is None else duration_s
    for column in mended.T:
        first, last = runs(column)
        short = (first[1:] - last[:-1]) * hop_s < min_gap_s - SLACK_S
        for start, stop in zip(last[:-1][short], first[1:][short], strict=True):
            column[start:stop] = True
        first, last = runs(column)
        short = np.minimum(last * hop_s, end_s) - first * hop_s < min_duration_s - SLACK_S
        for start, stop in zip(first[short], last[short], strict=True):
            column[start:stop] = False
    return mended


def active_spans(active: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield the runs in each column of (T, C): first frame, frame after the last, column."""
    for column, of_class in enumerate(active.T):
        for first, after in zip(*(ends.tolist() for ends in runs(of_class)), strict=True):
            yield first, after, column
