"""The decoder ``semi_markov``: the likeliest events, by durations, silences and their order."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.decoding.choices import Choice, log_choices
from sed_cli.decoding.decoder import (
    Detection,
    Fitting,
    StreamEvent,
    Tracker,
    TunedDecoder,
    in_order,
)
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.grid import Grid, excerpts
from sed_cli.decoding.postprocessing import PLAIN_THRESHOLD
from sed_cli.decoding.segments import Segment, SegmentDecoder, SegmentModel
from sed_cli.errors import UserError

log = logging.getLogger(__name__)

_SURE = 1e-6  # probabilities are taken to be as far from 0 and 1 at least
_BLOCK = 16_384  # frames that are weighed at once
_WEIGHTS = (1.0, 0.125, 0.25, 0.5, 2.0, 4.0, 8.0)  # the first, with the first prior, is the default
_PRIORS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class SemiMarkovDecoder(TunedDecoder):
    """Viterbi over segments, on weighed log-odds of the probabilities.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        model: what the training events say.
        weight: of the log-odds of a frame: neighbours tell much the same.
        prior: share of the log-odds of a class's prior that is taken off those of its frames.
        lag_s: seconds after the end of an event that may still change it.
    """

    NAME: ClassVar[str] = "semi_markov"

    model: EventModel
    weight: float = _WEIGHTS[0]
    prior: float = _PRIORS[0]
    lag_s: float

    def __post_init__(self) -> None:
        if not (0 < self.weight < math.inf and 0 < self.lag_s < math.inf):
            raise ValueError(f"weight {self.weight} and lag_s {self.lag_s}: expected above 0")
        if not math.isfinite(self.prior):
            raise ValueError(f"prior {self.prior}: expected a number")

    @cached_property
    def _segments(self) -> SegmentModel:
        return self.model.segments()

    @property
    def lag(self) -> int:
        """Frames after the end of an event that may still change it."""
        return max(1, math.ceil(self.lag_s / self.hop_s))

    @property
    def step(self) -> int:
        """Frames after which it is decided again."""
        return max(1, self.lag // 2)

    def search(self) -> SegmentDecoder:
        """Begin to decode a recording."""
        return SegmentDecoder(self._segments, lag=self.lag, step=self.step)

    def weighed(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores of frames (T, C): log-odds of their probabilities, weighed."""
        sure = np.clip(probabilities.astype(np.float64), _SURE, 1 - _SURE)
        log_odds: NDArray[np.float64] = np.log(sure / (1 - sure)) - self.prior * self.model.priors
        return self.weight * log_odds

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset."""
        self.check(probabilities)
        return self.detections(self.spans(probabilities), probabilities, duration_s)

    def spans(self, probabilities: NDArray[np.floating]) -> list[Segment]:
        """Events in frames, in order of onset; a day of them in the memory of a block."""
        search, found = self.search(), list[Segment]()
        for start in range(0, len(probabilities), _BLOCK):
            found += search.push(self.weighed(probabilities[start : start + _BLOCK]))
        return sorted([*found, *search.finish()])

    def tracker(self) -> Tracker:
        """Make what finds the same events while the probabilities come in."""
        return _SemiMarkovTracker(self)

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return {
            "weight": self.weight,
            "prior": self.prior,
            "lag_s": self.lag_s,
            "model": self.model.as_json(self.classes),
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
            model=EventModel.from_json(values["model"], classes),
            weight=float(values["weight"]),
            prior=float(values["prior"]),
            lag_s=float(values["lag_s"]),
            **cls.tuned_from_json(values),
        )


def fit(task: Fitting, order: int, lag_s: float) -> SemiMarkovDecoder:
    """Learn from the training events, and tune the weight and the prior on validation.

    Raises:
        UserError: for a minimum gap or duration, which are learnt here; or without training events.
    """
    for name in ("min_gap_s", "min_duration_s"):
        if getattr(task, name):
            raise UserError(
                f"evaluation.{name}={getattr(task, name):g}: evaluation.decoder=semi_markov learns "
                f"durations and silences from the annotations; drop it, or choose another decoder"
            )
    recordings = [(clip.events, clip.duration_s) for clip in task.training()]
    if not any(events for events, _ in recordings):
        raise UserError(
            "evaluation.decoder=semi_markov learns from the events of the training split, which "
            "has none: choose another decoder"
        )
    model = EventModel.of(recordings, task.classes, task.hop_s, order)
    log.info(
        "semi_markov: %s",
        f"classes do not overlap in training: one chain of events, of order {order}"
        if model.joint
        else "classes overlap in training: a chain for each, which ignores what follows what",
    )
    plain = SemiMarkovDecoder(classes=task.classes, hop_s=task.hop_s, model=model, lag_s=lag_s)
    return _tuned(task, plain) if task.tunes else plain


def _tuned(task: Fitting, plain: SemiMarkovDecoder) -> SemiMarkovDecoder:
    rows = [replace(plain, weight=w, prior=p) for w, p in product(_WEIGHTS, _PRIORS)]
    n_events = sum(len(recording.events) for recording in task.validation)
    grid = Grid.empty(
        np.ones((1, len(rows)), np.bool_),
        np.array([n_events], np.int64),
        n_recordings=len(task.validation),
        metric=task.metric,
        collar_s=task.collar_s,
        thresholds=np.array([PLAIN_THRESHOLD]),  # there is none: rows alone differ
    )
    scored = excerpts(task.scored(), len(task.validation), task.classes, task.hop_s)
    for _, probabilities, in_recording in scored:
        for row, decoder in enumerate(rows):
            active = np.zeros(probabilities.shape, np.bool_)
            for first, last, column in decoder.spans(probabilities):
                # Back-to-back events of a class would be counted as one: a frame parts them.
                active[first:last, column] = True
                if first and active[first - 1, column] and last > first + 1:
                    active[first, column] = False
            for index, of_class in enumerate(in_recording):
                grid.add(of_class, 0, row, active[:, index, None], np.zeros(1, np.intp))
    point = grid.choose(0)
    chosen = rows[point.row]
    choice = Choice(
        what=f"log-odds weighed {chosen.weight:g}, less {chosen.prior:g} of the prior's",
        reason=point.reason,
        n_events=point.n_events,
        gain=point.gain,
    )
    log_choices(["all classes"], [choice])
    return replace(chosen, tuned_for=task.metric, tuning=dict.fromkeys(task.classes, choice.note))


class _SemiMarkovTracker(Tracker):
    """Reports the start of an event together with its end, once it is decided upon."""

    def __init__(self, decoder: SemiMarkovDecoder) -> None:
        self._decoder = decoder
        self._search = decoder.search()
        self._first = 0  # of the frames whose probabilities are kept
        self._sums = np.zeros((1, len(decoder.classes)))  # of all frames before each, and its end
        self.latency_s = (decoder.lag + decoder.step) * decoder.hop_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return what is decided by them, in order of time."""
        sums = self._sums[-1] + np.cumsum(probabilities, axis=0, dtype=np.float64)
        self._sums = np.concatenate([self._sums, sums])
        found = self._search.push(self._decoder.weighed(probabilities))
        reports = self._reports(found, known_s)
        oldest = self._search.oldest - self._first
        if oldest > 0:
            self._sums, self._first = self._sums[oldest:].copy(), self._first + oldest
        return reports

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return what is left to report of a recording that is ``duration_s`` long."""
        return self._reports(self._search.finish(), duration_s)

    def _reports(self, found: Sequence[Segment], known_s: float) -> list[StreamEvent]:
        decoder, reports = self._decoder, []
        for first, last, column in found:
            onset_s, offset_s = first * decoder.hop_s, min(last * decoder.hop_s, known_s)
            if offset_s <= onset_s:
                continue
            kept = max(0, first - self._first)
            total = self._sums[last - self._first, column] - self._sums[kept, column]
            confidence = min(1.0, float(total) / (last - self._first - kept))
            for kind, end_s in (("start", None), ("end", offset_s)):
                reports.append(
                    StreamEvent(
                        kind=kind,  # type: ignore[arg-type]
                        label=decoder.classes[column],
                        onset_s=onset_s,
                        offset_s=end_s,
                        confidence=confidence,
                    )
                )
        return in_order(reports)
