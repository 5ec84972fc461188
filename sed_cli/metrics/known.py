"""Scoring of recordings in which not every class is annotated everywhere.

Where a class is not annotated, nothing counts as missed or inserted. Frames are known
individually. A segment is known for a class if all its frames are, or if it has an annotated
event of the class. A detected event counts unless most of its frames are unknown. An annotated
event always counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import n_segments, segments_of
from sed_cli.metrics.metric import Compared


def are_judged(
    detected: Sequence[Event],
    known: NDArray[np.bool_] | None,
    classes: Sequence[str],
    hop_s: float,
) -> list[bool]:
    """Whether at least half the frames of each detected event are known for its class.

    Args:
        detected: events of these classes.
        known: where a class is annotated, (T, C); ``None``: everywhere.
        classes: labels of the columns.
        hop_s: seconds from one frame to the next.
    """
    if known is None:
        return [True] * len(detected)
    column = {label: index for index, label in enumerate(classes)}
    judged = []
    for onset_s, offset_s, label in detected:
        first = min(round(onset_s / hop_s), len(known) - 1)
        frames = known[first : max(first + 1, round(offset_s / hop_s)), column[label]]
        judged.append(2 * int(frames.sum()) >= len(frames))
    return judged


def known_hours(duration_s: float, known: NDArray[np.bool_] | None) -> float | NDArray[np.float64]:
    """Hours of a recording, or for each class its annotated hours (C,).

    Args:
        duration_s: length of the recording.
        known: where a class is annotated, (T, C); ``None``: everywhere.
    """
    hours = duration_s / 3600
    return hours if known is None else known.mean(axis=0, dtype=np.float64) * hours


def in_known_segments(compared: Compared, resolution_s: float) -> Sequence[Event]:
    """Detected events, cut to the known segments of ``resolution_s`` seconds."""
    if compared.known is None:
        return compared.detected
    column = {label: index for index, label in enumerate(compared.classes)}
    are_known = _known_segments(compared, resolution_s)
    kept = []
    for event in compared.all_detected or compared.detected:
        (first,), (after,) = segments_of(np.array([event[:2]]), resolution_s)
        for segment in range(first, min(after, len(are_known))):
            if are_known[segment, column[event.label]]:
                span_s = (segment + 0.25) * resolution_s, (segment + 0.75) * resolution_s
                kept.append(Event(*span_s, event.label))
    return kept


def _known_segments(compared: Compared, resolution_s: float) -> NDArray[np.bool_]:
    """Known segments of each class (n, C)."""
    known = compared.known
    assert known is not None
    n = n_segments(compared.duration_s, resolution_s)
    edges = np.arange(n + 1) * (resolution_s / compared.hop_s)
    first = np.floor(edges[:-1]).astype(np.int64).clip(0, len(known) - 1)
    after = np.maximum(np.ceil(edges[1:]).astype(np.int64), first + 1)
    are_known = np.stack(
        [known[start:end].all(axis=0) for start, end in zip(first, after, strict=True)]
    )
    for event in compared.reference:
        (start,), (end,) = segments_of(np.array([event[:2]]), resolution_s)
        are_known[start:end, list(compared.classes).index(event.label)] = True
    return are_known


def linear_softmax(probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
    """Pool the probabilities of frames (T, C) to those of a clip (C,), weighted by themselves."""
    p = probabilities.astype(np.float64)
    pooled = (p * p).sum(axis=0) / p.sum(axis=0).clip(1e-12)
    return np.asarray(pooled, np.float32)


def clips_of(compared: Compared) -> NDArray[np.float32]:
    """Probability of each class in a recording as a whole (1, C)."""
    pooled = compared.clip_probabilities
    return (linear_softmax(compared.probabilities) if pooled is None else pooled)[None]


def clip_reference(
    reference: Sequence[Event], classes: Sequence[str], known: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Classes present in a recording, and classes for which that is known, both (1, C).

    Presence is known by one event of the class, absence only if it is annotated everywhere.

    Args:
        reference: annotated events.
        classes: labels of the columns.
        known: where a class is annotated, (T, C); ``None``: everywhere.
    """
    labels = {event.label for event in reference}
    present = np.array([[label in labels for label in classes]])
    is_known = np.ones_like(present) if known is None else present | known.all(axis=0)
    return present.astype(np.uint8), is_known
