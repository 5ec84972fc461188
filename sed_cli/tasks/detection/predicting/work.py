"""One recording after another: find its events, and write all requested files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from sed_cli.audio import Channels, signature
from sed_cli.audio.recorded import recorded_at
from sed_cli.config import plugins
from sed_cli.config.provenance import choose_device, set_threads
from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import WRITTEN
from sed_cli.data.cache.digests import file_digest
from sed_cli.data.endings import SCORES_ENDING
from sed_cli.decoding.holding import held_against
from sed_cli.errors import DataError, UserError
from sed_cli.system.files import full_disk, write_text
from sed_cli.system.pool import is_stopping
from sed_cli.system.shortage import shortage
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.items import AudioInput, unwritable
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.predicting.clips import (
    Cutting,
    clips_of,
    cut,
    earlier_clips,
    remove_clips,
)
from sed_cli.tasks.detection.predicting.ledger import Done
from sed_cli.tasks.detection.recording import Found, Outputs, dump_events, find_events

Progress = Callable[[float, float | None], None]
"""Called with the seconds processed so far, and the duration of the recording, if known."""

_TIMELINE_ENDING = ".timeline.png"
_CLIPS = "clips with "  # stands for all clips in the list of written files


@dataclass(frozen=True, kw_only=True)
class FileTask:
    """A recording to process.

    Args:
        item: the recording.
        name: of the recording, as a path relative to the input folder.
        known: earlier results, if only output files are missing.
    """

    item: AudioInput
    name: str
    known: Done | None = None


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """The result of processing a recording.

    Args:
        task: the recording.
        done: its events; ``None``: it failed.
        said: warnings, one line each.
        is_unread: whether it failed because it cannot be read, rather than written.
    """

    task: FileTask
    done: Done | None = None
    said: tuple[str, ...] = ()
    is_unread: bool = False


class FilePredictor:
    """Processes recordings; sent once to each process, which loads the detector on demand.

    Args:
        config: of ``sedtf predict``.
        clips_dir: folder of all clips.
        hashes: whether to hash contents, so that a later command recognises them.
    """

    def __init__(self, config: PredictConfig, clips_dir: Path, *, hashes: bool = False) -> None:
        self.config, self.clips_dir, self.hashes = config, clips_dir, hashes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "detector"}

    @cached_property
    def detector(self) -> Detector:
        """The detector, with the thresholds and minimum durations of the settings."""
        config = self.config
        plugins.use(config.plugins)
        detector = load(config.checkpoint, choose_device(config.device))
        decoder = detector.decoder.with_least(
            min_gap_s=config.min_gap_s, min_duration_s=config.min_duration_s
        )
        if config.threshold is not None:
            decoder = held_against(decoder, config.threshold)
        detector.decoder = decoder
        return detector

    def __call__(self, task: FileTask) -> FileOutcome:
        """Process a recording in a worker process, which may be stopped."""
        with set_threads(self.config.threads):
            return self.outcome(task, _stop_if_told)

    def outcome(self, task: FileTask, progress: Progress) -> FileOutcome:
        """Process a recording; failing to read or write it is an outcome too."""
        said: list[str] = []
        try:
            done = self.do(task, progress, said.append)
        except (DataError, UnwritableError) as error:
            is_unread = isinstance(error, DataError)
            return FileOutcome(task=task, said=(*said, str(error)), is_unread=is_unread)
        return FileOutcome(task=task, done=done, said=tuple(said))

    def do(self, task: FileTask, progress: Progress, say: Callable[[str], None]) -> Done:
        """Find the events of a recording unless they are known, and write missing files.

        Raises:
            DataError: if it cannot be read.
            UnwritableError: if its output files cannot be written.
            UserError: if the disk is full.
        """
        done = task.known
        if done is None or not all(done.has(path) for path in self._of_frames(task.item, done)):
            found = self.find(task, progress, say)
            done = found if done is None else done
        tables = tables_of(task.item, done.found, self.config.format)
        with _writing(task.item):
            for path, part in tables.items():
                if not done.has(path):
                    write_text(path, dump_events(part, self.config.format))
        self.cut_clips(task, done)
        marks = self._clips_mark
        written = {path.name for path in (*tables, *self._of_frames(task.item, done))}
        before = {name for name in done.written if not (marks and name.startswith(_CLIPS))}
        return replace(done, written=frozenset(before | written | marks))

    def is_complete(self, item: AudioInput, done: Done) -> bool:
        """Whether all requested files of a recording exist."""
        tables = tables_of(item, done.found, self.config.format)
        return (
            all(done.has(path) for path in (*tables, *self._of_frames(item, done)))
            and self._clips_mark <= done.written
            and all(clip.path.exists() for clip in self._clips(done))
        )

    @property
    def _clips_mark(self) -> frozenset[str]:
        """The entry that stands for clips in the list of written files."""
        clips = self.config.clips
        return frozenset([f"{_CLIPS}{self.config.clip_context_s:g} s"] if clips else [])

    def _of_frames(self, item: AudioInput, done: Done) -> Iterator[Path]:
        """Files that are written while the recording is being processed."""
        for name in done.found:
            if self.config.probabilities:
                yield item.written(SCORES_ENDING, name)
            if self.config.timeline:
                yield item.written(_TIMELINE_ENDING, name)

    def find(self, task: FileTask, progress: Progress, say: Callable[[str], None]) -> Done:
        """Find the events of a recording; scores and a picture are written along the way.

        Raises: as :meth:`do`.
        """
        item = task.item
        outputs = Outputs(
            scores=partial(item.written, SCORES_ENDING) if self.config.probabilities else None,
            timeline=partial(item.written, _TIMELINE_ENDING) if self.config.timeline else None,
        )
        path = item.absolute
        seen = signature(path) if self.hashes and path is not None else None
        try:
            content = "" if seen is None else file_digest(item.path)
        except OSError as error:
            raise DataError(f"{item.path}: cannot be opened ({error.strerror})") from error
        with item.open(say) as reader, _writing(item):
            found = find_events(
                self.detector,
                reader,
                name=item.name,
                path=path,
                channels=cast(Channels, self.config.channels),
                outputs=outputs,
                progress=lambda done_s: progress(done_s, reader.header_s),
            )
            return Done(
                name=task.name,
                path=path,
                content=content,
                signature=seen,
                sample_rate=reader.sample_rate,
                recorded=None if path is None else recorded_at(path),
                found=found,
            )

    def _clips(self, done: Done) -> list[Cutting]:
        if not self.config.clips:
            return []
        return clips_of(done.found, done.name, self.clips_dir, self.config.clip_context_s)

    @cached_property
    def _earlier_clips(self) -> dict[str, list[Path]]:
        """Listed once: thousands of recordings have tens of thousands of clips."""
        return earlier_clips(self.clips_dir)

    def cut_clips(self, task: FileTask, done: Done) -> None:
        """Write the requested clips that are missing.

        Raises: as :meth:`do`.
        """
        clips = self._clips(done)
        if self._clips_mark <= done.written:
            clips = [clip for clip in clips if not clip.path.exists()]
        elif self.config.clips:
            remove_clips(done.name, self._earlier_clips)
        if clips:
            # Problems of the recording have already been reported.
            with task.item.open(lambda _: None) as reader, _writing(task.item):
                cut(clips, reader, cast(Channels, self.config.channels))


class UnwritableError(UserError):
    """The output files of one recording cannot be written; others may be."""


def tables_of(item: AudioInput, found: Found, format: str) -> dict[Path, Found]:
    """One table, or one per channel if the format holds only one recording; keyed by path."""
    known = WRITTEN.get(format)
    ending = table_ending(format)
    if known is not None and not known.names_files and len(found) > 1:
        return {item.written(ending, name): {name: one} for name, one in found.items()}
    return {item.written(ending): found}


def table_ending(format: str) -> str:
    """The ending of event files."""
    known = WRITTEN.get(format)
    return f".events{'.jsonl' if known is None else known.ending}"


def renamed(done: Done) -> Found:
    """Events keyed by recording names as paths relative to the input folder."""
    parent = Path(done.name).parent
    return {(parent / name).as_posix(): one for name, one in done.found.items()}


def _stop_if_told(done_s: float, of_s: float | None) -> None:
    if is_stopping():
        raise KeyboardInterrupt


@contextmanager
def _writing(item: AudioInput) -> Iterator[None]:
    """Report which results could not be written, and the remedy."""
    try:
        yield
    except OSError as error:
        is_full = full_disk(error) is not None
        if error.errno is None or (not is_full and shortage(error)):  # not of the folder
            raise
        message = unwritable(item.base.parent, error)
        if is_full:
            raise UserError(message) from error
        raise UnwritableError(message) from error
