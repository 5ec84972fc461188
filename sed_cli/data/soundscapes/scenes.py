"""Class syntax, chains of events, and scenes composed of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.data.soundscapes.sources import EventSource, SourceEvent
from sed_cli.data.soundscapes.trimming import audible_span, fade_edges

FIRST_SUCCESSOR_SHARE = 0.75
"""Weight of the first of the two successors in the part of a row governed by the syntax."""

GAP_SPREAD = 0.35
"""Standard deviation of the logarithm of a gap around its class's typical one."""

LONGEST_FIRST_WAIT_S = 2.0
"""A chain's first event starts within this time of the recording's start."""

SHORTEST_REMAINDER_S = 0.1
"""An event needs this much time before the recording's end, where longer ones are cut."""

SEPARATION_S = 0.15
"""Events of one class in different chains keep this distance: closer ones would sound like one
event, and the annotation of two would be wrong."""


@dataclass(frozen=True, kw_only=True)
class Syntax:
    """A first-order class syntax.

    Args:
        classes: K labels.
        transition: ``(K, K)``; row i is the distribution of the class that follows class i. Rows
            sum to 1; so do columns of random ones, so that all classes are equally frequent.
        gap_s: ``(K,)``; typical silence after an event of each class, in seconds.
    """

    classes: tuple[str, ...]
    transition: NDArray[np.float64]
    gap_s: NDArray[np.float64]

    def as_json(self) -> dict[str, Any]:
        """Return classes, transition rows and gaps as plain lists."""
        return {
            "classes": list(self.classes),
            "transition": self.transition.tolist(),
            "gap_s": self.gap_s.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class PlacedEvent:
    """A source event placed in a recording.

    Args:
        source: the event, cut where the recording ends.
        onset: its first sample in the recording.
        chain: its chain, from 0.
        snr_db: mean power over that of the background, both over the event's interval.
    """

    source: SourceEvent
    onset: int
    chain: int
    snr_db: float

    @property
    def offset(self) -> int:
        """The sample after its last one."""
        return self.onset + len(self.source.waveform)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The events of one recording, by onset.

    Args:
        events: sorted by onset; events of one chain never overlap, nor do events of one class.
        n_samples: length of the recording.
        sample_rate: in Hz.
    """

    events: tuple[PlacedEvent, ...]
    n_samples: int
    sample_rate: int


def draw_syntax(
    classes: tuple[str, ...],
    *,
    strength: float,
    gap_s: tuple[float, float],
    rng: np.random.Generator,
) -> Syntax:
    """Draw a random class syntax.

    Each class gets two successors: the first by a random cycle through all classes, the second by a
    random permutation without fixed points that differs from the first everywhere (with fewer than
    three classes none exists, and it is the class itself). Row = strength * (3/4 first + 1/4
    second) + (1 - strength) * uniform.

    Args:
        classes: K labels, at least one.
        strength: in [0, 1]; see :class:`.SoundscapeSettings`.
        gap_s: range of the classes' typical gaps in seconds, drawn uniformly.
        rng: random generator.
    """
    n_classes = len(classes)
    identity = np.arange(n_classes)
    cycle = rng.permutation(n_classes)
    first = np.empty(n_classes, dtype=int)
    first[cycle] = np.roll(cycle, -1)
    second = identity
    if n_classes >= 3:
        while (second == identity).any() or (second == first).any():
            second = rng.permutation(n_classes)
    ruled = np.zeros((n_classes, n_classes))
    ruled[identity, first] += FIRST_SUCCESSOR_SHARE
    ruled[identity, second] += 1.0 - FIRST_SUCCESSOR_SHARE
    return Syntax(
        classes=classes,
        transition=strength * ruled + (1.0 - strength) / n_classes,
        gap_s=rng.uniform(*gap_s, size=n_classes),
    )


def compose_scene(
    source: EventSource,
    syntax: Syntax,
    *,
    split: str,
    n_samples: int,
    sample_rate: int,
    polyphony: int,
    snr_db: tuple[float, float],
    empty_fraction: float,
    stream: np.random.SeedSequence,
    shortest_s: float = 0.0,
) -> Scene:
    """Compose one recording of up to ``polyphony`` independent chains.

    Args:
        source: of the events.
        syntax: over classes of ``source``.
        split: passed to ``source``.
        n_samples: length of the recording.
        sample_rate: in Hz.
        polyphony: maximum number of chains, and so of simultaneous events.
        snr_db: range of the events' signal-to-noise ratios, drawn uniformly in dB.
        empty_fraction: probability of a recording without events.
        stream: random stream; every chain and event has its own branch.
        shortest_s: events that the recording's end would cut shorter are dropped.
    """
    rng = _branch(stream)
    n_chains = 0 if rng.random() < empty_fraction else int(rng.integers(1, polyphony + 1))
    placed: list[PlacedEvent] = []
    for chain in range(n_chains):
        composer = _ChainComposer(
            source,
            syntax,
            split,
            n_samples,
            sample_rate,
            snr_db,
            shortest_s,
            _child(stream, chain),
        )
        placed += composer.compose(chain, placed)
    events = tuple(sorted(placed, key=lambda event: (event.onset, event.chain)))
    return Scene(events=events, n_samples=n_samples, sample_rate=sample_rate)


@dataclass(frozen=True)
class _ChainComposer:
    """Properties constant along one chain."""

    source: EventSource
    syntax: Syntax
    split: str
    n_samples: int
    sample_rate: int
    snr_db: tuple[float, float]
    shortest_s: float
    stream: np.random.SeedSequence

    def compose(self, chain: int, others: list[PlacedEvent]) -> list[PlacedEvent]:
        """Return the chain's events; ``others`` are those already placed by other chains.

        Whether another event fits depends on the end of the last one and its gap, hardly on the
        next class: the end of the recording must not favour short classes, which would distort the
        transitions.
        """
        rng = _branch(self.stream)
        events: list[PlacedEvent] = []
        label = int(rng.integers(len(self.syntax.classes)))
        onset = round(rng.uniform(0.0, LONGEST_FIRST_WAIT_S) * self.sample_rate)
        while self._has_room(onset):
            drawn = self.source.draw(
                self.syntax.classes[label], self.split, _child(self.stream, len(events))
            )
            onset = self._first_free(onset, drawn, others)
            if not self._has_room(onset):
                break
            event = PlacedEvent(
                source=self._cut(drawn, onset),
                onset=onset,
                chain=chain,
                snr_db=float(rng.uniform(*self.snr_db)),
            )
            events.append(event)
            gap_s = self.syntax.gap_s[label] * np.exp(GAP_SPREAD * rng.standard_normal())
            onset = event.offset + round(gap_s * self.sample_rate)
            label = int(rng.choice(len(self.syntax.classes), p=self.syntax.transition[label]))
        return events

    def _has_room(self, onset: int) -> bool:
        needed_s = max(SHORTEST_REMAINDER_S, self.shortest_s)
        return onset + round(needed_s * self.sample_rate) <= self.n_samples

    def _first_free(self, onset: int, drawn: SourceEvent, others: list[PlacedEvent]) -> int:
        """Return the first onset with no event of the same class in ``others`` too near."""
        separation = round(SEPARATION_S * self.sample_rate)
        same = [event for event in others if event.source.label == drawn.label]
        for other in sorted(same, key=lambda event: event.onset):
            ends_before = onset + len(drawn.waveform) + separation <= other.onset
            starts_after = onset >= other.offset + separation
            if not (ends_before or starts_after):
                onset = other.offset + separation
        return onset

    def _cut(self, drawn: SourceEvent, onset: int) -> SourceEvent:
        """Return the audible part of the event before the recording's end."""
        room = self.n_samples - onset
        if len(drawn.waveform) <= room:
            return drawn
        _, stop = audible_span(drawn.waveform[:room], self.sample_rate)
        stop = max(stop, round(self.shortest_s * self.sample_rate))
        waveform = fade_edges(drawn.waveform[:stop], self.sample_rate)
        return SourceEvent(label=drawn.label, waveform=waveform, source_id=drawn.source_id)


def _child(stream: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """Return branch ``number`` + 1 of a stream: by key, so that repeated calls agree."""
    return np.random.SeedSequence(stream.entropy, spawn_key=(*stream.spawn_key, number + 1))


def _branch(stream: np.random.SeedSequence) -> np.random.Generator:
    """Return the generator of a stream's own draws: branch 0, which no child has."""
    return np.random.default_rng(
        np.random.SeedSequence(stream.entropy, spawn_key=(*stream.spawn_key, 0))
    )
