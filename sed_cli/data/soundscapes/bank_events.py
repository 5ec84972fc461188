"""Events of a bank: detected in its clips by energy, drawn uniformly over its sources."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio import inspect_audio, read_audio
from sed_cli.config.annotations import SPLITS
from sed_cli.data.annotations import Fault, check_faults
from sed_cli.data.soundscapes.bank import Bank, BankClip
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.sources import SourceEvent
from sed_cli.data.soundscapes.trimming import audible_spans, choose_stretch, fade_edges
from sed_cli.data.soundscapes.workers import Progress, run_tasks
from sed_cli.errors import DataError

log = logging.getLogger(__name__)

SILENT_DBFS = -70.0
"""A clip with a lower peak counts as silent: amplified, its dither would be the event."""

LONGEST_CLIP_S = 600.0
"""A longer file is not an isolated clip, and reading it would take unbounded memory."""

CACHE_BYTES = 256 * 2**20
"""Memory limit of decoded clips in each process; the least recently used one is dropped first."""


@dataclass(frozen=True, kw_only=True)
class ClipEvents:
    """A clip and the events found in it.

    Args:
        clip: the clip.
        spans: first sample and the one after the last of each event, at the rate of the data set.
    """

    clip: BankClip
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Listener:
    """Decodes clips and finds their events; pickled to worker processes.

    Args:
        folder: of the bank.
        sample_rate: of the data set.
        pause_s: a longer silence ends an event.
        shortest_s: shorter events are skipped.
    """

    folder: Path
    sample_rate: int
    pause_s: float
    shortest_s: float

    def __call__(self, clip: BankClip) -> ClipEvents | Fault:
        """Return the events in a clip, or its fault."""
        path = self.folder / clip.file
        try:
            facts = inspect_audio(path)
            if facts.loss is not None:
                return _fault(path, f"{facts.loss}; copy or convert it again")
            length_s = facts.duration_s
            if length_s > LONGEST_CLIP_S:
                return _fault(path, f"lasts {length_s:.0f} s: cut it into single events")
            waveform = read_clip(path, self.sample_rate)
        except DataError as error:
            return _fault(path, str(error).removeprefix(f"{path}: "))
        peak_db = 20 * np.log10(max(np.abs(waveform).max(), 1e-30))
        if peak_db < SILENT_DBFS:
            return _fault(path, "is silent" + (f" ({peak_db:.0f} dBFS)" if peak_db > -300 else ""))
        spans = audible_spans(waveform, self.sample_rate, pause_s=self.pause_s)
        long_enough = self.shortest_s * self.sample_rate
        kept = tuple(span for span in spans if span[1] - span[0] >= long_enough)
        return ClipEvents(clip=clip, spans=kept)


def listen(
    bank: Bank,
    settings: SoundscapeSettings,
    *,
    strict: bool = True,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> BankEvents:
    """Decode the clips of a bank and find their events.

    Args:
        bank: the clips; those without a split are skipped.
        settings: of the data set for the events.
        strict: reject broken and silent clips; else skip and report them.
        n_workers: see :func:`.run_tasks`.
        progress: called with (clips done, clips in all).

    Raises:
        DataError: all broken, silent or overlong clips, and classes without an event in a split
            that has recordings.
    """
    shortest_s, _ = settings.event_duration_s or (0.0, 0.0)
    pause_s = settings.bank_pause_s or 0.0
    listener = Listener(bank.folder, settings.sample_rate, pause_s, shortest_s)
    clips = [clip for clip in bank.clips if clip.split is not None]
    found: dict[BankClip, ClipEvents | Fault] = {}
    with contextlib.closing(run_tasks(listener, clips, n_workers)) as results:
        for clip, result in results:
            found[clip] = result
            if progress is not None:
                progress(len(found), len(clips))
    in_order = [found[clip] for clip in clips]
    check_faults([result for result in in_order if isinstance(result, Fault)], strict=strict)
    usable = [result for result in in_order if isinstance(result, ClipEvents)]
    for result in usable:
        for note in inspect_audio(bank.folder / result.clip.file).notes:
            log.warning("%s: %s", bank.folder / result.clip.file, note)
    check_faults(_uncovered(bank.folder, usable, settings), strict=True)
    kept = replace(bank, clips=tuple(result.clip for result in usable))
    return BankEvents(kept, listener, usable, settings.event_duration_s)


def _fault(path: Path, message: str) -> Fault:
    return Fault(path, None, message, "the clip is skipped")


def read_clip(path: Path, sample_rate: int) -> NDArray[np.float64]:
    """Read a clip as mono at ``sample_rate``, with its DC offset removed."""
    waveform = read_audio(path, sample_rate).astype(np.float64)
    waveform -= waveform.mean()
    return waveform


def _uncovered(
    folder: Path, usable: Iterable[ClipEvents], settings: SoundscapeSettings
) -> list[Fault]:
    """Return a fault for each class without events for a split with recordings."""
    there = {(found.clip.label, found.clip.split) for found in usable if found.spans}
    needed = [split for split in SPLITS if settings.n_recordings(split)]
    faults = []
    for label in settings.classes:
        if missing := [split for split in needed if (label, split) not in there]:
            least = settings.event_duration_s and f" of at least {settings.event_duration_s[0]:g} s"
            message = (
                f"no event{least or ''} for the {' and the '.join(missing)} split: add clips of "
                f"other sources, remove the class from data.classes, or set "
                f"{' and '.join(f'data.n_{split}=0' for split in missing)}"
            )
            faults.append(Fault(folder / label, None, message))
    return faults


class BankEvents:
    """Draws events of a bank: first a source, then one of its clips, then an event in it.

    Sources are equally likely, whatever their number of clips. A clip is decoded and resampled when
    first needed, and cached within the limit.

    Args:
        bank: the clips.
        listener: the object that found the events.
        usable: the events found.
        event_duration_s: shortest and longest event; longer ones are cut to an excerpt.
    """

    def __init__(
        self,
        bank: Bank,
        listener: Listener,
        usable: Iterable[ClipEvents],
        event_duration_s: tuple[float, float] | None = None,
    ) -> None:
        self.bank = bank
        self._listener = listener
        self._duration_s = event_duration_s
        self._waveforms = _Waveforms(CACHE_BYTES)
        by_source: dict[tuple[str, str | None], dict[str, list[ClipEvents]]] = {}
        for found in sorted(usable, key=lambda found: found.clip.file):
            if found.spans:
                key = found.clip.label, found.clip.split
                of_class = by_source.setdefault(key, defaultdict(list))
                of_class[found.clip.source].append(found)
        self._sources = {key: list(sources.values()) for key, sources in by_source.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes with events in any split, sorted."""
        return tuple(sorted({label for label, _ in self._sources}))

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        """Return an event of ``label``; see :meth:`EventSource.draw`."""
        rng = np.random.default_rng(stream)
        sources = self._sources[label, split]
        clips = sources[rng.integers(len(sources))]
        found = clips[rng.integers(len(clips))]
        start, stop = found.spans[rng.integers(len(found.spans))]
        sample_rate = self._listener.sample_rate
        whole = self._waveforms.read(self._listener.folder / found.clip.file, sample_rate)
        event = whole[start:stop].astype(np.float64)
        if self._duration_s is not None:
            begin, end = choose_stretch(event, sample_rate, self._duration_s, rng)
            start, stop, event = start + begin, start + end, event[begin:end]
        return SourceEvent(
            label=label,
            waveform=fade_edges(event, sample_rate),
            source_id=f"{found.clip.file}[{start}:{stop}]",
        )


class _Waveforms:
    """Decoded clips, at most ``limit`` bytes of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[Path, int], NDArray[np.float32]] = OrderedDict()
        self._n_bytes = 0

    def read(self, path: Path, sample_rate: int) -> NDArray[np.float32]:
        key = path, sample_rate
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        waveform = read_clip(path, sample_rate).astype(np.float32)
        self._held[key] = waveform
        self._n_bytes += waveform.nbytes
        while self._n_bytes > self._limit and len(self._held) > 1:
            self._n_bytes -= self._held.popitem(last=False)[1].nbytes
        return waveform
