"""Where isolated events come from. Soundscapes ask a source for an event and place what it gives.

A source answers for the split: no event it gives to one split may be given to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sed_cli.data.soundscapes.voices import Waveform, synthesise


@dataclass(frozen=True, kw_only=True)
class SourceEvent:
    """An isolated event.

    Args:
        label: its class.
        waveform: ``(n_samples,)``, audible from the first sample to the last, not silent.
        source_id: names the event within its source: equal for equal events only.
    """

    label: str
    waveform: Waveform
    source_id: str


class EventSource(Protocol):
    """Gives isolated events of known classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of which it has events."""
        ...

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        """Return an event of ``label`` for ``split``; the same arguments give the same event.

        Args:
            label: one of ``classes``.
            split: the split it will be heard in; events of different splits are never the same.
            stream: the one origin of all that is random about the event.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ProceduralEvents:
    """Synthesises every event anew: no two are the same, within a split or between splits.

    The streams asked with must differ between events; then splits need no further care.

    Args:
        classes: keys of :data:`.VOICES`.
        sample_rate: in Hz.
    """

    classes: tuple[str, ...]
    sample_rate: int

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        """Return an event of ``label``; see :meth:`EventSource.draw`."""
        waveform = synthesise(label, np.random.default_rng(stream), self.sample_rate)
        key = ".".join(str(part) for part in stream.spawn_key)
        return SourceEvent(label=label, waveform=waveform, source_id=f"{label}:{split}:{key}")
