"""A grid of tuning points, counted on validation, and the best point with a certain gain.

A grid has rows, settings of a decoder (filters, minimum durations), and columns, the
thresholds. The point in the first row at 0.5 is the default. Tuning uses the reported metrics:
the counts are those of :mod:`sed_cli.metrics.detection` for a single class.

A grid of some hundred points overfits to the noise of a small validation split. So the default
is kept unless another point is better beyond that noise, for events as well as for frames, and
for all classes together as well as for the class itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sed_cli.data.frames import runs
from sed_cli.data.sets import Recording
from sed_cli.decoding.decoder import Scored
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.metrics.counting import Active, Excerpt
from sed_cli.metrics.metric import TunableMetric, tunable

THRESHOLDS: NDArray[np.float64] = np.linspace(0.02, 0.98, 49).round(2)  # 0.5 is one of them

_FEW_RECORDINGS = 10  # with fewer, the test is stricter, since parts of a recording are similar
_WORTH, _WORTH_OF_FEW = 0.5, 2.0  # minimum gain, in events of a class in validation
# Share of bootstrap draws in which a point has to be better than the default; parts of few
# recordings are similar, so that their draws agree too easily.
_SURE, _SURE_OF_FEW = 0.7, 0.95
_DRAWS = 500
_N_STRETCHES = 20  # parts of validation, resampled to estimate its noise
_NEIGHBOURS = 5  # thresholds averaged before the best is chosen: a single one's F1 is noisy


@dataclass(frozen=True)
class Point:
    """The chosen point; in the first row at 0.5 without a gain: the default."""

    row: int
    threshold: float
    reason: str
    n_events: int
    gain: dict[str, float] | None = None  # gain in F1 over the default, by metric


@dataclass
class Grid:
    """Counts of two metrics (2) in parts of validation (U), by class, row and threshold.

    Attributes:
        metrics: the objective of tuning, and the one that must not get worse.
        collar_s: seconds that an event may be off.
        allowed: allowed rows of each class (C, F); always includes the first.
        n_events: of each class in validation (C,).
        thresholds: of the columns (K,), the default's among them.
    """

    metrics: tuple[TunableMetric, TunableMetric]
    collar_s: float
    allowed: NDArray[np.bool_]
    n_events: NDArray[np.int64]
    thresholds: NDArray[np.float64]  # (K,)
    worth: float  # minimum gain in events
    sure: float  # minimum share of draws with a gain
    tp: NDArray[np.int64]  # (2, U, C, F, K)
    n_found: NDArray[np.int64]
    n_there: NDArray[np.int64]  # (2, U, C)

    @classmethod
    def empty(
        cls,
        allowed: NDArray[np.bool_],
        n_events: NDArray[np.int64],
        *,
        n_recordings: int,
        metric: str,
        collar_s: float,
        thresholds: NDArray[np.float64] = THRESHOLDS,
        beside: str | None = None,
    ) -> Grid:
        """Start without counts.

        Args:
            allowed: see the class.
            n_events: see the class.
            n_recordings: of validation.
            metric: frames and segments are tuned jointly with events (the mean of both F1), events
                alone as long as frames do not get worse.
            collar_s: seconds that an event may be off.
            thresholds: of the columns.
            beside: the metric that must not get worse; ``None``: the one that ``metric`` names.
        """
        own = tunable(metric)
        n_classes, n_rows = allowed.shape
        shape = (2, _N_STRETCHES, n_classes)
        return cls(
            metrics=(own, tunable(beside or own.BESIDE)),
            collar_s=collar_s,
            allowed=allowed,
            n_events=n_events,
            thresholds=thresholds,
            worth=_WORTH_OF_FEW if n_recordings < _FEW_RECORDINGS else _WORTH,
            sure=_SURE_OF_FEW if n_recordings < _FEW_RECORDINGS else _SURE,
            tp=np.zeros((*shape, n_rows, len(thresholds)), np.int64),
            n_found=np.zeros((*shape, n_rows, len(thresholds)), np.int64),
            n_there=np.zeros(shape, np.int64),
        )

    def add(
        self, of_class: StretchedExcerpt, index: int, row: int, active: Active, column_of: Any
    ) -> None:
        """Count the detections of a row for a class in a recording.

        Args:
            of_class: the class in the recording.
            index: of the class in the grid.
            row: of the grid.
            active: its active frames (T, J), without duplicates of several thresholds.
            column_of: column of ``active`` for each threshold (K,).
        """
        at = of_class.stretches
        for kind, metric in enumerate(self.metrics):
            tp, found, there = metric.hits(active, of_class.excerpt, self.collar_s)
            self.tp[kind, at, index, row] += tp[:, column_of]
            self.n_found[kind, at, index, row] += found[:, column_of]
            if row == 0:
                self.n_there[kind, at, index] += there

    @property
    def plain(self) -> int:
        """Column of the default."""
        return int(np.abs(self.thresholds - PLAIN_THRESHOLD).argmin())

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of the two F1 in the objective (2,)."""
        share = self.metrics[0].SHARE
        return np.array([share, 1 - share])

    def choose(self, index: int) -> Point:
        """Choose the point of a class: the best one, if its gain is certain."""
        n_events = int(self.n_events[index])
        if not n_events:
            return Point(0, PLAIN_THRESHOLD, "no events in validation", n_events)
        row, column = self.best(index)
        if (row, column) == (0, self.plain):
            reason = "no point is sufficiently better for this class and for all classes"
            return Point(0, PLAIN_THRESHOLD, reason, n_events)
        draws = np.random.default_rng(0).multinomial(
            _N_STRETCHES, np.full(_N_STRETCHES, 1 / _N_STRETCHES), size=_DRAWS
        )
        share = float((self.weights @ self._gains(index, row, column, draws) > 0).mean())
        if share < self.sure:
            reason = f"the gain is within the noise: it occurs in {share:.0%} of bootstrap draws"
            return Point(0, PLAIN_THRESHOLD, reason, n_events)
        gains = self._gains(index, row, column, np.ones((1, _N_STRETCHES), np.int64))[:, 0]
        reason = f"a gain in {share:.0%} of bootstrap draws"
        names = [metric.name for metric in self.metrics]
        gain = dict(zip(names, gains.tolist(), strict=True))
        return Point(row, float(self.thresholds[column]), reason, n_events, gain)

    def best(self, index: int) -> tuple[int, int]:
        """Row and threshold with the highest weighted F1, without a loss in either F1.

        That applies to the class and to all classes together: a class that is hard to recognise
        gains a little by being detected everywhere. For the same reason both need hits: if no event
        matches either way, a whole recording of correct frames is no gain. The default is replaced
        only for a gain worth more than ``worth`` events of the class: one more or less is chance.
        """
        tp, n_found = (counts[:, :, index].sum(axis=1) for counts in (self.tp, self.n_found))
        f1 = _f1(tp, n_found, self.n_there[:, :, index].sum(axis=1)[:, None, None])  # (2, F, K)
        total = _f1(
            self.tp[..., 0, self.plain].sum(axis=(1, 2)),
            self.n_found[..., 0, self.plain].sum(axis=(1, 2)),
            self.n_there.sum(axis=(1, 2)),
        )[:, None, None]
        more_tp, more_found = (each - each[:, :1, self.plain, None] for each in (tp, n_found))
        smooth = uniform_filter1d(f1, _NEIGHBOURS, axis=2, mode="nearest")
        is_fit = (
            self.allowed[index][:, None]
            & (f1 >= f1[:, :1, self.plain, None]).all(axis=0)
            & (smooth >= smooth[:, :1, self.plain, None]).all(axis=0)
            & (2 * more_tp >= total * more_found).all(axis=0)  # the total's F1 does not fall
            & (tp > 0).all(axis=0)
        )
        is_fit[0, self.plain] = True
        score = np.where(is_fit, np.tensordot(self.weights, smooth, axes=1), -1.0)
        score[0, self.plain] += self.worth / max(1, self.n_events[index])
        rows, columns = np.nonzero(score == score.max())
        nearest = np.lexsort((np.abs(self.thresholds[columns] - PLAIN_THRESHOLD), rows))[0]
        return int(rows[nearest]), int(columns[nearest])

    def _gains(
        self, index: int, row: int, column: int, draws: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Gain of a point in F1 over the default, with parts drawn so often (2, draws)."""
        there = self.n_there[:, :, index] @ draws.T
        of_point, of_plain = (
            _f1(
                self.tp[:, :, index, f, k] @ draws.T,
                self.n_found[:, :, index, f, k] @ draws.T,
                there,
            )
            for f, k in ((row, column), (0, self.plain))
        )
        return of_point - of_plain


def _f1(tp: NDArray[Any], n_found: NDArray[Any], n_there: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of counts; 0 if nothing is annotated and nothing detected."""
    f1: NDArray[np.float64] = 2 * tp / np.maximum(n_found + n_there, 1)
    return f1


# ----------------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class StretchedExcerpt:
    """One class in one recording, and its parts of the grid."""

    excerpt: Excerpt
    stretches: NDArray[np.intp]


def excerpts(
    scored: Scored, n_recordings: int, classes: Sequence[str], hop_s: float
) -> Iterator[tuple[Recording, NDArray[np.floating], list[StretchedExcerpt]]]:
    """Yield recordings of validation with their probabilities, and each class in them."""
    n_parts = -(-_N_STRETCHES // max(1, n_recordings))  # number of parts of a recording
    for number, (recording, probabilities) in enumerate(scored):
        stretches = (number * n_parts + np.arange(n_parts)) % _N_STRETCHES
        activities = recording.activities[:].astype(bool)
        of_classes = [
            Excerpt(
                truth=activities[:, index],
                events=_own_events(recording, label),
                hop_s=hop_s,
                end_s=recording.duration_s,
                edges_s=np.linspace(0.0, recording.duration_s, n_parts + 1),
            )
            for index, label in enumerate(classes)
        ]
        yield recording, probabilities, [StretchedExcerpt(one, stretches) for one in of_classes]


def _own_events(recording: Recording, label: str) -> NDArray[np.float64]:
    own = [event[:2] for event in recording.events if event.label == label]
    return np.array(own, dtype=np.float64).reshape(-1, 2)


def distinct(active: Active) -> tuple[Active, NDArray[np.intp]]:
    """Deduplicate columns of (T, K); and the column of each threshold.

    Active frames only shrink as the threshold rises, so equal counts mean equal frames.
    """
    is_new = np.diff(active.sum(axis=0), prepend=-1) != 0
    return active[:, is_new], np.cumsum(is_new) - 1


@dataclass(frozen=True)
class Lengths:
    """Durations of events of a class in validation, and silences between them, in frames."""

    events: NDArray[np.int64]
    silences: NDArray[np.int64]

    @classmethod
    def of_classes(cls, recordings: Sequence[Recording], n_classes: int) -> list[Lengths]:
        """Measure each class in recordings."""
        silences: list[list[int]] = [[] for _ in range(n_classes)]
        events: list[list[int]] = [[] for _ in range(n_classes)]
        for recording in recordings:
            activities = recording.activities[:].astype(bool)
            for index in range(n_classes):
                first, after = runs(activities[:, index])
                events[index] += (after - first).tolist()
                silences[index] += (first[1:] - after[:-1]).tolist()
        pairs = zip(events, silences, strict=True)
        return [cls(np.array(one, np.int64), np.array(other, np.int64)) for one, other in pairs]


def short(lengths: NDArray[np.int64], per_cent: float) -> float:
    """Percentile of lengths; infinite if there are none."""
    return float(np.percentile(lengths, per_cent)) if len(lengths) else np.inf
