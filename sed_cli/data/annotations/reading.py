"""How the right format is found, and annotations are read and written."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sed_cli.config.registry import KINDS, components, is_ours
from sed_cli.data.annotations.events import Annotations, Event, Findings
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.numbers import MARKS
from sed_cli.data.annotations.rows import ReadOptions
from sed_cli.data.annotations.text import Text, check_lines, read_text
from sed_cli.errors import DataError


class _Formats(Mapping[str, AnnotationFormat]):
    """The formats by name, in the order in which they are tried: plugins' first, then ours.

    Args:
        is_written: whether those alone count that can be written.
    """

    def __init__(self, *, is_written: bool) -> None:
        self._is_written = is_written
        self._classes: tuple[type, ...] | None = None
        self._formats: dict[str, AnnotationFormat] = {}

    def __getitem__(self, name: str) -> AnnotationFormat:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._known()

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> Mapping[str, AnnotationFormat]:
        """Each is made once, for as long as no plugin comes or goes: all files ask for all."""
        kind = KINDS["format"]
        if self._classes != tuple(kind.found.values()):
            known = components("format")
            self._formats = {
                name: known[name]()
                for name in sorted(known, key=lambda name: is_ours(known[name]))
                if known[name].IS_WRITTEN or not self._is_written
            }
            self._classes = tuple(kind.found.values())
        return self._formats


FORMATS: Mapping[str, AnnotationFormat] = _Formats(is_written=False)
WRITTEN: Mapping[str, AnnotationFormat] = _Formats(is_written=True)


def read_annotations(
    path: Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    event_duration_s: float | None = None,
    soft_threshold: float = 0.5,
    whole_clips: bool = False,
    time_unit: str = "auto",
    decimal_mark: str = "auto",
    soft_labels: bool | None = None,
    unlabelled: str | None = None,
    unknown_label: str | None = None,
    format: str | None = None,
) -> Annotations:
    """Read annotations in any of the :data:`FORMATS`.

    Args:
        path: of the file.
        columns: our name (filename, onset, offset, duration, event_label, soft_label) to the name
            in the file's header, for those that cannot be told; ``None``: it can be.
        event_duration_s: seconds that an event lasts whose onset alone is given.
        soft_threshold: a segment whose soft label is above it is active; segments that follow one
            another are one event.
        whole_clips: whether labels of a table without times hold for the whole recording: such
            events last to infinity, and end with the recording.
        time_unit: of all times: s, ms, min, h, or samples, which stay as they are: who knows the
            recordings' rates converts them; auto: what a header says, else seconds.
        decimal_mark: point or comma; auto: told by all times of the file together.
        soft_labels: whether numbers behind the labels of a list are soft labels; else they are
            confidences, which are skipped; ``None``: told by their grid of segments.
        unlabelled: the class of events in a file without any label; ``None``: ``call``.
        unknown_label: label of spans that the annotator could not identify, given to rows without a
            label among others and to ``UNK``; ``None``: the first are dropped, the others no event.
        format: ``None``: found by content, and by ending where that does not tell.

    Returns:
        The rows, and *all* faults of the file: give them to :func:`check_faults`.

    Raises:
        DataError: if the file is missing, is no text, or fits no format; or where decimals,
            units or columns cannot be told.
    """
    named = {ours: theirs for ours, theirs in (columns or {}).items() if theirs}
    options = ReadOptions(
        columns=named,
        event_duration_s=event_duration_s,
        soft_threshold=soft_threshold,
        whole_clips=whole_clips,
        time_unit=None if time_unit == "auto" else time_unit,
        decimal_mark=MARKS[decimal_mark],
        soft_labels=soft_labels,
        unlabelled=unlabelled,
        unknown_label=unknown_label,
    )
    with _no_garbage_collection():
        text = read_text(path)
        if not any(each.fits(text, options) for each in FORMATS.values() if not each.has_lines):
            check_lines(text)
        known = _format(format, FORMATS) if format else _fitting_format(text, options)
        return known.read(text, options)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Make rows without looking for cycles, of which they have none.

    Measured: 3.5 s rather than 6.4 s for a million.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fitting_format(text: Text, options: ReadOptions) -> AnnotationFormat:
    for known in FORMATS.values():
        if known.fits(text, options):
            return known
    if text.binary:
        raise DataError(
            f"{text.path}: a MATLAB file without onsets, offsets and labels; save these three, or "
            f"export the events as CSV"
        )
    first = next((line.strip() for line in text.lines if line.strip()), "")
    got = f"begins with {first[:80]!r}" if first else "is empty"
    raise DataError(
        f"{text.path}: {got}, which is not a known format; expected such as a header "
        "'filename onset offset event_label' or lines 'onset offset label'; if a header has "
        "other names, set data.columns"
    )


def dump_annotations(
    events: Mapping[str, Iterable[Event]],
    format: str = "desed",
    *,
    durations_s: Mapping[str, float] | None = None,
) -> str:
    """Annotations of recordings as the text that :func:`write_annotations` writes.

    Args:
        events: of each recording.
        format: one of :data:`WRITTEN`.
        durations_s: of the recordings, for JAMS, which tells them.

    Raises:
        DataError: if the format cannot hold a file name or label, or not that many recordings.
    """
    events = {name: list(of_file) for name, of_file in events.items()}
    return _fitting(format, events).dump(events, durations_s or {})


def dump_findings(found: Mapping[str, Findings], format: str) -> str:
    """What was found in recordings as text, with confidences where the format holds them.

    Raises:
        DataError: if the format cannot hold a file name or label, or not that many recordings.
    """
    return _fitting(format, {name: one.events for name, one in found.items()}).dump_findings(found)


def _fitting(format: str, events: Mapping[str, Iterable[Event]]) -> AnnotationFormat:
    """The format, unless it cannot hold these names, labels, or that many recordings."""
    known = _format(format, WRITTEN)
    if not known.names_files and len(events) != 1:
        raise DataError(f"{len(events)} recordings, but a file of format {format} holds one")
    for name, of_file in events.items():
        for text in (name, *{event.label for event in of_file}):
            if any(character in text for character in "\t\n\r\0"):
                raise DataError(f"{text!r}: no tab or line break can stand in a table; rename it")
            if not text.isprintable():
                _refuse_broken(text)
    return known


def write_annotations(
    path: Path,
    events: Mapping[str, Iterable[Event]],
    format: str = "desed",
    *,
    durations_s: Mapping[str, float] | None = None,
) -> None:
    """Write annotations of recordings, times to the microsecond, in UTF-8.

    Arguments as of :func:`dump_annotations`.

    Raises:
        DataError: if the format cannot hold a file name or label, or not that many recordings.
    """
    path.write_text(
        dump_annotations(events, format, durations_s=durations_s), encoding="utf-8", newline="\n"
    )


def _refuse_broken(text: str) -> None:
    """Refuse what is no text, such as a file name in another encoding than the system's."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{text!r}: cannot be written in UTF-8; rename it") from error


def _format(name: str, among: Mapping[str, AnnotationFormat]) -> AnnotationFormat:
    if name not in among:
        raise DataError(f"format {name!r}: expected one of {', '.join(among)}")
    return among[name]
