"""Sources of isolated events, which soundscapes place in time.

A source is responsible for splits: no event of one split may be used in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sed_cli.data.soundscapes.trimming import Waveform, choose_stretch, fade_edges
from sed_cli.data.soundscapes.voices import synthesise
from sed_cli.errors import DataError

ATTEMPTS = 100
"""Number of attempts to synthesise an event that is long enough."""


@dataclass(frozen=True, kw_only=True)
class SourceEvent:
    """An isolated event.

    Args:
        label: its class.
        waveform: ``(n_samples,)``, audible from the first sample to the last, not silent.
        source_id: identifies the event within its source: equal only for equal events.
    """

    label: str
    waveform: Waveform
    source_id: str


class EventSource(Protocol):
    """A source of isolated events of known classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its events."""
        ...

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        """Return an event of ``label`` for ``split``; the same arguments give the same event.

        Args:
            label: one of ``classes``.
            split: the split that uses it; events of different splits are never the same.
            stream: the only random stream of the event.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ProceduralEvents:
    """Synthesises every event: no two are the same, within a split or between splits.

    Streams must differ between events; then splits need no special treatment.

    Args:
        classes: keys of :data:`.VOICES`.
        sample_rate: in Hz.
        event_duration_s: shortest and longest event: an event is synthesised again until it is long
            enough, and cut to an excerpt if too long.
    """

    classes: tuple[str, ...]
    sample_rate: int
    event_duration_s: tuple[float, float] | None = None

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        """Return an event of ``label``; see :meth:`EventSource.draw`.

        Raises:
            DataError: if no event of a class is long enough.
        """
        waveform = self._synthesise(label, np.random.default_rng(stream))
        key = ".".join(str(part) for part in stream.spawn_key)
        return SourceEvent(label=label, waveform=waveform, source_id=f"{label}:{split}:{key}")

    def _synthesise(self, label: str, rng: np.random.Generator) -> Waveform:
        if self.event_duration_s is None:
            return synthesise(label, rng, self.sample_rate)
        longest = 0
        for _ in range(ATTEMPTS):
            event = synthesise(label, rng, self.sample_rate)
            if len(event) >= self.event_duration_s[0] * self.sample_rate:
                start, stop = choose_stretch(event, self.sample_rate, self.event_duration_s, rng)
                return fade_edges(event[start:stop], self.sample_rate)
            longest = max(longest, len(event))
        raise DataError(
            f"data.event_duration_s={list(self.event_duration_s)}: of {ATTEMPTS} events of {label} "
            f"the longest lasted {longest / self.sample_rate:.2f} s; allow shorter ones, or "
            f"remove the class from data.classes"
        )
