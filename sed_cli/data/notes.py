"""Guesses and skipped files from listing a data set: for the log and ``sedtf data``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from sed_cli.data.annotations import Annotations
from sed_cli.data.audio_folder import AudioFolder
from sed_cli.system.text import cut_short

_SHOWN = 3


@dataclass
class Notes:
    """The files that were read, and guesses by kind, each with all its cases.

    ``is_whole``: whether all splits were listed, so that recordings without annotations are known.
    """

    is_whole: bool = True
    _sources: dict[Path, str] = field(default_factory=dict)
    _cases: dict[str, dict[str, None]] = field(default_factory=dict)
    _audio: dict[Path, AudioFolder] = field(default_factory=dict)
    _annotated: set[object] = field(default_factory=set)

    def add(self, kind: str, case: str = "") -> None:
        """Record a guess; ``case`` is its source."""
        self._cases.setdefault(kind, {}).setdefault(case)

    def took(self, read: Annotations) -> None:
        """Record a file used as annotations, with the guesses in it."""
        taken = replace(read.taken, notes=())
        self._sources[read.path] = f"{read.format}, {taken}"
        for note in read.taken.notes:
            kind, _, count = note.rpartition(": ")  # it differs from file to file
            self.add(kind, f"{count} in {read.path.name}")

    def looked_for(self, audio: AudioFolder, found: Iterable[Path]) -> None:
        """Record which recordings of a folder are annotated."""
        self._audio[audio.folder] = audio
        self._annotated.update(audio.identity(path) for path in found)

    def sources(self) -> list[dict[str, str]]:
        """Return the files used as annotations, and how each was read."""
        return [{"path": str(path), "read_as": how} for path, how in self._sources.items()]

    def lines(self) -> list[str]:
        """Return one line per kind: the files by how they were read, then the guesses."""
        unannotated = self._unannotated() if self.is_whole else []
        return [
            *self._source_lines(),
            *(_line(kind, list(cases)) for kind, cases in self._cases.items()),
            *([_line("recordings without annotations", unannotated)] if unannotated else []),
        ]

    def _source_lines(self) -> Iterator[str]:
        ordered = sorted(self._sources.items(), key=lambda source: (source[1], source[0]))
        for how, of_how in groupby(ordered, key=lambda source: source[1]):
            yield _line(f"annotations ({how})", [str(path) for path, _ in of_how])

    def _unannotated(self) -> list[str]:
        found: dict[object, str] = {}
        for audio in self._audio.values():
            for path in audio.paths:
                if (key := audio.identity(path)) not in self._annotated:
                    found.setdefault(key, audio.relative(path))
        return list(found.values())


def _line(kind: str, cases: list[str]) -> str:
    cases = [case for case in cases if case]
    if not cases:
        return kind
    count = f"{len(cases):,} " if len(cases) > 1 else ""
    return f"{count}{kind}: {cut_short(cases, _SHOWN)}"
