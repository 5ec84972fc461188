"""Events of several recordings as columns, for vectorised counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.manifest import Clip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


NOTHING_S = 1e-6  # annotations have a resolution of 1 us: anything less is rounding
_APART_S = 1.0  # between recordings on one time line, so that none touches the next


@dataclass(frozen=True, kw_only=True)
class EventTable:
    """Events of several recordings as columns, sorted by recording, onset, offset and class.

    Args:
        n_classes: C, of the data set.
        lengths_s: (n_files,) of the recordings.
        starts: (n_files,) start of each on a common time line.
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
    def of(cls, entries: Sequence[Clip], classes: Sequence[str]) -> EventTable:
        """Arrange the events of some recordings in columns."""
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

    def of_class(self, index: int) -> EventTable:
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
        """Durations of the events."""
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
        """(N - 1,) whether event n + 1 continues the sequence of event n."""
        if sequence_gap_s is None:
            return self.follows
        return self.follows & (self.silences_s <= sequence_gap_s + NOTHING_S)

    @property
    def gaps_s(self) -> Floats:
        """Silences between events of a recording, longer than rounding."""
        silences_s = self.silences_s[self.follows]
        return silences_s[silences_s > NOTHING_S]


def merged(begins: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Merge intervals that overlap or touch; ``begins`` are rising."""
    if not len(begins):
        return begins, ends
    reached: Floats = np.maximum.accumulate(ends)
    first = np.flatnonzero(np.append(True, begins[1:] > reached[:-1]))
    last = np.append(first[1:], len(begins)) - 1
    return begins[first], reached[last]
