"""A model of events from annotations: durations, silences and transitions.

All are counted in the labels of the training recordings, and smoothed, since these are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from sed_cli.data.annotations import Event
from sed_cli.decoding.decoder import by_label
from sed_cli.decoding.segment_rows import NEVER
from sed_cli.decoding.segments import SegmentModel

Floats = NDArray[np.float64]

DURATION_SMOOTHING_S, GAP_SMOOTHING_S = 0.004, 0.01  # minimum widths of kernels
_FEW_OVERLAPS = 0.01  # share of events; if fewer overlap, one chain serves all classes
_ENOUGH = 20  # minimum number of silences after a class; with fewer, those of all classes are used
_OFTEN = 5  # minimum count of a longer history
_MOST_HISTORIES = (
    200  # maximum number of histories, the most frequent: each takes as much time as a class
)
_MOST_FRAMES = 256  # maximum length of durations and silences with explicit probabilities
_UNSEEN = 0.5  # weight of the uniform part, in events of a class
_LEAST = 1e-6  # minimum probability of any length


def overlap(recordings: Sequence[Sequence[Event]], tolerance_s: float) -> float:
    """Share of events that start before an earlier one has ended, with a tolerance."""
    n_events = n_overlapping = 0
    for events in recordings:
        reached_s = -np.inf
        for event in sorted(events):
            n_events += 1
            n_overlapping += event.onset_s < reached_s - tolerance_s
            reached_s = max(reached_s, event.offset_s)
    return n_overlapping / max(1, n_events)


def is_joint(recordings: Sequence[Sequence[Event]], hop_s: float) -> bool:
    """Whether events do not overlap, so that one chain serves all classes."""
    return overlap(recordings, hop_s) < _FEW_OVERLAPS


def smoothed_lengths(
    seconds: Floats, hop_s: float, n_frames: int, least: int, smoothing_s: float
) -> Floats:
    """Log probabilities of lengths of ``least`` to ``n_frames`` frames, (n_frames + 1 - least,).

    A kernel around each observed length, with the width of Silverman's rule (1986) but at least
    ``smoothing_s``; and for unseen lengths a smoothly falling share.

    Args:
        seconds: lengths, (n,).
        hop_s: seconds from one frame to the next.
        n_frames: longest length.
        least: shortest length in frames, 0 or 1.
        smoothing_s: minimum standard deviation of a kernel.
    """
    frames = np.arange(least, n_frames + 1)
    mean = max(1.0, seconds.mean() / hop_s) if len(seconds) else n_frames / 4
    broad = np.exp(-frames / (2 * mean))
    broad /= broad.sum()
    if not len(seconds):
        return np.log(np.maximum(broad, _LEAST))
    spread = min(seconds.std(), float(np.subtract(*np.quantile(seconds, [0.75, 0.25]))) / 1.34)
    width = max(smoothing_s, 0.9 * spread * len(seconds) ** -0.2, 0.3 * hop_s)
    edges = (np.arange(least, n_frames + 2) - 0.5) * hop_s
    edges[0], edges[-1] = -np.inf, np.inf
    # Lengths in thousandths of the width, so that equal ones share a kernel.
    lengths, counts = np.unique(np.round(seconds / width, 3) * width, return_counts=True)
    seen = np.zeros(len(frames))
    for start in range(0, len(lengths), 1024):
        part = slice(start, start + 1024)
        below = norm.cdf((edges[:, None] - lengths[part]) / width)
        seen += np.diff(below, axis=0) @ counts[part]
    share = _UNSEEN / (len(seconds) + _UNSEEN)
    return np.log(np.maximum((1 - share) * seen / len(seconds) + share * broad, _LEAST))


def follow_probabilities(
    sequences: Sequence[Sequence[int]], n_classes: int, order: int
) -> tuple[list[tuple[int, ...]], Floats, Floats]:
    """Transition probabilities from counts of all orders up to ``order``, interpolated.

    Source: the smoothing of Witten and Bell 1991, "The zero-frequency problem".

    Args:
        sequences: classes of the events of each recording, in order of onset.
        n_classes: C.
        order: number of past events, 1 or more.

    Returns:
        The histories, each ending in its class, including every class alone (S); log probabilities
        of the first class, (C,); and of the next class after each history, (S, C).
    """
    counts: dict[tuple[int, ...], Floats] = {}
    for sequence in sequences:
        for place, label in enumerate(sequence):
            for back in range(min(order, place) + 1):
                history = tuple(sequence[place - back : place])
                counts.setdefault(history, np.zeros(n_classes))[label] += 1
    first = np.zeros(n_classes)
    for sequence in sequences:
        if sequence:
            first[sequence[0]] += 1

    def smooth(of: Floats, lower: Floats) -> Floats:
        n_kinds = max(1, int(np.count_nonzero(of)))
        smoothed: Floats = (of + n_kinds * lower) / (of.sum() + n_kinds)
        return smoothed

    anything = smooth(counts.get((), np.zeros(n_classes)), np.full(n_classes, 1 / n_classes))

    def after(history: tuple[int, ...]) -> Floats:
        if not history:
            return anything
        return smooth(counts.get(history, np.zeros(n_classes)), after(history[1:]))

    histories: list[tuple[int, ...]] = [(label,) for label in range(n_classes)]
    longer = [h for h in counts if 2 <= len(h) <= order and counts[h].sum() >= _OFTEN]
    histories += sorted(sorted(longer, key=lambda h: -counts[h].sum())[:_MOST_HISTORIES])
    return (
        histories,
        np.log(smooth(first, anything)),
        np.log(np.stack([after(history) for history in histories])),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class EventModel:
    """A model of events, learnt from the annotations of the training recordings.

    Args:
        joint: whether classes do not overlap and share one chain.
        priors: log-odds of a class in a frame, (C,).
        durations: log probabilities of 1 to D frames, (C, D).
        stays: log probability of another frame after D frames, (C,).
        gaps: log probabilities of silences of 0 to G - 1 frames after a class, (C, G).
        histories: of a joint chain: past classes of the syntax, the most recent one last.
        first: log probabilities of the first class, (C,).
        following: log probabilities of the next class after each history, (S, C).
    """

    joint: bool
    priors: Floats
    durations: Floats
    stays: Floats
    gaps: Floats
    histories: tuple[tuple[int, ...], ...]
    first: Floats
    following: Floats

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventModel):
            return NotImplemented
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)]
        return all(
            np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two
            for one, two in pairs
        )

    __hash__ = None  # type: ignore[assignment]  # of arrays there is none

    @classmethod
    def of(
        cls,
        recordings: Sequence[tuple[Sequence[Event], float]],
        classes: Sequence[str],
        hop_s: float,
        order: int,
    ) -> EventModel:
        """Learn from recordings, each with its events and its length in seconds."""
        index = {label: number for number, label in enumerate(classes)}
        n_classes = len(classes)
        events = [sorted(e for e in each if e.label in index) for each, _ in recordings]
        joint = is_joint(events, hop_s)
        durations: list[list[float]] = [[] for _ in classes]
        gaps: list[list[float]] = [[] for _ in classes]
        for of_recording in events:
            reached: dict[int, float] = {}
            for event in of_recording:
                number = index[event.label]
                durations[number].append(event.offset_s - event.onset_s)
                if joint and reached:
                    before = next(iter(reached))
                    gaps[before].append(max(0.0, event.onset_s - reached.pop(before)))
                elif number in reached:
                    gaps[number].append(max(0.0, event.onset_s - reached[number]))
                reached[number] = event.offset_s
        of_durations, of_gaps = ([np.array(of) for of in each] for each in (durations, gaps))
        every_gap = np.concatenate(of_gaps)
        n_frames, n_gap = _n_frames(of_durations, hop_s), _n_frames(of_gaps, hop_s)
        active_s = np.array([of.sum() for of in of_durations])
        share = np.clip(active_s / max(hop_s, sum(s for _, s in recordings)), 1e-6, 0.999)
        sequences = [[index[event.label] for event in each] for each in events]
        histories, first, following = follow_probabilities(sequences, n_classes, order)

        def lengths(of: Floats, n: int, least: int, smoothing_s: float) -> Floats:
            return smoothed_lengths(of, hop_s, n, least, smoothing_s)

        return cls(
            joint=joint,
            priors=np.log(share / (1 - share)).round(4),
            durations=np.stack(
                [lengths(of, n_frames, 1, DURATION_SMOOTHING_S) for of in of_durations]
            ).round(4),
            stays=np.array([_stay(of / hop_s, n_frames) for of in of_durations]).round(4),
            gaps=np.stack(
                [
                    lengths(of if len(of) >= _ENOUGH else every_gap, n_gap, 0, GAP_SMOOTHING_S)
                    for of in of_gaps
                ]
            ).round(4),
            histories=tuple(histories) if joint else (),
            first=first.round(4),
            following=following.round(4) if joint else np.zeros((0, n_classes)),
        )

    def segments(self) -> SegmentModel:
        """States and arcs of the search."""
        n_classes = len(self.priors)
        class_of = np.arange(n_classes)
        starts, arcs = np.zeros(n_classes), None
        if self.joint:
            number_of = {history: number for number, history in enumerate(self.histories)}
            longest = max(map(len, self.histories))
            arcs = np.full((len(self.histories),) * 2, NEVER)
            for number, history in enumerate(self.histories):
                for label in range(n_classes):
                    longer = (*history, label)[-longest:]
                    while longer not in number_of:
                        longer = longer[1:]
                    arcs[number, number_of[longer]] = self.following[number, label]
            class_of = np.array([history[-1] for history in self.histories])
            starts = np.full(len(self.histories), NEVER)
            for label in range(n_classes):
                starts[number_of[(label,)]] = self.first[label]
        return SegmentModel(
            class_of=class_of,
            starts=starts,
            arcs=arcs,
            durations=np.ascontiguousarray(self.durations.T),
            duration_stays=self.stays,
            gaps=np.ascontiguousarray(self.gaps.T),
        )

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Describe it, by label for values of classes."""
        each = {"priors": self.priors, "durations": self.durations, "stays": self.stays}
        each |= {"gaps": self.gaps, "first": self.first}
        return {
            "joint": self.joint,
            **{
                name: dict(zip(classes, values.tolist(), strict=True))
                for name, values in each.items()
            },
            "histories": [[classes[label] for label in history] for history in self.histories],
            "following": self.following.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str]) -> EventModel:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        n_classes = len(classes)
        read = {
            name: np.array(by_label(values, name, classes), np.float64)
            for name in ("priors", "durations", "stays", "gaps", "first")
        }
        following = np.array(values["following"], np.float64).reshape(-1, n_classes)
        labels = list(classes)
        histories = tuple(tuple(map(labels.index, each)) for each in values["histories"])
        joint = bool(values["joint"])
        expected = {"priors": 1, "durations": 2, "stays": 1, "gaps": 2, "first": 1}
        for name, n_axes in expected.items():
            table = read[name]
            if table.ndim != n_axes or not table.size or not np.isfinite(table).all():
                raise ValueError(f"{name}: expected finite numbers, equally many for each class")
        if len(histories) > n_classes + _MOST_HISTORIES:
            raise ValueError(f"{len(histories)} histories: expected at most as many as are learnt")
        if joint and (
            len(following) != len(histories)
            or not np.isfinite(following).all()
            or not {(label,) for label in range(n_classes)} <= {*histories}
        ):
            raise ValueError("following: expected one row per history, and one column per class")
        return cls(joint=joint, following=following, histories=histories, **read)


def _stay(frames: Floats, n_frames: int) -> float:
    """Log probability of another frame of an unusually long event."""
    excess = frames[frames > n_frames] - n_frames
    return -1 / max(1.0, float(excess.mean()) if len(excess) else n_frames / 2)


def _n_frames(lengths: Sequence[Floats], hop_s: float) -> int:
    """Number of frames that covers nearly all lengths, which get explicit probabilities."""
    longest = max((float(np.quantile(one, 0.99)) for one in lengths if len(one)), default=hop_s)
    return int(np.clip(np.ceil(1.2 * longest / hop_s), 2, _MOST_FRAMES))
