"""The decoder ``language``: the search of ``semi_markov``, scored by a language model of labels.

Durations and silences are those of the training events; transitions come from a model trained
on labels alone, of which there may be many more than annotated audio. The states of the search
remember a few events (:func:`.event_model.follow_probabilities`), while a language model
remembers all of them: its predictions are averaged over the positions in the training labels
that match a state.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.statistics import label_sequences
from sed_cli.decoding.decoder import Fitting
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.semi_markov import SemiMarkovDecoder, learn, tuned, weighings
from sed_cli.errors import UserError

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

LANGUAGE_WEIGHTS = (1.0, 0.25, 0.5, 2.0, 4.0)
_PLACES = (
    32  # maximum positions in the training labels over which predictions of a state are averaged
)
_LONGEST = 64  # number of labels read before such a position
_LEAST = 1e-6  # minimum probability of any label


class LabelModel(Protocol):
    """A predictor of the next label of a sequence."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def gap_s(self) -> float | None:
        """Longest silence within a sequence; ``None``: a recording is one."""

    def column(self, label: str) -> int | None:
        """Column of a label in the result of :meth:`predict`; ``None``: unknown."""

    def predict(self, prefixes: Sequence[Sequence[str]]) -> Floats:
        """Probabilities of each known label, then of the end, after prefixes: (n, L + 1).

        A prefix starts a sequence. The rest of a row to 1 is the probability of other labels.
        """


@dataclass(frozen=True, kw_only=True)
class LanguageDecoder(SemiMarkovDecoder):
    """Viterbi over segments, the order of events scored by a language model.

    Args:
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        model: durations and silences of the training events, and their order by the language model,
            unweighted.
        weight: of the log-odds of a frame.
        prior: share of the log-odds of a class's prior to subtract from those of its frames.
        lag_s: seconds after the end of an event that may still change it.
        language_weight: of the log probabilities of the language model.
        language: name of that model, for the record.
    """

    NAME: ClassVar[str] = "language"
    DECODES_AS: ClassVar[str] = "semi_markov"

    language_weight: float = LANGUAGE_WEIGHTS[0]
    language: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.language_weight < np.inf:
            raise ValueError(f"language_weight {self.language_weight}: expected at least 0")

    @property
    def searched(self) -> EventModel:
        """The model with the weighted order of events."""
        weight = self.language_weight
        return replace(
            self.model, first=weight * self.model.first, following=weight * self.model.following
        )

    def as_json(self) -> dict[str, Any]:
        """Describe it by label."""
        own = {"language": self.language, "language_weight": self.language_weight}
        return {**own, **super().as_json()}

    @classmethod
    def own_from_json(cls, values: Any) -> dict[str, Any]:
        """Additional arguments of the class, compared with ``semi_markov``."""
        return {
            "language": str(values["language"]),
            "language_weight": float(values["language_weight"]),
        }


def fit(task: Fitting, labels: LabelModel, order: int, lag_s: float) -> LanguageDecoder:
    """Get transitions from the language model, and tune the weights on validation.

    Args:
        task: with the training split, whose events do not overlap.
        labels: the language model.
        order: number of past events in a state of the search.
        lag_s: seconds after the end of an event that may still change it.

    Raises:
        UserError: for a model that knows none of the classes, or as in ``semi_markov``.
    """
    model = learn(task, order, LanguageDecoder.NAME)
    unknown = [label for label in task.classes if labels.column(label) is None]
    if len(unknown) == len(task.classes):
        raise UserError(
            f"{labels.name} knows none of the classes {', '.join(task.classes)}: expected a model "
            f"of their labels"
        )
    if unknown:
        log.warning("%s does not know %s: treated as unlikely", labels.name, ", ".join(unknown))
    spoken = _spoken(model, labels, task)
    plain = LanguageDecoder(
        classes=task.classes, hop_s=task.hop_s, model=spoken, lag_s=lag_s, language=labels.name
    )
    log.info("language: %s, in a search over %d past events", labels.name, order)
    if not task.tunes:
        return plain
    frames = tuned(task, weighings(plain), "frames")
    candidates = {
        f"weight of the language model {weight:g}": replace(frames, language_weight=weight)
        for weight in LANGUAGE_WEIGHTS
    }
    return tuned(task, candidates, "language")


def _spoken(model: EventModel, labels: LabelModel, task: Fitting) -> EventModel:
    """The model of events with their order by a language model."""
    places = _places(model, labels, task)
    prefixes = [prefix for of_state in places for prefix in of_state]
    predicted = _of_classes(labels, [[], *prefixes], task.classes)
    first, following = predicted[0], np.zeros_like(model.following)
    start = 1
    for state, of_state in enumerate(places):
        following[state] = predicted[start : start + len(of_state)].mean(axis=0)
        start += len(of_state)
    return replace(model, first=np.log(first).round(4), following=np.log(following).round(4))


def _places(model: EventModel, labels: LabelModel, task: Fitting) -> list[list[list[str]]]:
    """Prefixes of the training sequences, by the state at their end."""
    number_of = {history: number for number, history in enumerate(model.histories)}
    longest = max(map(len, model.histories))
    found: list[list[list[int]]] = [[] for _ in model.histories]
    training = [
        replace(clip, events=tuple(e for e in clip.events if e.label in task.classes))
        for clip in task.training()
    ]
    for numbers in label_sequences(training, task.classes, sequence_gap_s=labels.gap_s):
        sequence = numbers.tolist()
        for place in range(1, len(sequence) + 1):
            prefix = sequence[max(0, place - _LONGEST) : place]
            back = min(longest, place)
            while (history := tuple(prefix[-back:])) not in number_of:
                back -= 1
            found[number_of[history]].append(prefix)
    spread = [
        some[:: -(-len(some) // _PLACES)] if some else [list(history)]
        for history, some in zip(model.histories, found, strict=True)
    ]
    return [[[task.classes[n] for n in prefix] for prefix in some] for some in spread]


def _of_classes(
    labels: LabelModel, prefixes: Sequence[Sequence[str]], classes: Sequence[str]
) -> Floats:
    """Probabilities of each class as the next event after each prefix, (n, C).

    The end of a sequence is followed by another one: its share goes to the first labels.
    """
    predicted = labels.predict(prefixes)  # (n, L + 1)
    begins = predicted[0, :-1]  # of the empty prefix
    following = predicted[:, :-1] + predicted[:, -1:] * begins
    of_classes = np.full((len(prefixes), len(classes)), _LEAST)
    for number, label in enumerate(classes):
        if (column := labels.column(label)) is not None:
            of_classes[:, number] = np.maximum(following[:, column], _LEAST)
    probabilities: Floats = of_classes / of_classes.sum(axis=1, keepdims=True)
    return probabilities
