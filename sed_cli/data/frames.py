"""Events in seconds to activities in frames, and back.

Frames are centred: frame t stands for the time from (t - 1/2) to (t + 1/2) hops, so an onset goes
to the nearest frame and comes back as that frame's time, without bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event


def events_to_activities(
    events: Iterable[Event], classes: Sequence[str], n_frames: int, hop_s: float
) -> NDArray[np.uint8]:
    """Mark the frames in which each class is active.

    Args:
        events: those with a label outside ``classes`` are passed over.
        classes: labels, in the order of the columns.
        n_frames: T.
        hop_s: seconds from one frame to the next.

    Returns:
        Activities 0 or 1, uint8 (T, C). An event within the recording marks at least one frame.
    """
    column = {label: index for index, label in enumerate(classes)}
    activities = np.zeros((n_frames, len(classes)), dtype=np.uint8)
    for event in events:
        if event.label in column:
            first = round(event.onset_s / hop_s)
            if first == n_frames:  # in the last half hop, rounded past the last frame
                first -= 1
            last = max(first + 1, round(event.offset_s / hop_s))
            activities[first:last, column[event.label]] = 1
    return activities


def activities_to_events(
    activities: NDArray[np.uint8] | NDArray[np.bool_],
    classes: Sequence[str],
    hop_s: float,
    duration_s: float | None = None,
) -> list[Event]:
    """Turn runs of active frames into events.

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
