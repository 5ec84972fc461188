"""Times between frames of the events that the decoder ``semi_markov`` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.frames import ONSET_FRAMES
from sed_cli.decoding.decoder import Detection
from sed_cli.decoding.segments import Segment

if TYPE_CHECKING:
    from sed_cli.decoding.semi_markov import SemiMarkovDecoder

_HALF = 0.49  # maximum offset of a time from its boundary, in frames: active frames do not change
_CONTINUES = 0.9  # probability of a class after one of its events, if another one follows
_HEARD = 0.5  # least sum of the onset probabilities around a boundary that time it


class SegmentTimes:
    """Sub-frame times of events, in order of onset.

    A probability is that of an event having started by then: if it rises over two frames with .2
    and .9, the event starts later than with .4 and 1. The time is the mean implied by them, at most
    half a frame from the boundary, so that active frames do not change. Where events of the same
    class touch, the time is that of the boundary, since nothing rises or falls there. On song in
    frames of 4 and 10 ms the accuracy of bins of 2 ms rises from .979 to .982 and from .967 to
    .974. Where a model has onsets, touching events part at the mean time that these imply, with
    the mean silence of the training events before it.
    """

    def __init__(self, decoder: SemiMarkovDecoder) -> None:
        self._decoder = decoder
        self._ended: dict[int, int] = {}  # last boundary by column
        self._reached = 0.0  # boundaries

    def detection(
        self, segment: Segment, probabilities: NDArray[np.floating], start: int, end_s: float
    ) -> Detection | None:
        """The event of a segment; ``None`` for one that starts at the end of the recording.

        Args:
            segment: the decoded one.
            probabilities: frames from number ``start`` on, (T, C), up to the last known one.
            start: number of their first frame.
            end_s: of the recording; no event ends after it.
        """
        first, last, column = segment
        own = probabilities[:, column]

        def around(boundary: int) -> float:
            """Sum of the probabilities of the frames before and after a boundary."""
            return float(
                own[max(0, boundary - 1 - start) : boundary + 1 - start].sum(dtype=np.float64)
            )

        onset, offset = float(first), float(last)
        if self._ended.get(column) == first:
            onset += _within(self._start_near(segment.first - start, probabilities, column))
        elif first > start:
            onset += _within(1 - around(first))
        if not (last - start < len(own) and own[last - start] >= _CONTINUES):
            offset += _within(around(last) - 1)
        elif self._decoder.takes_onsets:
            later = self._start_near(last - start, probabilities, column)
            offset += _within(later - self._decoder.touch_s / self._decoder.hop_s)
        if self._decoder.model.joint:
            onset = max(onset, self._reached)
        self._ended[column], self._reached = last, offset
        onset_s, offset_s = (at * self._decoder.hop_s for at in (onset, offset))
        if onset_s >= end_s:
            return None
        mean = float(own[max(0, first - start) : last - start].mean(dtype=np.float64))
        label = self._decoder.classes[column]
        return Detection(onset_s, min(offset_s, end_s), label, min(1.0, mean))

    def _start_near(self, frame: int, probabilities: NDArray[np.floating], column: int) -> float:
        """Frames from a boundary to the start that the onsets around it imply.

        An onset at a boundary marks the ONSET_FRAMES frames after it.
        """
        if not self._decoder.takes_onsets:
            return 0.0
        first, last = max(0, frame - 1), frame + ONSET_FRAMES + 1
        onsets = probabilities[first:last, len(self._decoder.classes) + column].astype(np.float64)
        if onsets.sum() < _HEARD:
            return 0.0
        middle = frame + (ONSET_FRAMES - 1) / 2
        return float(onsets @ (np.arange(first, first + len(onsets)) - middle) / onsets.sum())


def _within(frames: float) -> float:
    return min(_HALF, max(-_HALF, frames))
