"""Finding recordings by their names in annotations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sed_cli.data.endings import AUDIO_ENDINGS
from sed_cli.data.names import by_common_suffix, parts_of, stem_of, without_suffixes
from sed_cli.data.walking import Walk, identity, walk
from sed_cli.errors import DataError

ELSEWHERE = "in another folder than named"
OTHER_ENDING = "with another ending than named"
SUFFIX = "by the name of its annotations without their suffix"
COMMON_SUFFIX = "by names that differ in one suffix, the same for all"


class Match(NamedTuple):
    """Path of a recording, or why it is unknown.

    ``guess``: how its name deviates, empty for an exact match.
    """

    path: Path
    problem: str = ""
    guess: str = ""


class AudioFolder:
    """Finds recordings by their names in annotations.

    A name is a path below the folder, in any spelling; otherwise a file of that name anywhere below
    it, with or without an ending: data sets unpack into folders that their tables do not mention.
    Of several, the one nearest to the annotations is used.

    Raises:
        DataError: if there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of recordings")
        self.folder = folder
        self._identities: dict[Path, Hashable] = {}
        self._beside: dict[tuple[Path, str], dict[str, str]] = {}

    def identity(self, path: Path) -> Hashable:
        """:func:`.identity`, cached by path."""
        if path not in self._identities:
            self._identities[path] = identity(path)
        return self._identities[path]

    def find(self, name: str, annotations: Path | None = None) -> Match:
        """Return the path of ``name``; a path that does not exist if it is not found.

        Args:
            name: as in a table.
            annotations: that table: a recording beside it takes precedence over others of the name.
        """
        exact = self.folder / name
        beside = [annotations.parent] if annotations and self._holds(annotations) else []
        for base in (*beside, self.folder):
            for spelt in dict.fromkeys((name, name.replace("\\", "/"))):
                if _is_file(base / spelt):
                    return Match(base / spelt)
        parts = parts_of(name)
        if not parts:
            return Match(exact)
        *folders, base_name = parts
        ways = (
            (self._by_name, base_name, ""),
            (self._by_stem, base_name, ""),
            (self._by_stem, stem_of(base_name), OTHER_ENDING),
        )
        for index, key, guess in ways:
            found = self._nearest(index.get(key, []), folders, name, annotations)
            if len(found) == 1:
                is_there = shared_folders(folders, found[0]) == len(folders)
                return Match(found[0], guess=guess or ("" if is_there else ELSEWHERE))
            if found:
                places = ", ".join(self.relative(path) for path in found[:3])
                return Match(exact, f"{name} may be any of {places}")
        return Match(exact)

    def find_annotated(self, annotations: Path) -> Match:
        """Return the recording of an annotation file without file names.

        It has the same name except for the ending; or the name without a usual suffix, as in
        ``x.Table.1.selections.txt`` or ``x_labels.txt`` for ``x.wav``. Of several, the one with the
        most similar folders: ``audio/train/x.wav`` for ``annotations/train/x.txt``.
        """
        stem = annotations.stem
        for named in (stem, *without_suffixes(stem)):
            parts = parts_of(named)
            last = parts[-1] if parts else ""
            for index, key, guess in (
                (self._by_name, last, ""),
                (self._by_stem, last, "" if named == stem else SUFFIX),
                (self._by_stem, stem_of(last), OTHER_ENDING),
            ):
                if match := self._only(index.get(key, []), named, annotations, guess):
                    return match
        like = self._by_common_suffix(annotations)
        if like and (match := self._only(self._by_stem[like], like, annotations, COMMON_SUFFIX)):
            return match
        return Match(self.folder / stem, f"no recording is called {stem}")

    def _only(
        self, found: Sequence[Path], named: str, annotations: Path, guess: str
    ) -> Match | None:
        near = self._nearest(found, [], named, annotations)
        if len(near) == 1:
            return Match(near[0], guess=guess)
        if near:
            places = ", ".join(self.relative(path) for path in near[:3])
            problem = f"{annotations.name} may belong to any of {places}"
            return Match(self.folder / annotations.stem, problem)
        return None

    def _by_common_suffix(self, annotations: Path) -> str | None:
        """The recording named like the file without a suffix that all files beside it have."""
        key = (annotations.parent, annotations.suffix.lower())
        if key not in self._beside:
            beside = (p for p in annotations.parent.iterdir() if p.suffix.lower() == key[1])
            stems = frozenset(parts_of(p.stem)[-1] for p in beside if parts_of(p.stem))
            self._beside[key] = by_common_suffix(stems, self._by_stem.keys())
        parts = parts_of(annotations.stem)
        return self._beside[key].get(parts[-1]) if parts else None

    def relative(self, path: Path) -> str:
        """Return the name of a recording in this folder."""
        return path.relative_to(self.folder).as_posix() if self._holds(path) else path.as_posix()

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All recordings below the folder, sorted; see :func:`.walk` for what is skipped."""
        return tuple(p for p in self.walked.files if p.suffix.lower() in AUDIO_ENDINGS)

    @cached_property
    def walked(self) -> Walk:
        """All files below the folder."""
        return walk(self.folder)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _index(self.paths, lambda path: path.name)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _index(self.paths, lambda path: path.stem)

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self.folder)

    def _nearest(
        self, paths: Sequence[Path], folders: Sequence[str], name: str, annotations: Path | None
    ) -> list[Path]:
        """Candidates among files of one name: one, or several if ambiguous."""
        if len(paths) < 2:
            return list(paths)
        found = list({self.identity(path): path for path in reversed(paths)}.values())[::-1]
        found = _best(found, lambda path: shared_folders(folders, path))
        if annotations is not None:
            near = set(annotations.parent.parts)
            found = _best(found, lambda path: path.parent == annotations.parent)
            found = _best(found, lambda path: len(near.intersection(path.parent.parts)))
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        return _best(found, lambda path: (path.name == base) + (path.stem == base))


def shared_folders(folders: Sequence[str], path: Path) -> int:
    """Count the matching folders of a file's path and name, from the lowest up."""
    there = parts_of(path.absolute().as_posix())[:-1]
    n_shared = 0
    for named, own in zip(reversed(folders), reversed(there), strict=False):
        if named != own:
            break
        n_shared += 1
    return n_shared


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False


def _best(paths: list[Path], score: Callable[[Path], int]) -> list[Path]:
    scores = [score(path) for path in paths]
    return [path for path, one in zip(paths, scores, strict=True) if one == max(scores)]


def _index(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in paths:
        index.setdefault(parts_of(key(path))[-1], []).append(path)
    return index
