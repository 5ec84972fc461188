"""What is in a set: time, events, classes, overlaps, and which class follows which.

All of it follows from the events and the lengths of the recordings, exactly: no frames, no audio.

The events of a recording in order of onset (of equal onsets the earlier offset first, then by
class) are a *sequence*, whether they overlap or not. It ends with the recording, or before a
silence longer than a limit that the caller may set; neither its begin nor its end counts as a
symbol, since a recording is cut anywhere. What a language model could learn of it is told by two
entropies: H(next), of the class that comes next when nothing is known, and H(next | current), when
the class before it is known. Their difference, the gain, is the information that one step of
context holds; a set without syntax has none.

Entropies of counts are too low where the counts are small, those of a row of the transition matrix
more so than that of all rows together: a set of few events seems to have a syntax. So both are
estimated as in Grassberger 2003, "Entropy estimates from insufficient samplings" (arXiv
physics/0307138), and the gain is given beside the highest that the same transitions reach when
their order is drawn by lot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.manifest import Clip, Manifest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHUFFLES = 20
"""Orders drawn by lot; that none of them reaches a gain says so with 95 % confidence."""

_DIGITS = 9  # of seconds: what is finer is floating point's
_BINS_PER_DECADE = 10
_NOTHING_S = 1e-6  # annotations are kept to the microsecond: less is rounding
_MOST_COUNTERS = 10**6  # of pairs; where there may be more only those that are there are counted
_APART_S = 1.0  # between recordings laid on one time line, so that none touches the next


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a quantity in seconds is spread: its extremes, three quantiles and the mean."""

    least: float
    p05: float
    median: float
    p95: float
    most: float
    mean: float

    @classmethod
    def of(cls, values: Floats) -> Spread | None:
        """Return the spread of ``values``; None where there are none."""
        if not len(values):
            return None
        least, p05, median, p95, most = np.quantile(values, (0.0, 0.05, 0.5, 0.95, 1.0)).tolist()
        mean = float(values.mean())
        return cls(least=least, p05=p05, median=median, p95=p95, most=most, mean=mean)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of a quantity in seconds between logarithmically spaced edges.

    Args:
        edges_s: (K + 1,); the same for all splits of a set.
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
        seconds: in which it is active; where two of its events overlap, time counts once.
        n_files: recordings that hold it.
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
class SyntaxStatistics:
    """Which class follows which, and what knowing that is worth; entropies in bits an event.

    Args:
        counts: (C, C), from the current class (row) to the next (column).
        n_sequences: sequences that hold an event.
        n_overlapping: transitions whose next event begins before the last one has ended.
        n_simultaneous: those of them that begin at the same time: their order says nothing.
        next_bits: H(next), corrected for small counts.
        conditional_bits: H(next | current), corrected; never above ``next_bits``.
        next_plugin_bits: H(next) of the counts as they are.
        conditional_plugin_bits: H(next | current) of the counts as they are.
        chance_bits: the highest of :data:`SHUFFLES` gains when the order is drawn by lot.
    """

    counts: Ints
    n_sequences: int
    n_overlapping: int
    n_simultaneous: int
    next_bits: float
    conditional_bits: float
    next_plugin_bits: float
    conditional_plugin_bits: float
    chance_bits: float

    @property
    def n_transitions(self) -> int:
        """Pairs of events, one after the other."""
        return int(self.counts.sum())

    @property
    def gain_bits(self) -> float:
        """What is known of the next class by knowing the current one."""
        return self.next_bits - self.conditional_bits

    @property
    def beyond_chance(self) -> bool:
        """Whether the gain is more than orders drawn by lot reach."""
        return self.gain_bits > self.chance_bits


@dataclass(frozen=True, kw_only=True)
class SplitStatistics:
    """One split, or all of them together.

    Args:
        n_files: recordings.
        n_empty_files: those without events.
        seconds: of audio.
        file_s: spread of the recordings' lengths.
        n_events: annotated events.
        polyphony: (P + 1,) share of the time in which n = 0 to P classes are active.
        classes: in the order of the set's.
        durations: of events.
        gaps: silences between events, whatever their classes.
        duration_s: spread of the same.
        gap_s: spread of the same.
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
        """Classes active at a time, on average over all time."""
        return float(self.polyphony @ np.arange(len(self.polyphony)))

    @property
    def evenness(self) -> float | None:
        """Entropy of the classes' events over its maximum: 1 if all are as frequent, 0 if one is.

        None where there are no events or no two classes to compare.
        """
        counts = np.array([one.n_events for one in self.classes])
        if len(counts) < 2 or not counts.any():
            return None
        return _nats(counts, _log) / math.log(len(counts))


@dataclass(frozen=True, kw_only=True)
class SetStatistics:
    """A set: each of its splits, and all together."""

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
    """One recording: events, classes that sound in it, and seconds in which any does."""

    n_events: int
    n_classes: int
    active_s: float


def describe(manifest: Manifest, *, sequence_gap_s: float | None = None) -> SetStatistics:
    """Describe a set.

    Args:
        manifest: its recordings with their events.
        sequence_gap_s: longest silence within a sequence, in seconds; ``None``: a sequence ends
            with its recording.
    """
    labels = manifest.classes
    splits = {name: _Table.of(entries, labels) for name, entries in manifest.splits.items()}
    every = _Table.of([one for entries in manifest.splits.values() for one in entries], labels)
    duration_edges, gap_edges = _edges(every.durations_s), _edges(every.gaps_s)

    def of(table: _Table) -> SplitStatistics:
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
    table = _Table.of(entries, classes)
    n_files = len(entries)
    n_events = np.bincount(table.file, minlength=n_files)
    sounding = np.unique(np.stack([table.file, table.label]), axis=1)[0]
    n_classes = np.bincount(sounding, minlength=n_files)
    begins, ends = _merged(table.begins, table.ends)
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
        sequence_gap_s: as of :func:`describe`.
    """
    table = _Table.of(entries, classes)
    if not len(table.label):
        return []
    return np.split(table.label, np.flatnonzero(~table.joined(sequence_gap_s)) + 1)


# ------------------------------------------------------------------------------ the table


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Events of several recordings as columns, sorted by recording, onset, offset and class.

    Args:
        n_classes: C, of the set.
        lengths_s: (n_files,) of the recordings.
        starts: (n_files,) where each begins on a time line that holds all, one after the other.
        file: (N,) recording of each event.
        label: (N,) index of its class.
        onset_s: (N,) in its recording.
        offset_s: (N,)
    """

    n_classes: int
    lengths_s: Floats
    starts: Floats
    file: Ints
    label: Ints
    onset_s: Floats
    offset_s: Floats

    @classmethod
    def of(cls, entries: Sequence[Clip], classes: Sequence[str]) -> _Table:
        index = {label: number for number, label in enumerate(classes)}
        rows = [
            (number, *event[:2], index[event.label])
            for number, entry in enumerate(entries)
            for event in entry.events
        ]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 4)
        file, label = columns[:, 0].astype(np.int64), columns[:, 3].astype(np.int64)
        order = np.lexsort((label, columns[:, 2], columns[:, 1], file))
        lengths_s = np.array([entry.duration_s for entry in entries], dtype=np.float64)
        return cls(
            n_classes=len(classes),
            lengths_s=lengths_s,
            starts=np.cumsum(lengths_s + _APART_S) - (lengths_s + _APART_S),
            file=file[order],
            label=label[order],
            onset_s=columns[order, 1],
            offset_s=columns[order, 2],
        )

    def of_class(self, index: int) -> _Table:
        """Return the events of one class."""
        rows = self.label == index
        return replace(
            self,
            file=self.file[rows],
            label=self.label[rows],
            onset_s=self.onset_s[rows],
            offset_s=self.offset_s[rows],
        )

    @property
    def begins(self) -> Floats:
        """Onsets on the common time line, rising."""
        return self.starts[self.file] + self.onset_s

    @property
    def ends(self) -> Floats:
        """Offsets on the common time line."""
        return self.starts[self.file] + self.offset_s

    @property
    def durations_s(self) -> Floats:
        """Of the events."""
        return self.offset_s - self.onset_s

    @property
    def follows(self) -> NDArray[np.bool_]:
        """(N - 1,) whether event n + 1 is of the same recording as event n."""
        return np.equal(self.file[1:], self.file[:-1])

    @property
    def silences_s(self) -> Floats:
        """(N - 1,) from the last offset so far to the next onset, negative where they overlap."""
        reached: Floats = np.maximum.accumulate(self.ends)
        return self.begins[1:] - reached[:-1]

    def joined(self, sequence_gap_s: float | None) -> NDArray[np.bool_]:
        """(N - 1,) whether event n + 1 goes on with the sequence of event n."""
        if sequence_gap_s is None:
            return self.follows
        return self.follows & (self.silences_s <= sequence_gap_s + _NOTHING_S)

    @property
    def gaps_s(self) -> Floats:
        """Silences between events of a recording: more than none, more than rounding."""
        silences_s = self.silences_s[self.follows]
        return silences_s[silences_s > _NOTHING_S]


def _merged(begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Join stretches that overlap or touch; ``begins`` are rising."""
    if not len(begins):
        return begins, ends
    reached: Floats = np.maximum.accumulate(ends)
    first = np.flatnonzero(np.append(True, begins[1:] > reached[:-1]))
    last = np.append(first[1:], len(begins)) - 1
    return begins[first], reached[last]


def _of_class(table: _Table, index: int, label: str) -> ClassStatistics:
    own = table.of_class(index)
    begins, ends = _merged(own.begins, own.ends)
    return ClassStatistics(
        label=label,
        n_events=len(own.file),
        seconds=float((ends - begins).sum()),
        n_files=len(np.unique(own.file)),
        duration_s=Spread.of(own.durations_s),
        gap_s=Spread.of(own.gaps_s),
    )


def _polyphony(table: _Table) -> Floats:
    """Share of the time in which 0, 1, 2, ... classes are active; (1,) where there is no time."""
    total_s = float(table.lengths_s.sum())
    if not total_s:
        return np.ones(1)
    stretches = [
        _merged(own.begins, own.ends) for own in map(table.of_class, np.unique(table.label))
    ]
    begins = np.concatenate([np.zeros(0), *(one[0] for one in stretches)])
    times = np.concatenate([begins, *(one[1] for one in stretches)])
    steps = np.repeat((1, -1), len(begins))
    order = np.argsort(times, kind="stable")  # begins first: the count never falls below 0
    n_active = np.cumsum(steps[order])[:-1]
    lengths_s = np.diff(times[order])
    seconds = np.bincount(n_active, weights=lengths_s, minlength=1).astype(np.float64)
    seconds[seconds < _NOTHING_S] = 0.0
    seconds[0] = max(0.0, total_s - seconds[1:].sum())
    shares: Floats = np.trim_zeros(seconds, "b") / total_s
    return shares


def _edges(values: Floats) -> Floats:
    """Edges on a grid of equal ratios that hold all values; (1,) where there are none."""
    if not len(values):
        return np.ones(1)
    low = math.floor(math.log10(values.min()) * _BINS_PER_DECADE)
    high = math.ceil(math.log10(values.max()) * _BINS_PER_DECADE)
    edges: Floats = 10.0 ** (np.arange(low, max(high, low + 1) + 1) / _BINS_PER_DECADE)
    return np.round(edges, _DIGITS)


def _histogram(values: Floats, edges_s: Floats) -> Histogram:
    if len(edges_s) < 2:
        return Histogram(edges_s=edges_s[:0], counts=np.zeros(0, np.int64))
    # A difference of times may be off by its last bit, and fall to either side of an edge.
    inside = np.clip(np.round(values, _DIGITS), edges_s[0], edges_s[-1])
    return Histogram(edges_s=edges_s, counts=np.histogram(inside, edges_s)[0].astype(np.int64))


# -------------------------------------------------------------------------------- syntax


def _syntax(table: _Table, sequence_gap_s: float | None) -> SyntaxStatistics:
    silences_s, joined = table.silences_s, table.joined(sequence_gap_s)
    current, following = table.label[:-1][joined], table.label[1:][joined]
    counts = _count(current, following, table.n_classes)
    next_bits, conditional_bits = _entropies_bits(
        current, following, table.n_classes, _corrected_log
    )
    next_plugin_bits, conditional_plugin_bits = _entropies_bits(
        current, following, table.n_classes, _log
    )
    return SyntaxStatistics(
        counts=counts,
        n_sequences=len(table.file) - int(joined.sum()),
        n_overlapping=int((silences_s[joined] < -_NOTHING_S).sum()),
        n_simultaneous=int((np.diff(table.onset_s)[joined] < _NOTHING_S).sum()),
        next_bits=next_bits,
        conditional_bits=conditional_bits,
        next_plugin_bits=next_plugin_bits,
        conditional_plugin_bits=conditional_plugin_bits,
        chance_bits=_chance_bits(current, following, table.n_classes),
    )


def _count(current: Ints, following: Ints, n_classes: int) -> Ints:
    """Count pairs of classes: (C, C)."""
    pairs = np.bincount(current * n_classes + following, minlength=n_classes**2)
    return pairs.astype(np.int64).reshape(n_classes, n_classes)


def _chance_bits(current: Ints, following: Ints, n_classes: int) -> float:
    """Highest gain of the same transitions when each class is followed by any that is drawn."""
    random = np.random.default_rng(0)
    gains = [0.0]
    for _ in range(SHUFFLES if len(current) else 0):
        drawn = random.permutation(following)
        next_bits, conditional_bits = _entropies_bits(current, drawn, n_classes, _corrected_log)
        gains.append(next_bits - conditional_bits)
    return max(gains)


def _entropies_bits(
    current: Ints, following: Ints, n_classes: int, logarithm: Callable[[Ints], Floats]
) -> tuple[float, float]:
    """H(next) and H(next | current) of N transitions: each within 0 and log2 C, the first above."""
    if not len(current):
        return 0.0, 0.0
    pairs = current * n_classes + following
    if n_classes**2 <= _MOST_COUNTERS:
        pairs = np.bincount(pairs)
    else:
        pairs = np.unique(pairs, return_counts=True)[1]
    of_following = _nats(np.bincount(following), logarithm)
    of_pairs = _nats(pairs, logarithm)
    next_nats = min(math.log(n_classes), max(0.0, of_following))
    conditional_nats = min(next_nats, max(0.0, of_pairs - _nats(np.bincount(current), _log)))
    return next_nats / math.log(2), conditional_nats / math.log(2)


def _nats(counts: Ints, logarithm: Callable[[Ints], Floats]) -> float:
    """Entropy of the relative frequencies of counts (K,), in nats; 0 where there are none.

    With :func:`_log` it is that of the counts as they are, with :func:`_corrected_log` an estimate
    of that behind them.
    """
    total = max(1, int(counts.sum()))
    return math.log(total) - float((counts * logarithm(counts)).sum()) / total


def _log(counts: Ints) -> Floats:
    return np.log(np.maximum(counts, 1))


def _corrected_log(counts: Ints) -> Floats:
    """Return what stands for the logarithm of counts in Grassberger 2003, eq. 28 to 30."""
    # G(2k) = G(2k + 1) = -gamma - ln 2 + 2 (1 + 1/3 + ... + 1/(2k - 1)).
    odd = 1.0 / np.arange(1, int(counts.max(initial=0)) + 1, 2)
    table = np.append(0.0, 2.0 * np.cumsum(odd)) - np.euler_gamma - math.log(2)
    found: Floats = table[counts // 2]
    return found


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
