"""A bank of isolated clips: class folders of audio files, their sources, splits and content.

Nothing is decoded here: clips are identified by names and bytes; :mod:`.bank_events` decodes them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from sed_cli.data.annotations import Fault, check_faults
from sed_cli.data.listing import AudioFolder, stem_of
from sed_cli.data.soundscapes.bank_splits import (
    draw_splits,
    fold_splits,
    read_split_table,
    refuse_shared,
    split_named,
)
from sed_cli.errors import DataError
from sed_cli.system.structured import open_regular

log = logging.getLogger(__name__)

# FOLD-SOURCE-TAKE, as in ESC-10 and, with the number of the class behind it, ESC-50.
_FOLD_NAME = re.compile(r"(?P<fold>\d{1,2})-(?P<source>[^-]+)-(?:[A-Za-z]\w*(?:-\d+)?|\w+)")
# SOURCE-CLASS-OCCURRENCE-SLICE, as in UrbanSound8K.
_SLICE_NAME = re.compile(r"(?P<source>\d+)-\d+-\d+-\d+")


@dataclass(frozen=True, kw_only=True)
class BankClip:
    """An audio file of a bank.

    Args:
        file: its path below the bank, with slashes.
        label: its class.
        source: the recording it was cut from; clips of one source share its split.
        split: the only split it may be used in; ``None``: in none.
        sha256: of its content, in hexadecimal.
    """

    file: str
    label: str
    source: str
    split: str | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Bank:
    """The clips of the chosen classes, sorted by file, with their splits.

    Args:
        folder: of the clips.
        clips: all in one split only, with all clips of the same source or the same content.
        split_by: ``table``, ``folders``, ``folds`` or ``sources`` (random).
    """

    folder: Path
    clips: tuple[BankClip, ...]
    split_by: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of clips in a split, sorted."""
        return tuple(sorted({clip.label for clip in self.clips if clip.split is not None}))

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that identify content and splits, whatever the folder."""
        named = "\n".join(
            f"{clip.file}\t{clip.label}\t{clip.source}\t{clip.split}\t{clip.sha256}"
            for clip in self.clips
        )
        return hashlib.sha256(named.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class SplitRules:
    """Division of a bank without splits; see ``conf/data/soundscapes.yaml``."""

    table: Path | None = None
    group: str | None = None
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int = 0


def scan_bank(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    rules: SplitRules | None = None,
    strict: bool = True,
) -> Bank:
    """List and hash a bank, and divide it into splits so that no source is in two.

    A class is a folder directly below ``folder``, its clips are all audio files in it, however
    deep; if the folders below ``folder`` are named train, validation and test, the classes are in
    them. Hidden files, and files without an audio ending, are skipped.

    The splits are those of ``rules.table``, else of the folders, else of the folds at the start of
    file names (the last is for testing, the one before for validation) if there are three or more
    and no source is in two, else sources are divided at random.

    Args:
        folder: the bank.
        classes: the requested ones; ``None``: all.
        rules: of the splits.
        strict: reject faults that could be skipped.

    Raises:
        DataError: all faults at once: no class folders, unknown or empty classes, unreadable
            files, faults in the table, sources or contents in two splits.
    """
    rules = rules or SplitRules()
    scan = _Scan(folder, rules)
    scan.find(classes)
    clips, split_by = scan.divide()
    check_faults(scan.faults, strict=strict)
    bank = Bank(folder=folder, clips=tuple(clips), split_by=split_by)
    if not bank.classes:
        raise DataError(f"data.bank={folder}: no clip in its class folders that has a split")
    log.info("%s: %d clips, splits by %s", folder, len(clips), split_by)
    return bank


@dataclass(frozen=True, kw_only=True)
class _Unsplit:
    """A clip without a split yet."""

    file: str
    label: str
    folder_split: str | None
    fold: int | None
    source: str
    sha256: str = ""


@dataclass
class _Scan:
    """A scan of a bank that collects faults."""

    folder: Path
    rules: SplitRules
    found: list[_Unsplit] = field(default_factory=list)
    all_files: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def find(self, classes: Sequence[str] | None) -> None:
        """Find the clips of the requested classes and hash them."""
        if not self.folder.is_dir():
            raise DataError(f"data.bank={self.folder}: no such folder; name one of class folders")
        self.all_files = [p.relative_to(self.folder).as_posix() for p in _audio(self.folder)]
        places = self._class_folders()
        wanted = self._wanted(classes, {label for label, _ in places.values()})
        for file in self.all_files:
            place = next((p for p in places if file.startswith(f"{p}/")), None)
            if place is None:
                self._fault(file, "is in no class folder", "it is skipped")
            elif places[place][0] in wanted:
                self.found.append(self._describe(file, *places[place]))
        for label in sorted(wanted - {clip.label for clip in self.found}):
            holds = "no audio file in this class folder"
            self._fault(label, holds, None if classes else "the class is skipped")
        pattern = self.rules.group
        if pattern and not any(re.search(pattern, clip.file) for clip in self.found):
            raise DataError(f"data.group={pattern} matches no path of a clip")
        self._hash()

    def _wanted(self, classes: Sequence[str] | None, there: set[str]) -> set[str]:
        if not there:
            raise DataError(
                f"data.bank={self.folder}: no folders in it; expected one folder per class, such "
                f"as {self.folder / 'dog_bark' / 'clip.wav'}"
            )
        if unknown := [label for label in classes or () if label not in there]:
            raise DataError(
                f"data.classes names {', '.join(unknown)}: the bank {self.folder} has "
                f"{', '.join(sorted(there))}"
            )
        return set(classes or there)

    def _class_folders(self) -> dict[str, tuple[str, str | None]]:
        """Return label and split (``None`` unless given by folders) by class folder."""
        tops = _visible_folders(self.folder)
        splits = {top: split_named(top) for top in tops}
        if tops and all(splits.values()):
            return {
                f"{top}/{label}": (label, splits[top])
                for top in tops
                for label in _visible_folders(self.folder / top)
            }
        return {top: (top, None) for top in tops}

    def _describe(self, file: str, label: str, folder_split: str | None) -> _Unsplit:
        stem = stem_of(file.rsplit("/", 1)[-1])
        fold = None
        source = file  # by default a clip is its own source
        if self.rules.group is not None:
            if match := re.search(self.rules.group, file):
                source = match[1] if match.re.groups else match[0]
        elif match := _FOLD_NAME.fullmatch(stem):
            fold, source = int(match["fold"]), match["source"]
        elif match := _SLICE_NAME.fullmatch(stem):
            source = match["source"]
        return _Unsplit(file=file, label=label, folder_split=folder_split, fold=fold, source=source)

    def _hash(self) -> None:
        def digest(clip: _Unsplit) -> str | OSError:
            try:
                return file_sha256(self.folder / clip.file)
            except OSError as error:
                return error

        # Hashing lets other threads run.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            digests = list(threads.map(digest, self.found))
        hashed = []
        for clip, sha256 in zip(self.found, digests, strict=True):
            if isinstance(sha256, OSError):
                message = f"cannot be read ({sha256.strerror})"
                self._fault(clip.file, message, "the clip is skipped")
            else:
                hashed.append(replace(clip, sha256=sha256))
        self.found = hashed

    def divide(self) -> tuple[list[BankClip], str]:
        """Return the clips with their splits, and what decided them."""
        splits, split_by = self._splits()
        clips = [
            BankClip(
                file=clip.file,
                label=clip.label,
                source=clip.source,
                split=splits.get(clip.file),
                sha256=clip.sha256,
            )
            for clip in self.found
        ]
        by_source = {clip.file: f"source {clip.source}" for clip in self.found}
        by_content = {clip.file: f"content {clip.sha256[:12]}" for clip in self.found}
        for names in (by_source, by_content):
            self.faults += refuse_shared(self.rules.table or self.folder, splits, names)
        return clips, split_by

    def _splits(self) -> tuple[dict[str, str | None], str]:
        if self.rules.table is not None:
            splits, faults = read_split_table(self.rules.table, self.all_files)
            self.faults += faults
            unnamed = [clip.file for clip in self.found if clip.file not in splits]
            if unnamed:
                log.warning(
                    "%s: %d of %d clips are not listed and are skipped, the first is %s",
                    *(self.rules.table, len(unnamed), len(self.found), unnamed[0]),
                )
            return {clip.file: splits.get(clip.file) for clip in self.found}, "table"
        if all(clip.folder_split for clip in self.found):
            return {clip.file: clip.folder_split for clip in self.found}, "folders"
        groups = self._groups()
        folds = {clip.file: clip.fold for clip in self.found}
        if by_folds := fold_splits(folds, groups):
            return by_folds, "folds"
        labels = {clip.file: clip.label for clip in self.found}
        return draw_splits(labels, groups, self.rules.shares, self.rules.seed), "sources"

    def _groups(self) -> Mapping[str, str]:
        """Return the group of each file: clips of one source or content must stay together."""
        first_source: dict[str, str] = {}
        root = {clip.source: clip.source for clip in self.found}

        def find(source: str) -> str:
            while root[source] != source:
                source = root[source]
            return source

        for clip in self.found:
            other = first_source.setdefault(clip.sha256, clip.source)
            root[find(clip.source)] = find(other)
        return {clip.file: find(clip.source) for clip in self.found}

    def _fault(self, file: str, message: str, repair: str | None) -> None:
        self.faults.append(Fault(self.folder / file, None, message, repair))


def file_sha256(path: Path) -> str:
    """Hash of a file's content, in hexadecimal, as printed by ``sha256sum``.

    Raises:
        OSError: if it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _audio(folder: Path) -> Sequence[Path]:
    # By their names with slashes, so that the order is the same on every file system.
    return sorted(AudioFolder(folder).paths, key=lambda path: path.as_posix())


def _visible_folders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
