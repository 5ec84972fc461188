"""Decoders of probabilities into events: the working objects of components of kind ``decoder``.

A component (:class:`sed_cli.config.evaluation.DecoderConfig`) holds settings. Its ``fit``
creates a :class:`Decoder` from training results (:class:`Fitting`), its ``read`` restores it
from a checkpoint. This is the only way from probabilities to events: ``sedtf train``, ``eval``,
``predict`` and ``listen`` all use it. The threshold of the feedback is separate: it is part of
the model and stays at 0.5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.annotations import Detection as Detection
from sed_cli.data.annotations import Event
from sed_cli.errors import UserError

if TYPE_CHECKING:
    from sed_cli.data.manifest import Clip
    from sed_cli.data.sets import Recording
    from sed_cli.decoding.language import LabelModel

Scored = Iterable[tuple["Recording", NDArray[np.floating]]]
"""Recordings, each with its probabilities (T, C)."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Data for fitting a decoder, once a detector is trained.

    Attributes:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        metric: objective of tuning, by its F1.
        collar_s: tolerance of event times in seconds.
        min_gap_s: shorter silences within a class are filled.
        min_duration_s: shorter events are dropped.
        tune: whether tuning on validation is allowed.
        training: lists the recordings of the training split, with their events and durations.
        validation: those of the validation split; empty without one.
        max_false_alarms_per_hour: of each class on validation; ``None``: unlimited.
        onsets: whether probabilities include onsets, after all activities: (T, 2C).
        scored: yields validation recordings with their probabilities on each call. The first call
            runs the detector; its output is cached unless it is too long.
        language: loads the language model of labels, ``recurrent`` or ``ngram``; ``None``: none was
            named.
    """

    classes: tuple[str, ...]
    hop_s: float
    metric: str
    collar_s: float
    min_gap_s: float
    min_duration_s: float
    tune: bool
    training: Callable[[], Sequence[Clip]]
    validation: Sequence[Recording]
    scored: Callable[[], Scored]
    language: Callable[[str], LabelModel] | None = None
    max_false_alarms_per_hour: float | None = None
    onsets: bool = False

    @property
    def tunes(self) -> bool:
        """Whether tuning is requested and there are validation data."""
        return self.tune and bool(self.validation)


class Decoded(NamedTuple):
    """Events of a recording in order of onset, and their frames (T, C)."""

    detections: list[Detection]
    active: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """The start or end of an event.

    Attributes:
        kind: ``start`` or ``end``.
        label: of the event.
        onset_s: when it started, in seconds from the first sample.
        offset_s: when it ended; None for a start.
        confidence: in the event, for a start the value so far; in [0, 1].
    """

    kind: Literal["start", "end"]
    label: str
    onset_s: float
    offset_s: float | None
    confidence: float

    @property
    def time_s(self) -> float:
        """Time of the report, in seconds from the first sample."""
        return self.onset_s if self.offset_s is None else self.offset_s

    @property
    def event(self) -> Event | None:
        """The whole event, once it has ended."""
        return None if self.offset_s is None else Event(self.onset_s, self.offset_s, self.label)


class Tracker(ABC):
    """Finds events in streamed probabilities.

    Attributes:
        latency_s: maximum delay of reports after the probabilities they depend on, in seconds.
    """

    latency_s: float

    @abstractmethod
    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        """Take frames (t, C) and return the reports that they decide, in order of time.

        Args:
            probabilities: of the next frames.
            known_s: seconds of audio received so far.
        """

    @abstractmethod
    def finish(self, duration_s: float) -> list[StreamEvent]:
        """Return the remaining reports of a recording of ``duration_s``."""


def in_order(reports: Iterable[StreamEvent]) -> list[StreamEvent]:
    """Sort reports by time, the order of trackers."""
    return sorted(reports, key=lambda r: (r.time_s, r.onset_s, r.label))


@dataclass(frozen=True, kw_only=True)
class Decoder(ABC):
    """From the probabilities of a recording to its events.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
    """

    NAME: ClassVar[str]
    """Name of the component whose ``read`` undoes :meth:`as_json`."""

    GIVES_BOXES: ClassVar[bool] = False
    """Whether PSDS is computed from its :meth:`boxes`, rather than from :meth:`scores`."""

    DECODES_AS: ClassVar[str] = ""
    """Name of the decoder of which it is a special case, for exported packages."""

    classes: tuple[str, ...]
    hop_s: float

    @abstractmethod
    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset.

        Args:
            probabilities: (T, C).
            duration_s: of the recording, whose last frames may extend beyond its end; no event ends
                after it.
        """

    @abstractmethod
    def tracker(self) -> Tracker:
        """Create a tracker that finds the same events in streamed probabilities."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Describe it by label, as in ``postprocessing.json`` and ``metrics.json``.

        ``tuned_for`` is the metric that it was tuned for, or ``None``; ``tuning`` the choice for
        each class and its gain (:class:`sed_cli.decoding.choices.Choice`).
        """

    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find the events of a recording and their frames."""
        detections = self.decode(probabilities, duration_s)
        active = np.zeros(probabilities.shape, np.bool_)
        for onset_s, offset_s, label, _ in detections:
            reaches_end = duration_s is not None and offset_s >= duration_s
            last = len(active) if reaches_end else round(offset_s / self.hop_s)
            active[round(onset_s / self.hop_s) : last, self.classes.index(label)] = True
        return Decoded(detections, active)

    def boxes(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """All candidate events for any threshold; PSDS is computed from their confidences."""
        return self.decode(probabilities, duration_s)

    def events(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Event]:
        """Find the events of a recording, without confidences; see :meth:`decode`."""
        return sorted(found.event for found in self.decode(probabilities, duration_s))

    def activities(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> NDArray[np.bool_]:
        """Active frames of each class (T, C); see :meth:`decode`."""
        return self.decoded(probabilities, duration_s).active

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scores for threshold-free metrics, (T, C): the probabilities themselves."""
        return probabilities

    def with_least(self, *, min_gap_s: float | None, min_duration_s: float | None) -> Self:
        """Replace the minimum gap and the minimum duration, if given.

        Raises:
            UserError: if the decoder has no such setting.
        """
        given = {"min_gap_s": min_gap_s, "min_duration_s": min_duration_s}
        asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        unknown = sorted(set(asked) - {each.name for each in fields(self)})
        if unknown:
            raise UserError(
                f"{unknown[0]}={asked[unknown[0]]}: the decoder {self.NAME} has no such setting; "
                "drop it, or choose another evaluation.decoder"
            )
        return replace(self, **asked)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Self | None:
        """Replace the thresholds of some classes; ``None`` if the decoder has none.

        Args:
            thresholds: by label, probabilities.
        """
        return None

    def replaced(self, values: Sequence[float], by_label: Mapping[str, float]) -> tuple[float, ...]:
        """Values of all classes, with some replaced."""
        return tuple(by_label.get(*of_class) for of_class in zip(self.classes, values, strict=True))

    def detections(
        self,
        spans: Iterable[tuple[int, int, int]],
        probabilities: NDArray[np.floating],
        duration_s: float | None,
    ) -> list[Detection]:
        """Events of spans of frames, in order of onset, with their mean probabilities.

        Args:
            spans: first frame, frame after the last, column.
            probabilities: (T, C).
            duration_s: of the recording; spans that start at its end are dropped.
        """
        found = []
        for first, after, column in spans:
            onset_s, offset_s = first * self.hop_s, after * self.hop_s
            if duration_s is not None:
                offset_s = min(offset_s, duration_s)
            if offset_s > onset_s:
                mean = float(probabilities[first:after, column].mean(dtype=np.float64))
                found.append(Detection(onset_s, offset_s, self.classes[column], min(1.0, mean)))
        return sorted(found)

    def check(self, probabilities: NDArray[np.floating]) -> None:
        """Reject probabilities of another shape than (T, C)."""
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise ValueError(
                f"probabilities of shape {probabilities.shape}: expected (T, {len(self.classes)})"
            )


@dataclass(frozen=True, kw_only=True)
class FrameDecoder(Decoder):
    """A decoder that first finds active frames, and then events in them.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
    """

    def decode(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> list[Detection]:
        """Find the events of a recording, in order of onset; see :meth:`decoded`."""
        return self.decoded(probabilities, duration_s).detections

    @abstractmethod
    def decoded(
        self, probabilities: NDArray[np.floating], duration_s: float | None = None
    ) -> Decoded:
        """Find the events of a recording and their frames."""


@dataclass(frozen=True, kw_only=True)
class TunedDecoder(Decoder):
    """A decoder that records its tuning.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        tuned_for: the metric for which it was tuned; ``None``: not tuned.
        tuning: choices and reasons, by label.
    """

    tuned_for: str | None = None
    tuning: Mapping[str, Any] | None = field(default=None, compare=False)

    def tuned_as_json(self) -> dict[str, Any]:
        """Its part of :meth:`as_json`."""
        return {
            "tuned_for": self.tuned_for,
            **({} if self.tuning is None else {"tuning": dict(self.tuning)}),
        }

    @staticmethod
    def tuned_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
        """Undo :meth:`tuned_as_json`: arguments for the class.

        Raises:
            KeyError: for values that it does not write.
        """
        tuned_for = values["tuned_for"]
        return {
            "tuned_for": None if tuned_for is None else str(tuned_for),
            "tuning": values.get("tuning"),
        }


def described(decoder: Decoder) -> dict[str, Any]:
    """:meth:`Decoder.as_json` with its name for reading."""
    return {"decoder": decoder.NAME, **decoder.as_json()}


def by_label(values: Mapping[str, Any], key: str, classes: Sequence[str]) -> list[Any]:
    """Entries of ``values[key]`` for each class, in order.

    Raises:
        KeyError, TypeError, ValueError: if it does not have exactly these classes.
    """
    if set(values[key]) != set(classes):
        raise ValueError(f"{key} of {', '.join(values[key])}: expected {list(classes)}")
    return [values[key][label] for label in classes]
