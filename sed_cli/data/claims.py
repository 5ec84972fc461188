"""Matching of names in annotations with recordings, resolving conflicts.

Each name is first resolved by itself; conflicts only show once all names of a data set are
known: two sites may have files of the same name, one of which is missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sed_cli.data.annotations import Annotations, Row
from sed_cli.data.audio_folder import SUFFIX, AudioFolder, Match, shared_folders
from sed_cli.data.names import parts_of, path_of
from sed_cli.data.notes import Notes


@dataclass(frozen=True)
class Claim:
    """Rows of one annotation file, and their recording.

    Args:
        read: the file.
        given: its name for the recording; None if it has none.
        rows: of that recording.
        match: the matched recording.
    """

    read: Annotations
    given: str | None
    rows: tuple[Row, ...]
    match: Match

    @cached_property
    def is_matched(self) -> bool:
        """Whether the recording exists."""
        return not self.match.problem and self.match.path.is_file()

    @property
    def is_bare(self) -> bool:
        """Whether the recording is named without folders."""
        return self.given is None or len(parts_of(self.given)) < 2

    @property
    def spelt(self) -> str:
        """Name of the recording in the file, or of the file."""
        return self.given if self.given is not None else self.read.path.name


def make_claims(read: Annotations, audio: AudioFolder) -> list[Claim]:
    """Match the names in one file with recordings, each by itself."""
    if not read.names_files:
        if not read.rows:  # all dropped: its events are unknown
            return []
        match = audio.find_annotated(read.path)
        if match.problem and read.hint:
            match = match._replace(problem=f"{match.problem}; {read.hint}")
        return [Claim(read, None, read.rows, match)]
    rows: dict[str, list[Row]] = {}
    for row in read.rows:
        rows.setdefault(row.filename, []).append(row)
    return [
        Claim(read, given, tuple(of_name), audio.find(given, read.path))
        for given, of_name in rows.items()
    ]


def settle(claims: Sequence[Claim], audio: AudioFolder, notes: Notes) -> list[Claim]:
    """Reject conflicting claims, and merge spellings of one recording in one file.

    Returns:
        Claims in the given order, merged by file and recording; rejected ones have a problem as
        match. Two files that claim one recording remain two claims.
    """
    claims = _refuse_other_folders(claims, audio)
    claims = _refuse_other_sites(claims, audio)
    claims = _refuse_second_guesses(claims, audio)
    for claim in claims:
        if claim.is_matched and claim.match.guess:
            found = f"{claim.spelt} for {audio.relative(claim.match.path)}"
            notes.add(f"recordings found {claim.match.guess}", found)
    return _join(claims, audio, notes)


def _refuse_other_folders(claims: Sequence[Claim], audio: AudioFolder) -> list[Claim]:
    """Require the folders in names to match, as far as those of any recording do.

    Paths from another machine all start with the same folders, which do not exist here: a name that
    starts differently belongs to a missing recording.
    """
    prefixes = [_prefix(claim) for claim in claims]
    often = Counter(prefix for prefix, n_shared in prefixes if n_shared)
    if not often:
        return list(claims)
    ((usual, _),) = often.most_common(1)
    return [
        _refused(claim, audio, "lies in another folder")
        if claim.is_matched and not claim.is_bare and prefix != usual
        else claim
        for claim, (prefix, _) in zip(claims, prefixes, strict=True)
    ]


def _prefix(claim: Claim) -> tuple[tuple[str, ...], int]:
    """The folders of a name that do not match its recording, and the number that do."""
    if claim.is_bare or not claim.is_matched or claim.given is None:
        return (), 0
    folders = parts_of(claim.given)[:-1]
    n_shared = shared_folders(folders, claim.match.path)
    return folders[: len(folders) - n_shared], n_shared


def _refuse_other_sites(claims: Sequence[Claim], audio: AudioFolder) -> list[Claim]:
    """Reject a recording in the folder of other annotations.

    ``a/x.txt`` and ``b/x.txt`` belong to ``a/x.wav`` and ``b/x.wav``: if one of these is missing,
    its labels do not apply to the other.
    """
    counts: dict[Path, Counter[Path]] = defaultdict(Counter)
    for claim in claims:
        if claim.is_matched:
            counts[claim.match.path.parent][claim.read.path.parent] += 1
    home = {
        folder: max(of_folder, key=lambda one: (of_folder[one], one == folder, one.as_posix()))
        for folder, of_folder in counts.items()
    }
    settled = []
    for claim in claims:
        own, theirs = claim.read.path.parent, claim.match.path.parent
        is_path = claim.given is not None and theirs == (audio.folder / claim.given).parent
        is_theirs = (
            claim.is_matched
            and claim.is_bare
            and not is_path
            and home[theirs] not in (own, *own.parents)
        )
        if is_theirs and own in home.values():
            claim = _refused(claim, audio, f"is annotated from {home[theirs]}")
        settled.append(claim)
    return settled


def _refuse_second_guesses(claims: Sequence[Claim], audio: AudioFolder) -> list[Claim]:
    """Reject a guess if another name matches the recording exactly, or another guess is as good."""
    by_file = _grouped(claims, lambda claim: audio.identity(claim.match.path))
    settled = []
    for claim in claims:
        others = by_file[audio.identity(claim.match.path)] if claim.is_matched else [claim]
        # For a name that shares a folder with its recording, conflicts are resolved above.
        guessed = claim.match.guess not in ("", SUFFIX) and not _prefix(claim)[1]
        if guessed and any(one.match.guess in ("", SUFFIX) for one in others):
            claim = _refused(claim, audio, "is annotated under its own name")
        elif guessed and len({path_of(one.spelt) for one in others}) > 1:
            claim = _refused(claim, audio, "matches other names equally well")
        elif others_nearer := [one for one in others if _is_nearer(one, claim)]:
            claim = _refused(claim, audio, f"is annotated by {others_nearer[0].read.path}")
        settled.append(claim)
    return settled


def _is_nearer(one: Claim, claim: Claim) -> bool:
    """Whether one of two annotation files of the same name is nearer to their recording."""

    def nearness(claim: Claim) -> tuple[bool, int]:
        own, there = claim.read.path.parent, claim.match.path.parent
        return own == there, len(set(own.parts).intersection(there.parts))

    return (
        claim.is_bare
        and one.is_bare
        and one.read.path != claim.read.path
        and one.read.path.name == claim.read.path.name
        and nearness(one) > nearness(claim)
    )


def _join(claims: Sequence[Claim], audio: AudioFolder, notes: Notes) -> list[Claim]:
    by_file = _grouped(
        claims,
        lambda claim: (
            (claim.read.path, audio.identity(claim.match.path))
            if claim.is_matched
            else (claim.read.path, claim.spelt)
        ),
    )
    joined = []
    for same in by_file.values():
        if len(same) == 1:
            joined.append(same[0])
            continue
        path = same[0].match.path
        name = audio.relative(path)
        spellings = " and ".join(claim.spelt for claim in same)
        notes.add("names of one recording, merged", f"{spellings} for {name}")
        rows = sorted((row for claim in same for row in claim.rows), key=lambda row: row.line or 0)
        joined.append(replace(same[0], given=name, rows=_once(rows, name, notes)))
    return joined


def _once(rows: Iterable[Row], name: str, notes: Notes) -> tuple[Row, ...]:
    """Drop events that occur under both spellings."""
    kept: dict[object, Row] = {}
    for row in rows:
        if kept.setdefault(row.event, row) is not row and row.event is not None:
            notes.add("the same event under two spellings of its recording, kept once", name)
    return tuple(kept.values())


def _refused(claim: Claim, audio: AudioFolder, why: str) -> Claim:
    found = audio.relative(claim.match.path)
    path = audio.folder / (claim.given or claim.read.path.stem)
    problem = f"{claim.spelt} has no recording: {found} {why}"
    return replace(claim, match=Match(path, problem))


def _grouped(claims: Iterable[Claim], key: Callable[[Claim], object]) -> dict[object, list[Claim]]:
    groups: dict[object, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(key(claim), []).append(claim)
    return groups
