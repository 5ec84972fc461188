"""Events in seconds to activities in frames, and back.

Frames are centred: frame t covers the time from (t - 1/2) to (t + 1/2) hops, so an onset is
rounded to the nearest frame, without bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event

_STEPS = 255  # of a probability that is stored in a byte

ONSET_FRAMES = 2
"""Frames marked for an onset: an event may also start late in the frame before its own."""


class Activities:
    """Active classes in the frames of a recording, stored as its events.

    Reads like an array (T, C) of 0 and 1, uint8: a range of frames is created on access,
    since all frames of a long data set with many classes would take more memory than its features.

    Args:
        events: those with a label outside ``classes`` are skipped. Every other one within the
            recording marks at least one frame.
        classes: labels, in the order of the columns.
        n_frames: T.
        hop_s: seconds from one frame to the next.
    """

    def __init__(
        self, events: Iterable[Event], classes: Sequence[str], n_frames: int, hop_s: float
    ) -> None:
        self.shape = (n_frames, len(classes))
        column = {label: index for index, label in enumerate(classes)}
        spans = [
            (*_span(event, n_frames, hop_s), column[event.label])
            for event in events
            if event.label in column
        ]
        self._spans = np.array(spans, np.int64).reshape(-1, 3)  # first and last frame, column

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice) -> NDArray[np.uint8]:
        """Mark a range of frames (t, C)."""
        first, last, step = frames.indices(len(self))
        if step != 1:
            raise ValueError(f"a step of {step}: expected a range without gaps")
        marked = np.zeros((max(0, last - first), self.shape[1]), dtype=np.uint8)
        inside = (self._spans[:, 0] < last) & (self._spans[:, 1] > first)
        for start, end, column in self._spans[inside].tolist():
            marked[max(0, start - first) : end - first, column] = 1
        return marked

    def onsets(self, frames: slice) -> NDArray[np.uint8]:
        """Mark the onsets of events in a range of frames, uint8 (t, C).

        These are the first frames in which an event is active, ONSET_FRAMES or as many as it
        has.
        """
        first, last, _ = frames.indices(len(self))
        marked = np.zeros((max(0, last - first), self.shape[1]), dtype=np.uint8)
        starts, columns = self._spans[:, 0], self._spans[:, 2]
        for later in range(ONSET_FRAMES):
            at = starts + later
            inside = (at >= first) & (at < last) & (at < self._spans[:, 1])
            marked[at[inside] - first, columns[inside]] = 1
        return marked

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Mark all frames, for numpy functions."""
        return self[:].astype(dtype or np.uint8, copy=False)


class SoftActivities:
    """Probabilities in the frames of a recording; reads like :class:`.Activities`.

    Args:
        stored: probabilities times 255, rounded, uint8 (T, C), with onsets (T, 2C).
        n_classes: C.
    """

    def __init__(self, stored: NDArray[np.uint8], n_classes: int) -> None:
        self._stored = stored
        self.shape = (len(stored), n_classes)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice) -> NDArray[np.float32]:
        """Probabilities of a range of frames, float32 (t, C)."""
        return _real(self._stored[frames, : self.shape[1]])

    def onsets(self, frames: slice) -> NDArray[np.float32]:
        """Probabilities of onsets in a range of frames, float32 (t, C)."""
        return _real(self._stored[frames, self.shape[1] :])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Probabilities of all frames, for numpy functions."""
        return self[:].astype(dtype or np.float32, copy=False)


def _real(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    return stored.astype(np.float32) / np.float32(_STEPS)


def quantised(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round probabilities to bytes."""
    rounded: NDArray[np.uint8] = np.rint(probabilities * _STEPS).astype(np.uint8)
    return rounded


def events_to_activities(
    events: Iterable[Event], classes: Sequence[str], n_frames: int, hop_s: float
) -> NDArray[np.uint8]:
    """Mark the frames in which each class is active, uint8 (T, C); see :class:`Activities`."""
    return Activities(events, classes, n_frames, hop_s)[:]


def _span(event: Event, n_frames: int, hop_s: float) -> tuple[int, int]:
    """First frame of an event, and the one after its last."""
    first = round(event.onset_s / hop_s)
    if first == n_frames:  # in the last half hop, rounded past the last frame
        first -= 1
    return first, max(first + 1, round(event.offset_s / hop_s))


def activities_to_events(
    activities: NDArray[np.uint8] | NDArray[np.bool_],
    classes: Sequence[str],
    hop_s: float,
    duration_s: float | None = None,
) -> list[Event]:
    """Convert runs of active frames to events.

    Args:
        activities: (T, C).
        classes: labels of the columns.
        hop_s: seconds from one frame to the next.
        duration_s: of the recording; no event ends after it.

    Returns:
        Events in order of onset, then offset and label.
    """
    edges = np.diff(np.pad(activities.astype(np.int8), ((1, 1), (0, 0))), axis=0)  # (T + 1, C)
    events = []
    for index, label in enumerate(classes):
        onsets = np.flatnonzero(edges[:, index] == 1) * hop_s
        offsets = np.flatnonzero(edges[:, index] == -1) * hop_s
        if duration_s is not None:
            offsets = np.minimum(offsets, duration_s)
        pairs = zip(onsets.tolist(), offsets.tolist(), strict=True)
        events += [Event(onset, offset, label) for onset, offset in pairs if offset > onset]
    return sorted(events)


def runs(active: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first frames of the runs in ``active`` (T,), and the frames after their last."""
    edges = np.diff(np.pad(active.astype(np.int8), 1))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
