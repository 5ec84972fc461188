"""RTTM, NIST's rich transcription time marks: ``SPEAKER`` lines of ten fields.

``SPEAKER file channel onset duration <NA> <NA> label <NA> <NA>``, separated by white space,
which names and labels therefore cannot contain; ``file`` is a file name without folder and ending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import ClassVar

from sed_cli.config.registry import component
from sed_cli.data.annotations.events import Annotations, Event
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.numbers import find_numbers, is_time
from sed_cli.data.annotations.rows import ReadOptions, RowCollector
from sed_cli.data.annotations.text import Text
from sed_cli.errors import DataError

_COMMENTS = (";", "#")
_N_FIELDS = 10
_LABEL = 7
_NOTHING = "<NA>"
# Types of speech transcripts beside SPEAKER lines, without events.
_OTHER_TYPES = (
    *("SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT"),
    *("IP", "SU", "CB", "A/P", "SPKR-INFO"),
)


@component("format", "rttm")
class Rttm(AnnotationFormat):
    """RTTM: SPEAKER lines with onset and duration; files by name without ending."""

    ORDER: ClassVar[int] = 2
    ending: ClassVar[str] = ".rttm"
    names_files: ClassVar[bool] = True

    def fits(self, text: Text, options: ReadOptions) -> bool:
        """Detected by its content."""
        return _fits(text, options)

    def read(self, text: Text, options: ReadOptions) -> Annotations:
        """Return all events."""
        return _read(text, options, self.name)

    def dump(self, events: Mapping[str, Iterable[Event]], durations_s: Mapping[str, float]) -> str:
        """Write it as other programs expect."""
        return _dump(events)


def _fits(text: Text, options: ReadOptions) -> bool:
    """Whether the first line that is not a comment is RTTM; by its ending if there is none."""
    for line in text.lines:
        fields = line.split()
        if fields and not fields[0].startswith(_COMMENTS):
            return len(fields) > _LABEL and fields[0] in ("SPEAKER", *_OTHER_TYPES)
    return text.path.suffix.lower() == ".rttm"


def _read(text: Text, options: ReadOptions, format: str) -> Annotations:
    """Read ``SPEAKER`` lines; RTTM omits recordings without events."""
    values = (
        (number, field)
        for number, line in enumerate(text.lines, start=1)
        if line.startswith("SPEAKER")
        for field in line.split()
        if is_time(field)
    )
    numbers = find_numbers(values, text.path, mark=options.decimal_mark, delimiter=None)
    collector = RowCollector(text, options, lasting=True, numbers=numbers)
    for number, line in enumerate(text.lines, start=1):
        fields = line.split()
        if not fields or fields[0].startswith(_COMMENTS) or fields[0] in _OTHER_TYPES:
            continue
        if fields[0] != "SPEAKER":
            collector.fault(number, f"begins with {fields[0]!r}, which is not an RTTM type")
        elif len(fields) <= _LABEL:
            collector.fault(number, f"{len(fields)} fields, but RTTM has {_N_FIELDS}")
        elif (n_words := _words_of_name(fields)) is None:
            collector.fault(
                number,
                f"{len(fields)} fields, but RTTM has {_N_FIELDS}: SPEAKER file channel onset "
                f"duration <NA> <NA> label <NA> <NA>; is there a blank in a name?",
            )
        else:
            if n_words > 1:
                collector.note("rows with blanks in the file name, whose fields are joined")
            name = " ".join(fields[1 : 1 + n_words])
            fields = fields[n_words - 1 :]
            # Some writers leave blanks in labels; confidence and lookahead come last.
            last = max(_LABEL + 1, len(fields) - 2) if len(fields) > _N_FIELDS else _LABEL + 1
            label = " ".join(fields[_LABEL:last]).replace(_NOTHING, "").strip()
            collector.add(number, name, fields[3], fields[4], label)
    is_empty = not (collector.rows or collector.faults)
    return collector.finish(format, names_files=not is_empty)


def _words_of_name(fields: list[str]) -> int | None:
    """The number of fields in a file name, from the position of the fixed fields.

    These are two numbers and twice ``<NA>`` after the channel. ``None``: they occur nowhere, or
    several times.
    """
    if len(fields) <= _N_FIELDS and fields[5] == fields[6] == _NOTHING:
        return 1
    places = [
        n_words
        for n_words in range(1, len(fields) - _LABEL + 1)
        if fields[n_words + 4 : n_words + 6] == [_NOTHING, _NOTHING]
        and is_time(fields[n_words + 2])
        and is_time(fields[n_words + 3])
    ]
    if len(places) == 1:
        return places[0]
    # Some writers put something else there; faults in times are reported for their own fields.
    if not places and len(fields) <= _N_FIELDS and not is_time(fields[5]):
        return 1
    return None


def _dump(events: Mapping[str, Iterable[Event]]) -> str:
    """``SPEAKER`` lines; white space in names and labels becomes an underscore."""
    files = _joined({name: PurePath(name).stem for name in events}, "file names")
    events = {files[name]: list(of_file) for name, of_file in events.items()}
    labels = {event.label: event.label for of_file in events.values() for event in of_file}
    labels = _joined(labels, "labels")
    lines: list[str] = []
    for name, of_file in events.items():
        for event in of_file:
            duration_s = max(round(event.offset_s, 6) - round(event.onset_s, 6), 1e-6)
            lines.append(
                f"SPEAKER {name} 1 {event.onset_s:.6f} {duration_s:.6f} {_NOTHING} {_NOTHING} "
                f"{labels[event.label]} {_NOTHING} {_NOTHING}\n"
            )
    return "".join(lines)


def _joined(texts: Mapping[str, str], what: str) -> dict[str, str]:
    """Replace white space by underscores, and reject names that would become equal."""
    joined = {text: "_".join(short.split()) for text, short in texts.items()}
    owners: dict[str, str] = {}
    for text, short in joined.items():
        if short in owners:
            raise DataError(
                f"the {what} {owners[short]!r} and {text!r} are both {short!r} in RTTM, which has "
                f"neither blanks nor endings; rename one or choose another format"
            )
        owners[short] = text
    return joined
