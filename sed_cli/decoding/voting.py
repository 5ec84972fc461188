"""The decoder ``vote``: a segment between silences gets the majority class of its frames.

As in TweetyNet and vak (Cohen et al. 2022): one event at a time, for sounds that do not
overlap. Long segments are voted on in pieces, so that a stream need not wait for their end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.frames import runs
from sed_cli.decoding.decoder import (
    Detection,
    StreamEvent,
    Tracker,
    TunedDecoder,
    by_label,
)
from sed_cli.decoding.postprocessing import SLACK_S, mend_runs

Span = tuple[int, int, int]  # first frame, frame after the last, column


@dataclass(frozen=True, kw_only=True)
class VoteDecoder(TunedDecoder):
    """Silence has no class above its threshold; segments in between get their majority class.

    Each frame votes for the class highest above its threshold; ties are broken by probability.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        thresholds: of each class (C,).
        longest_s: longer segments are voted on in pieces of this length; adjacent pieces of one
            class are joined.
        min_gap_s: shorter silences are filled before the vote.
        min_duration_s: shorter events are dropped.
    """

    NAME: ClassVar[str] = "vote"

    thresholds: tuple[float, ...]
    longest_s: float
    min_gap_s: float = 0.0
    min_duration_s: float = 0.0

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.classes):
            raise ValueError(f"{len(self.thresholds)} thresholds: expected one for each class")
        for threshold in self.thresholds:
            if not 0 <= threshold <= 1:
                raise ValueError(f"threshold {threshold}: expected a probability")
        for seconds in (self.min_gap_s, self.min_duration_s, self.longest_s):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"a duration or gap of {seconds} s: expected at least 0")

    @property
    def longest(self) -> int:
        """The longest piece for a vote, in frames; events are long enough except at their end."""
        return max(1, math.ceil(max(self.longest_s, self.min_duration_s) / self.hop_s - SLACK_S))

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording; confidence is the mean probability of an event."""
        self.check(probabilities)
        margins = probabilities - np.array(self.thresholds)
        sounding = self.filled((margins > 0).any(axis=1))
        spans = joined(list(elected(sounding, margins, self.longest)))
        kept = [span for span in spans if self.lasts(span, duration_s)]
        return self.detections(kept, probabilities, duration_s)

    def filled(self, sounding: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fill silences between sounding frames (T,) that are too short."""
        least = {"min_gap_s": self.min_gap_s, "min_duration_s": 0.0}
        return mend_runs(sounding[:, None], self.hop_s, **least)[:, 0]

    def lasts(self, span: Span, duration_s: float | None) -> bool:
        """Whether an event is long enough, and starts before the end of the recording."""
        end_s = math.inf if duration_s is None else duration_s
        length_s = min(span[1] * self.hop_s, end_s) - span[0] * self.hop_s
        return length_s > 0 and length_s >= self.min_duration_s - SLACK_S

    def tracker(self) -> Tracker:
        """Create a tracker of the same events, waiting for the longest piece and minimum gap."""
        return _VoteTracker(self)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self:
        """Replace the thresholds of some classes."""
        return replace(self, thresholds=self.replaced(self.thresholds, thresholds))

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return {
            "thresholds": dict(zip(self.classes, self.thresholds, strict=True)),
            "longest_s": self.longest_s,
            "longest_frames": self.longest,
            "min_gap_s": self.min_gap_s,
            "min_duration_s": self.min_duration_s,
            **self.tuned_as_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str], hop_s: float) -> Self:
        """Undo :meth:`as_json`.

        Raises:
            KeyError, TypeError, ValueError: for what it did not write.
        """
        return cls(
            classes=tuple(classes),
            hop_s=hop_s,
            thresholds=tuple(map(float, by_label(values, "thresholds", classes))),
            longest_s=float(values["longest_s"]),
            min_gap_s=float(values["min_gap_s"]),
            min_duration_s=float(values["min_duration_s"]),
            **cls.tuned_from_json(values),
        )


def elected(
    sounding: NDArray[np.bool_], margins: NDArray[np.floating], longest: int
) -> Iterator[Span]:
    """Yield the pieces of all segments with their majority column.

    Args:
        sounding: frames that are not silent (T,).
        margins: probabilities above thresholds (T, C).
        longest: maximum number of frames in a piece.
    """
    pieces = np.array(
        [
            (start, min(start + longest, stop))
            for first, stop in zip(*runs(sounding), strict=True)
            for start in range(first, stop, longest)
        ]
    ).reshape(-1, 2)
    if not len(pieces):
        return
    # An extra row, so that a piece may end with the recording; sums between pieces are unused.
    votes, likely = np.zeros((2, len(margins) + 1, margins.shape[1]))
    votes[np.arange(len(margins)), margins.argmax(axis=1)] = 1.0
    likely[:-1] = margins
    n_votes, sums = (
        np.add.reduceat(of_frames, pieces.reshape(-1), axis=0)[::2] for of_frames in (votes, likely)
    )
    # At most half a vote, by the mean margin: it only breaks ties.
    winners = (n_votes + 0.25 * sums / np.diff(pieces, axis=1)).argmax(axis=1)
    for (start, stop), column in zip(pieces.tolist(), winners.tolist(), strict=True):
        yield start, stop, column


def joined(spans: Sequence[Span]) -> list[Span]:
    """Join touching spans of one column."""
    made: list[Span] = []
    for first, after, column in spans:
        if made and made[-1][1] == first and made[-1][2] == column:
            first = made.pop()[0]
        made.append((first, after, column))
    return made


class _Event:
    """An event that grows by touching pieces."""

    def __init__(self, span: Span, probabilities: NDArray[np.floating]) -> None:
        self.first, self.after, self.column = span
        self.total = float(probabilities.sum(dtype=np.float64))
        self.is_reported = False

    def takes(self, span: Span, probabilities: NDArray[np.floating]) -> bool:
        """Take a piece if it continues the event."""
        first, after, column = span
        if (first, column) != (self.after, self.column):
            return False
        self.after = after
        self.total += float(probabilities.sum(dtype=np.float64))
        return True

    @property
    def confidence(self) -> float:
        """Mean probability."""
        return min(1.0, self.total / (self.after - self.first))


class _VoteTracker(Tracker):
    """Keeps the frames of the open piece, and the event that it may continue."""

    def __init__(self, decoder: VoteDecoder) -> None:
        self._decoder = decoder
        self._thresholds = np.array(decoder.thresholds)
        self._first = 0  # of the frames kept
        self._kept = np.empty((0, len(decoder.classes)), np.float32)
        self._sounding = np.empty(0, np.bool_)
        self._continues = False  # whether the frame before them is of the same segment
        self._event: _Event | None = None
        self.latency_s = decoder.longest * decoder.hop_s + decoder.min_gap_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide, in order of time."""
        above = (probabilities - self._thresholds > 0).any(axis=1)
        self._kept = np.concatenate([self._kept, probabilities])
        sounding = np.concatenate([[self._continues], self._sounding, above])
        self._sounding = self._decoder.filled(sounding)[1:]
        return list(self._decide(known_s, is_end=False))

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""
        return [*self._decide(duration_s, is_end=True), *self._ended(duration_s)]

    def _decide(self, known_s: float, *, is_end: bool) -> Iterator[StreamEvent]:
        """Vote on complete pieces."""
        while True:
            if not self._continues:
                yield from self._ended(known_s)
                sounds = np.flatnonzero(self._sounding)
                self._drop(int(sounds[0]) if len(sounds) else len(self._sounding))
            if not len(self._sounding):
                return
            silent = np.flatnonzero(~self._sounding)
            length = int(silent[0]) if len(silent) else len(self._sounding)
            piece = min(length, self._decoder.longest)
            if piece < self._decoder.longest and not (is_end or self._is_over(length)):
                return
            if piece:
                margins = self._kept[:piece] - self._thresholds
                (span,) = elected(np.ones(piece, np.bool_), margins, piece)
                yield from self._piece(span, known_s)
                self._drop(piece)
            self._continues = piece == self._decoder.longest

    def _is_over(self, length: int) -> bool:
        """Whether the silence after so many frames is too long to be filled."""
        n_silent = int(np.append(self._sounding[length:], True).argmax())
        least_s = self._decoder.min_gap_s - SLACK_S
        return n_silent > 0 and n_silent * self._decoder.hop_s >= least_s

    def _drop(self, n: int) -> None:
        self._first += n
        self._kept, self._sounding = self._kept[n:].copy(), self._sounding[n:].copy()

    def _piece(self, span: Span, known_s: float) -> Iterator[StreamEvent]:
        first, after, column = span[0] + self._first, span[1] + self._first, span[2]
        own = self._kept[: after - first, column]
        span = first, after, column
        if self._event is None or not self._event.takes(span, own):
            yield from self._ended(known_s)
            self._event = _Event(span, own)
        event = self._event
        if not event.is_reported and self._decoder.lasts((event.first, after, column), known_s):
            event.is_reported = True
            yield self._report(event, None)

    def _ended(self, known_s: float) -> Iterator[StreamEvent]:
        event, self._event = self._event, None
        if event is not None and event.is_reported:
            yield self._report(event, min(event.after * self._decoder.hop_s, known_s))

    def _report(self, event: _Event, offset_s: float | None) -> StreamEvent:
        return StreamEvent(
            kind="start" if offset_s is None else "end",
            label=self._decoder.classes[event.column],
            onset_s=event.first * self._decoder.hop_s,
            offset_s=offset_s,
            confidence=event.confidence,
        )
