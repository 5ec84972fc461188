"""Statistics of a data set: time, events, classes, overlaps and transitions.

All are computed exactly from events and lengths of recordings, without frames or audio.

The events of a recording in order of onset (of equal onsets the earlier offset first, then by
class) are a *sequence*, whether they overlap or not. It ends with the recording, or before a
silence longer than an optional limit; its start and end are not symbols, since recordings are
cut arbitrarily; :mod:`sed_cli.data.syntax` measures the transitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.event_table import NOTHING_S, EventTable, merged
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.syntax import (
    SyntaxStatistics,
    chance_bits,
    corrected_log,
    count_pairs,
    entropies_bits,
    entropy_nats,
    plain_log,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_BINS_PER_DECADE = 10
_DIGITS = 9  # of seconds: finer digits are rounding errors


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Distribution of a quantity in seconds: its extremes, three quantiles and the mean."""

    least: float
    p05: float
    median: float
    p95: float
    most: float
    mean: float

    @classmethod
    def of(cls, values: Floats) -> Spread | None:
        """Return the distribution of ``values``; None if there are none."""
        if not len(values):
            return None
        least, p05, median, p95, most = np.quantile(values, (0.0, 0.05, 0.5, 0.95, 1.0)).tolist()
        mean = float(values.mean())
        return cls(least=least, p05=p05, median=median, p95=p95, most=most, mean=mean)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of a quantity in seconds between logarithmically spaced edges.

    Args:
        edges_s: (K + 1,); the same for all splits of a data set.
        counts: (K,).
    """

    edges_s: Floats
    counts: Ints


@dataclass(frozen=True, kw_only=True)
class ClassStatistics:
    """One class in one split.

    Args:
        label: of the class.
        n_events: annotated events.
        seconds: of activity; the overlap of two of its events counts once.
        n_files: recordings that contain it.
        duration_s: of its events; None without any.
        gap_s: silence from one of its events to its next in the same recording; None without any.
    """

    label: str
    n_events: int
    seconds: float
    n_files: int
    duration_s: Spread | None
    gap_s: Spread | None


@dataclass(frozen=True, kw_only=True)
class SplitStatistics:
    """One split, or all of them together.

    Args:
        n_files: recordings.
        n_empty_files: those without events.
        seconds: of audio.
        file_s: distribution of the recordings' lengths.
        n_events: annotated events.
        polyphony: (P + 1,) share of the time in which n = 0 to P classes are active.
        classes: in the order of the data set.
        durations: of events.
        gaps: silences between events, whatever their classes.
        duration_s: distribution of the same.
        gap_s: distribution of the same.
        syntax: of its sequences.
    """

    n_files: int
    n_empty_files: int
    seconds: float
    file_s: Spread | None
    n_events: int
    polyphony: Floats
    classes: tuple[ClassStatistics, ...]
    durations: Histogram
    gaps: Histogram
    duration_s: Spread | None
    gap_s: Spread | None
    syntax: SyntaxStatistics

    @property
    def n_classes(self) -> int:
        """Classes that have events here."""
        return sum(one.n_events > 0 for one in self.classes)

    @property
    def missing(self) -> list[str]:
        """Classes that have none."""
        return [one.label for one in self.classes if not one.n_events]

    @property
    def active_share(self) -> float:
        """Share of the time in which any class is active."""
        return float(self.polyphony[1:].sum())

    @property
    def mean_polyphony(self) -> float:
        """Mean number of simultaneously active classes."""
        return float(self.polyphony @ np.arange(len(self.polyphony)))

    @property
    def evenness(self) -> float | None:
        """Normalised entropy of the classes' events: 1 if equally frequent, 0 if only one occurs.

        None without events, or with fewer than two classes.
        """
        counts = np.array([one.n_events for one in self.classes])
        if len(counts) < 2 or not counts.any():
            return None
        return entropy_nats(counts, plain_log) / math.log(len(counts))


@dataclass(frozen=True, kw_only=True)
class SetStatistics:
    """A data set: each of its splits, and all together."""

    classes: tuple[str, ...]
    splits: dict[str, SplitStatistics]
    overall: SplitStatistics
    sequence_gap_s: float | None

    def as_json(self) -> dict[str, Any]:
        """Return all numbers as plain values, times to the microsecond."""
        return {
            "classes": list(self.classes),
            "sequence_gap_s": self.sequence_gap_s,
            "splits": {name: _plain(split) for name, split in self.splits.items()},
            "overall": _plain(self.overall),
        }


@dataclass(frozen=True, kw_only=True)
class RecordingStatistics:
    """One recording: events, classes that occur in it, and seconds with any activity."""

    n_events: int
    n_classes: int
    active_s: float


def describe(manifest: Manifest, *, sequence_gap_s: float | None = None) -> SetStatistics:
    """Describe a data set.

    Args:
        manifest: its recordings with their events.
        sequence_gap_s: longest silence within a sequence, in seconds; ``None``: a sequence ends
            with its recording.
    """
    labels = manifest.classes
    splits = {name: EventTable.of(entries, labels) for name, entries in manifest.splits.items()}
    every = EventTable.of([one for entries in manifest.splits.values() for one in entries], labels)
    duration_edges, gap_edges = _edges(every.durations_s), _edges(every.gaps_s)

    def of(table: EventTable) -> SplitStatistics:
        return SplitStatistics(
            n_files=len(table.lengths_s),
            n_empty_files=len(table.lengths_s) - len(np.unique(table.file)),
            seconds=float(table.lengths_s.sum()),
            file_s=Spread.of(table.lengths_s),
            n_events=len(table.file),
            polyphony=_polyphony(table),
            classes=tuple(_of_class(table, index, label) for index, label in enumerate(labels)),
            durations=_histogram(table.durations_s, duration_edges),
            gaps=_histogram(table.gaps_s, gap_edges),
            duration_s=Spread.of(table.durations_s),
            gap_s=Spread.of(table.gaps_s),
            syntax=_syntax(table, sequence_gap_s),
        )

    return SetStatistics(
        classes=tuple(labels),
        splits={name: of(table) for name, table in splits.items()},
        overall=of(every),
        sequence_gap_s=sequence_gap_s,
    )


def describe_recordings(
    entries: Sequence[Clip], classes: Sequence[str]
) -> list[RecordingStatistics]:
    """Describe each recording of a split by itself."""
    table = EventTable.of(entries, classes)
    n_files = len(entries)
    n_events = np.bincount(table.file, minlength=n_files)
    sounding = np.unique(np.stack([table.file, table.label]), axis=1)[0]
    n_classes = np.bincount(sounding, minlength=n_files)
    begins, ends = merged(table.begins, table.ends)
    files = np.searchsorted(table.starts, begins, side="right") - 1
    active_s = np.bincount(files, weights=ends - begins, minlength=n_files)
    return [
        RecordingStatistics(n_events=int(n), n_classes=int(c), active_s=float(s))
        for n, c, s in zip(n_events, n_classes, active_s, strict=True)
    ]


def label_sequences(
    entries: Sequence[Clip], classes: Sequence[str], *, sequence_gap_s: float | None = None
) -> list[Ints]:
    """Return the sequences of a split, as numbers of their classes: (n,) each, n >= 1.

    Args:
        entries: recordings with their events.
        classes: labels of all of the events.
        sequence_gap_s: as in :func:`describe`.
    """
    table = EventTable.of(entries, classes)
    if not len(table.label):
        return []
    return np.split(table.label, np.flatnonzero(~table.joined(sequence_gap_s)) + 1)


# ------------------------------------------------------------------------------ the table


def _of_class(table: EventTable, index: int, label: str) -> ClassStatistics:
    own = table.of_class(index)
    begins, ends = merged(own.begins, own.ends)
    return ClassStatistics(
        label=label,
        n_events=len(own.file),
        seconds=float((ends - begins).sum()),
        n_files=len(np.unique(own.file)),
        duration_s=Spread.of(own.durations_s),
        gap_s=Spread.of(own.gaps_s),
    )


def _polyphony(table: EventTable) -> Floats:
    """Share of the time in which 0, 1, 2, ... classes are active; (1,) if there is no time."""
    total_s = float(table.lengths_s.sum())
    if not total_s:
        return np.ones(1)
    stretches = [
        merged(own.begins, own.ends) for own in map(table.of_class, np.unique(table.label))
    ]
    begins = np.concatenate([np.zeros(0), *(one[0] for one in stretches)])
    times = np.concatenate([begins, *(one[1] for one in stretches)])
    steps = np.repeat((1, -1), len(begins))
    order = np.argsort(times, kind="stable")  # starts first: the count never falls below 0
    n_active = np.cumsum(steps[order])[:-1]
    lengths_s = np.diff(times[order])
    seconds = np.bincount(n_active, weights=lengths_s, minlength=1).astype(np.float64)
    seconds[seconds < NOTHING_S] = 0.0
    seconds[0] = max(0.0, total_s - seconds[1:].sum())
    shares: Floats = np.trim_zeros(seconds, "b") / total_s
    return shares


def _edges(values: Floats) -> Floats:
    """Edges on a grid of equal ratios that covers all values; (1,) if there are none."""
    if not len(values):
        return np.ones(1)
    low = math.floor(math.log10(values.min()) * _BINS_PER_DECADE)
    high = math.ceil(math.log10(values.max()) * _BINS_PER_DECADE)
    edges: Floats = 10.0 ** (np.arange(low, max(high, low + 1) + 1) / _BINS_PER_DECADE)
    return np.round(edges, _DIGITS)


def _histogram(values: Floats, edges_s: Floats) -> Histogram:
    if len(edges_s) < 2:
        return Histogram(edges_s=edges_s[:0], counts=np.zeros(0, np.int64))
    # A difference of times may be off by one bit, and fall on either side of an edge.
    inside = np.clip(np.round(values, _DIGITS), edges_s[0], edges_s[-1])
    return Histogram(edges_s=edges_s, counts=np.histogram(inside, edges_s)[0].astype(np.int64))


# -------------------------------------------------------------------------------- syntax


def _syntax(table: EventTable, sequence_gap_s: float | None) -> SyntaxStatistics:
    silences_s, joined = table.silences_s, table.joined(sequence_gap_s)
    current, following = table.label[:-1][joined], table.label[1:][joined]
    counts = count_pairs(current, following, table.n_classes)
    next_bits, conditional_bits = entropies_bits(current, following, table.n_classes, corrected_log)
    next_plugin_bits, conditional_plugin_bits = entropies_bits(
        current, following, table.n_classes, plain_log
    )
    return SyntaxStatistics(
        counts=counts,
        n_sequences=len(table.file) - int(joined.sum()),
        n_overlapping=int((silences_s[joined] < -NOTHING_S).sum()),
        n_simultaneous=int((np.diff(table.onset_s)[joined] < NOTHING_S).sum()),
        next_bits=next_bits,
        conditional_bits=conditional_bits,
        next_plugin_bits=next_plugin_bits,
        conditional_plugin_bits=conditional_plugin_bits,
        chance_bits=chance_bits(current, following, table.n_classes),
    )


# --------------------------------------------------------------------------- plain values


def _plain(split: SplitStatistics) -> dict[str, Any]:
    syntax = split.syntax
    return {
        "n_files": split.n_files,
        "n_empty_files": split.n_empty_files,
        "hours": round(split.seconds / 3600, 6),
        "file_s": _rounded(split.file_s),
        **_rounded_of(split, "n_events", "n_classes", "active_share", "mean_polyphony"),
        **_rounded_of(split, "polyphony", "evenness"),
        "per_class": {
            one.label: _rounded_of(one, "n_events", "seconds", "n_files", "duration_s", "gap_s")
            for one in split.classes
        },
        **_rounded_of(split, "duration_s", "gap_s"),
        "duration_histogram": _plain_histogram(split.durations),
        "gap_histogram": _plain_histogram(split.gaps),
        "syntax": {
            **_rounded_of(
                syntax, "n_sequences", "n_transitions", "n_overlapping", "n_simultaneous"
            ),
            "uniform_bits": round(math.log2(max(1, len(split.classes))), 6),
            **_rounded_of(syntax, "next_bits", "conditional_bits", "gain_bits", "chance_bits"),
            **_rounded_of(syntax, "next_plugin_bits", "conditional_plugin_bits"),
            "transitions": syntax.counts.tolist(),
        },
    }


def _rounded_of(found: object, *names: str) -> dict[str, Any]:
    return {name: _rounded(getattr(found, name)) for name in names}


def _rounded(value: Any) -> Any:
    """Plain numbers to the microsecond, or the bit to six digits."""
    if isinstance(value, Spread):
        return {name: round(number, 6) for name, number in asdict(value).items()}
    if isinstance(value, np.ndarray):
        return np.round(value, 6).tolist()
    return value if value is None else round(value, 6)


def _plain_histogram(histogram: Histogram) -> dict[str, list[float]]:
    return {
        "edges_s": [float(f"{edge:.6g}") for edge in histogram.edges_s],
        "counts": histogram.counts.tolist(),
    }
