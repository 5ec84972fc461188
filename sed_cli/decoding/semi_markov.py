"""The decoder ``semi_markov``: the most likely events, by durations, silences and their order."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import ONSET_FRAMES
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
from sed_cli.decoding.segment_scores import FrameScores
from sed_cli.decoding.segment_times import SegmentTimes
from sed_cli.decoding.segments import Segment, SegmentDecoder, SegmentModel
from sed_cli.errors import UserError

log = logging.getLogger(__name__)

_SURE = 1e-6  # minimum distance of probabilities from 0 and 1
_BLOCK = 16_384  # number of frames weighted at once
_WEIGHTS = (1.0, 0.125, 0.25, 0.5, 2.0, 4.0, 8.0)  # the first, with the first prior, is the default
_PRIORS = (0.0, 0.25, 0.5, 0.75, 1.0)
_ONSET_WEIGHTS = (0.5, 0.0, 0.25, 1.0, 2.0)  # the first one is the default
_TOUCHING = 1.5  # frames: with a shorter silence between them, events of a class touch


@dataclass(frozen=True, kw_only=True)
class SemiMarkovDecoder(TunedDecoder):
    """Viterbi over segments, on weighted log-odds of the probabilities.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        model: learnt from the training events.
        weight: of the log-odds of a frame, since neighbours are redundant.
        prior: share of the log-odds of a class's prior to subtract from those of its frames.
        lag_s: seconds after the end of an event that may still change it.
        onset_weight: of the log-odds of onsets in the first frames of an event; ``None``: of a
            model without onsets. With them probabilities are (T, 2C).
        touch_s: mean silence between touching events of a class, in seconds.
    """

    NAME: ClassVar[str] = "semi_markov"

    model: EventModel
    weight: float = _WEIGHTS[0]
    prior: float = _PRIORS[0]
    lag_s: float
    onset_weight: float | None = None
    touch_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.weight < math.inf and 0 < self.lag_s < math.inf):
            raise ValueError(f"weight {self.weight} and lag_s {self.lag_s}: expected above 0")
        if not math.isfinite(self.prior):
            raise ValueError(f"prior {self.prior}: expected a number")
        if not (self.onset_weight is None or 0 <= self.onset_weight < math.inf):
            raise ValueError(f"onset_weight {self.onset_weight}: expected 0 or more")
        if not 0 <= self.touch_s < math.inf:
            raise ValueError(f"touch_s {self.touch_s}: expected 0 or more")

    @property
    def takes_onsets(self) -> bool:
        """Whether probabilities include onsets."""
        return self.onset_weight is not None

    @cached_property
    def _segments(self) -> SegmentModel:
        return self.searched.segments()

    @property
    def searched(self) -> EventModel:
        """The model for the search."""
        return self.model

    @property
    def lag(self) -> int:
        """Number of frames after an event's end that may still change it."""
        return max(1, math.ceil(self.lag_s / self.hop_s))

    @property
    def step(self) -> int:
        """Number of frames between decisions."""
        return max(1, self.lag // 2)

    def search(self) -> SegmentDecoder:
        """Start decoding a recording."""
        starts = self.takes_onsets
        return SegmentDecoder(self._segments, lag=self.lag, step=self.step, starts=starts)

    def weighed(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores of frames (T, C): weighted log-odds of their probabilities."""
        sure = np.clip(probabilities.astype(np.float64), _SURE, 1 - _SURE)
        log_odds: NDArray[np.float64] = np.log(sure / (1 - sure)) - self.prior * self.model.priors
        return self.weight * log_odds

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset."""
        self.check(probabilities)
        times, end_s = SegmentTimes(self), math.inf if duration_s is None else duration_s
        found = [times.detection(one, probabilities, 0, end_s) for one in self.spans(probabilities)]
        return sorted(event for event in found if event is not None)

    def spans(self, probabilities: NDArray[np.floating]) -> list[Segment]:
        """Events in frames, in order of onset, in the memory of a block."""
        search, scores, found = self.search(), FrameScores(self), list[Segment]()
        for start in range(0, len(probabilities), _BLOCK):
            found += search.push(scores.push(probabilities[start : start + _BLOCK]))
        found += search.push(scores.finish())
        return sorted([*found, *search.finish()])

    def check(self, probabilities: NDArray[np.floating]) -> None:
        """Reject probabilities of another shape than (T, C), or with onsets (T, 2C)."""
        n_columns = len(self.classes) * (2 if self.takes_onsets else 1)
        if probabilities.ndim != 2 or probabilities.shape[1] != n_columns:
            raise ValueError(
                f"probabilities of shape {probabilities.shape}: expected (T, {n_columns})"
            )

    def tracker(self) -> Tracker:
        """Create a tracker that finds the same events in streamed probabilities."""
        return _SemiMarkovTracker(self)

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        return {
            "weight": self.weight,
            "prior": self.prior,
            "lag_s": self.lag_s,
            "model": self.model.as_json(self.classes),
            **self._onsets_as_json(),
            **self.tuned_as_json(),
        }

    def _onsets_as_json(self) -> dict[str, Any]:
        if not self.takes_onsets:
            return {}
        return {"onset_weight": self.onset_weight, "touch_s": self.touch_s}

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
            **cls._onsets_from_json(values),
            **cls.own_from_json(values),
            **cls.tuned_from_json(values),
        )

    @staticmethod
    def _onsets_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: float(values[key]) for key in ("onset_weight", "touch_s") if key in values}

    @classmethod
    def own_from_json(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Additional arguments of a subclass."""
        return {}


def fit(task: Fitting, order: int, lag_s: float) -> SemiMarkovDecoder:
    """Learn from the training events, and tune the weight and the prior on validation.

    Raises:
        UserError: without training events.
    """
    model = learn(task, order, SemiMarkovDecoder.NAME)
    log.info(
        "semi_markov: %s",
        f"classes do not overlap in training: one chain of events, of order {order}"
        if model.joint
        else "classes overlap in training: one chain each, ignoring the order of classes",
    )
    plain = SemiMarkovDecoder(
        classes=task.classes,
        hop_s=task.hop_s,
        model=model,
        lag_s=lag_s,
        **start_settings(task),
    )
    return with_onsets(task, tuned(task, weighings(plain), "all classes")) if task.tunes else plain


def start_settings(task: Fitting) -> dict[str, Any]:
    """Arguments of a decoder for the onsets of the model, if it has them."""
    if not task.onsets:
        return {}
    gaps = [
        later.onset_s - event.offset_s
        for clip in task.training()
        for events in _by_label(clip.events).values()
        for event, later in pairwise(events)
    ]
    touching = [max(0.0, gap) for gap in gaps if gap < _TOUCHING * task.hop_s]
    touch_s = round(float(np.mean(touching)), 5) if touching else 0.0
    return {"onset_weight": _ONSET_WEIGHTS[0], "touch_s": touch_s}


def _by_label(events: Sequence[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in sorted(events):
        found.setdefault(event.label, []).append(event)
    return found


def learn(task: Fitting, order: int, decoder: str) -> EventModel:
    """Learn durations, silences and order from the training events.

    Args:
        task: with the training split.
        order: number of past events.
        decoder: its name, for messages.

    Raises:
        UserError: without training events.
    """
    recordings = [(clip.events, clip.duration_s) for clip in task.training()]
    if not any(events for events, _ in recordings):
        raise UserError(
            f"evaluation.decoder={decoder} learns from the events of the training split, which "
            f"has none: choose another decoder"
        )
    return EventModel.of(recordings, task.classes, task.hop_s, order)


Candidate = TypeVar("Candidate", bound=SemiMarkovDecoder)


def weighings(plain: Candidate) -> dict[str, Candidate]:
    """Decoders with each weight of the log-odds and each share of the prior, by description."""
    return {
        f"weight of the log-odds {weight:g}, share of the prior removed {prior:g}": replace(
            plain, weight=weight, prior=prior
        )
        for weight, prior in product(_WEIGHTS, _PRIORS)
    }


def with_onsets(task: Fitting, decoder: Candidate) -> Candidate:
    """Tune the weight of onsets, if the model has them."""
    if not decoder.takes_onsets:
        return decoder
    candidates = {
        f"weight of the onsets {weight:g}": replace(decoder, onset_weight=weight)
        for weight in _ONSET_WEIGHTS
    }
    return tuned(task, candidates, "onsets")


def tuned(task: Fitting, candidates: Mapping[str, Candidate], what: str) -> Candidate:
    """Choose the decoder with the best F1 on validation.

    Args:
        task: with the validation split.
        candidates: by description; the first one is the default.
        what: name of the choice, for the log.
    """
    rows = list(candidates.values())
    n_events = sum(len(recording.events) for recording in task.validation)
    grid = Grid.empty(
        np.ones((1, len(rows)), np.bool_),
        np.array([n_events], np.int64),
        n_recordings=len(task.validation),
        metric=task.metric,
        collar_s=task.collar_s,
        thresholds=np.array([PLAIN_THRESHOLD]),  # there is none: only rows differ
    )
    scored = excerpts(task.scored(), len(task.validation), task.classes, task.hop_s)
    for _, probabilities, in_recording in scored:
        for row, decoder in enumerate(rows):
            active = np.zeros((len(probabilities), len(task.classes)), np.bool_)
            for first, last, column in decoder.spans(probabilities):
                # Touching events of a class would count as one: an inactive frame separates them.
                active[first:last, column] = True
                if first and active[first - 1, column] and last > first + 1:
                    active[first, column] = False
            for index, of_class in enumerate(in_recording):
                grid.add(of_class, 0, row, active[:, index, None], np.zeros(1, np.intp))
    point = grid.choose(0)
    choice = Choice(
        what=list(candidates)[point.row],
        reason=point.reason,
        n_events=point.n_events,
        gain=point.gain,
    )
    log_choices([what], [choice])
    notes = dict.fromkeys(task.classes, choice.note)
    return replace(rows[point.row], tuned_for=task.metric, tuning=notes)


class _SemiMarkovTracker(Tracker):
    """Reports the start of an event together with its end, once it is decided."""

    def __init__(self, decoder: SemiMarkovDecoder) -> None:
        self._decoder = decoder
        self._search, self._times = decoder.search(), SegmentTimes(decoder)
        self._scores = FrameScores(decoder)
        self._start = 0  # number of the first frame kept
        ahead = ONSET_FRAMES if decoder.takes_onsets else 0
        n_columns = len(decoder.classes) * (2 if decoder.takes_onsets else 1)
        self._kept = np.zeros((0, n_columns), np.float32)
        self.latency_s = (decoder.lag + decoder.step + ahead) * decoder.hop_s

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C), or with onsets (t, 2C); return the reports that they decide."""
        self._kept = np.concatenate([self._kept, probabilities])
        reports = self._reports(self._search.push(self._scores.push(probabilities)), known_s)
        # The frame before an event refines its onset.
        n_old = self._search.oldest - 1 - self._start
        if n_old > 0:
            self._kept, self._start = self._kept[n_old:].copy(), self._start + n_old
        return reports

    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""
        found = self._search.push(self._scores.finish())
        return self._reports([*found, *self._search.finish()], duration_s)

    def _reports(self, found: Sequence[Segment], known_s: float) -> list[StreamEvent]:
        reports = []
        for segment in found:
            event = self._times.detection(segment, self._kept, self._start, known_s)
            if event is None:
                continue
            for kind, end_s in (("start", None), ("end", event.offset_s)):
                reports.append(
                    StreamEvent(
                        kind=kind,  # type: ignore[arg-type]
                        label=event.label,
                        onset_s=event.onset_s,
                        offset_s=end_s,
                        confidence=event.confidence,
                    )
                )
        return in_order(reports)
