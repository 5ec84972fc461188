"""Which recordings a set lists, before their audio is looked at: annotations matched with files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sed_cli.data.annotations import FORMATS, Annotations, Fault, Row, read_annotations
from sed_cli.data.endings import AUDIO_ENDINGS as AUDIO_ENDINGS
from sed_cli.errors import DataError
from sed_cli.schema import AnnotatedConfig, LabelsConfig

ANNOTATION_ENDINGS = {".tsv", ".csv", ".txt", ".ann", ".lab", ".tab", ".json"}
ANNOTATION_ENDINGS |= {known.ending for known in FORMATS.values()}


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A recording as its set lists it.

    Args:
        name: as the set writes it; unique within a split.
        audio: where it should lie; whether it does is checked later.
        annotations: the file that its events stand in: what faults name.
        rows: of that file.
        problem: why it is not known where it lies; empty where it is.
    """

    name: str
    audio: Path
    annotations: Path
    rows: tuple[Row, ...]
    problem: str = ""

    @property
    def labels(self) -> set[str]:
        """Labels of its events."""
        return {row.event.label for row in self.rows if row.event is not None}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The splits of a set, and all faults found while listing them.

    Args:
        splits: recordings by split.
        faults: of annotations; raised or repaired together with those of the audio.
        classes: labels that the set itself names, in its order; None: those of its training split.
    """

    splits: dict[str, list[Listed]]
    faults: tuple[Fault, ...] = ()
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How annotations are read; see :func:`.read_annotations`."""

    columns: Mapping[str, str | None] = field(default_factory=dict)
    event_duration_s: float | None = None
    soft_threshold: float = 0.5
    whole_clips: bool = False
    time_unit: str = "auto"
    decimal_mark: str = "auto"
    soft_labels: bool | None = None

    @classmethod
    def of(cls, data: AnnotatedConfig | LabelsConfig) -> Reading:
        """What a configuration says."""
        return cls(
            columns=data.columns,
            event_duration_s=data.event_duration_s,
            soft_threshold=data.soft_threshold,
            whole_clips=isinstance(data, AnnotatedConfig) and data.whole_clips,
            time_unit=data.time_unit,
            decimal_mark=data.decimal_mark,
            soft_labels=data.soft_labels,
        )

    def read(self, path: Path) -> Annotations:
        """Read one file."""
        return read_annotations(
            path,
            columns=self.columns,
            event_duration_s=self.event_duration_s,
            soft_threshold=self.soft_threshold,
            whole_clips=self.whole_clips,
            time_unit=self.time_unit,
            decimal_mark=self.decimal_mark,
            soft_labels=self.soft_labels,
        )


class Match(NamedTuple):
    """Where a recording lies, or why that is not known."""

    path: Path
    problem: str = ""


class AudioFolder:
    """Finds recordings by the names that annotations give them.

    A name is a path below the folder; where there is none such, a file of that name anywhere below
    it, with or without an ending: data sets unzip into folders that their tables do not know of.

    Raises:
        DataError: if there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of recordings")
        self.folder = folder

    def find(self, name: str) -> Match:
        """Return where ``name`` lies; a path that does not exist where it lies nowhere."""
        exact = self.folder / name
        if exact.is_file():
            return Match(exact)
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        ways = ((self._by_name, base), (self._by_stem, base), (self._by_stem, stem_of(base)))
        for index, key in ways:
            found = index.get(key.lower(), [])
            if len(found) == 1:
                return Match(found[0])
            if found:
                places = ", ".join(str(path.relative_to(self.folder)) for path in found[:3])
                return Match(exact, f"{name} may be any of {places}")
        return Match(exact)

    def find_annotated(self, annotations: Path) -> Match:
        """Return the recording that a file of annotations without file names belongs to.

        That is the one of the same name but for the ending; else the one whose name the file's
        begins with, as in ``x.Table.1.selections.txt`` or ``x_labels.txt`` for ``x.wav``. Of
        several, the one whose folders are called most like the file's: ``audio/train/x.wav`` for
        ``annotations/train/x.txt``.
        """
        stem = annotations.stem
        while stem:
            found = self._by_stem.get(stem.lower(), [])
            near = _most_alike(annotations, found)
            if len(near) == 1:
                return Match(near[0])
            if found:
                return Match(self.folder / stem, f"{annotations.name} may belong to several files")
            cut = max(stem.rfind("."), stem.rfind("_"))
            stem = stem[:cut] if cut > 0 else ""
        return Match(self.folder / annotations.stem, f"no recording is called {annotations.stem}")

    def relative(self, path: Path) -> str:
        """Return the name of a recording in this folder."""
        return path.relative_to(self.folder).as_posix()

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All recordings below the folder, sorted; hidden files and folders are passed over."""
        found = []
        for parent, folders, names in os.walk(self.folder, followlinks=True):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            found += [
                Path(parent) / name
                for name in sorted(names)
                if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_ENDINGS
            ]
        return tuple(found)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _index(self.paths, lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _index(self.paths, lambda path: path.stem)


def list_recordings(
    annotations: Path, audio: Path | None, reading: Reading
) -> tuple[list[Listed], list[Fault]]:
    """List the recordings of a split, or of a set without splits.

    Args:
        annotations: a file, or a folder of files: one a recording, matched by name, or tables that
            name their files.
        audio: folder of the recordings; None: none is looked for, and annotations that do not name
            theirs stand for one that is called as they are.
        reading: how the annotations are read.

    Returns:
        Recordings in the order of the annotations, and the faults found on the way.

    Raises:
        DataError: if a path is missing, or a folder holds no annotations.
    """
    match = _match_in(AudioFolder(audio)) if audio is not None else _match_nothing(annotations)
    if not annotations.is_dir():
        read = reading.read(annotations)
        return list(_list_file(read, match)), list(read.faults)
    listed: dict[str, Listed] = {}
    faults: list[Fault] = []
    for path in annotation_files(annotations):
        read = reading.read(path)
        faults += read.faults
        for one in _list_file(read, match):
            if (other := listed.get(one.name)) is not None:
                faults.append(
                    Fault(
                        path,
                        None,
                        f"{one.name} is annotated in {other.annotations.name} already",
                        "the file is passed over",
                    )
                )
            else:
                listed[one.name] = one
    if not listed and not faults:
        endings = ", ".join(sorted(ANNOTATION_ENDINGS))
        raise DataError(f"{annotations}: the folder holds no annotations ({endings})")
    return list(listed.values()), faults


def annotation_files(folder: Path) -> list[Path]:
    """Files below ``folder`` that may hold annotations, by their ending; sorted.

    Of files that differ in their ending alone, as where a set comes as text and as JAMS, those of
    the ending that most files have are returned.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ANNOTATION_ENDINGS
        and path.stem.lower() not in _NO_ANNOTATIONS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    often = Counter(path.suffix.lower() for path in found)
    kept: dict[Path, Path] = {}
    for path in sorted(found, key=lambda path: -often[path.suffix.lower()]):
        kept.setdefault(path.with_suffix(""), path)
    return sorted(kept.values())


_NO_ANNOTATIONS = {"readme", "license", "licence", "changelog", "credits", "about", "requirements"}


_Matching = Callable[[Annotations, str | None], tuple[str, Match]]
"""From annotations, and what they call a recording, to its name and where it lies."""


def _match_in(folder: AudioFolder) -> _Matching:
    def match(read: Annotations, name: str | None) -> tuple[str, Match]:
        if name is not None:
            return name, folder.find(name)
        found = folder.find_annotated(read.path)
        if found.problem and read.hint:
            found = found._replace(problem=f"{found.problem}; {read.hint}")
        return folder.relative(found.path), found

    return match


def _match_nothing(annotations: Path) -> _Matching:
    base = annotations if annotations.is_dir() else annotations.parent

    def match(read: Annotations, name: str | None) -> tuple[str, Match]:
        name = name or read.path.relative_to(base).with_suffix("").as_posix()
        return name, Match(Path(name))

    return match


def _list_file(read: Annotations, match: _Matching) -> Iterator[Listed]:
    """Match what one file annotates with recordings."""
    rows: dict[str | None, list[Row]] = {}
    if read.rows and not read.names_files:  # without rows left its events are unknown
        rows[None] = list(read.rows)
    for row in read.rows if read.names_files else ():
        rows.setdefault(row.filename, []).append(row)
    for given, of_file in rows.items():
        name, (path, problem) = match(read, given)
        yield Listed(
            name=name, audio=path, annotations=read.path, rows=tuple(of_file), problem=problem
        )


def _index(paths: Sequence[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in paths:
        index.setdefault(key(path).lower(), []).append(path)
    return index


def _most_alike(annotations: Path, paths: Sequence[Path]) -> list[Path]:
    folders = set(annotations.parent.parts)
    alike = [len(folders.intersection(path.parent.parts)) for path in paths]
    return [path for path, n in zip(paths, alike, strict=True) if n == max(alike)]


def stem_of(name: str) -> str:
    """Return a recording's name without the ending of an audio file."""
    return Path(name).stem if Path(name).suffix.lower() in AUDIO_ENDINGS else name
