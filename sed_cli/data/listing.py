"""Recordings of a data set, before their audio is examined: annotations matched with files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sed_cli.data.annotations import FORMATS, Annotations, Fault, Row
from sed_cli.data.annotations.units import SAMPLES
from sed_cli.data.annotations.unread import UNREAD_ENDINGS
from sed_cli.data.audio_folder import SUFFIX
from sed_cli.data.audio_folder import AudioFolder as AudioFolder
from sed_cli.data.claims import Claim, make_claims, settle
from sed_cli.data.endings import AUDIO_ENDINGS as AUDIO_ENDINGS
from sed_cli.data.endings import SCORES_ENDING
from sed_cli.data.manifest import Clip
from sed_cli.data.names import key_of, path_of, predicted_name
from sed_cli.data.names import stem_of as stem_of
from sed_cli.data.notes import Notes
from sed_cli.data.reading import Reading as Reading
from sed_cli.data.walking import walk
from sed_cli.errors import DataError

_ENDINGS = {".tsv", ".csv", ".txt", ".ann", ".lab", ".tab", ".json"}


def _annotation_endings() -> set[str]:
    known = FORMATS.values()
    return (
        _ENDINGS
        | UNREAD_ENDINGS
        | {end.lower() for each in known for end in (each.ending, *each.more_endings)}
    )


def list_recordings(
    annotations: Path, audio: Path | None, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    """List the recordings of a split, or of a data set without splits.

    Args:
        annotations: a file, or a folder of files: one per recording, matched by name, or tables
            that name their recordings.
        audio: folder of the recordings; None: no search; annotations without file names then belong
            to a recording named like them.
        reading: how the annotations are read; it collects notes on guesses.

    Returns:
        Recordings in the order of the annotations, each file of audio once, and the faults
        found.

    Raises:
        DataError: if a path is missing, or a folder holds no annotations.
    """
    if audio is None:
        return _list_without_audio(annotations, reading)
    folder = AudioFolder(audio)
    if not annotations.is_dir():
        read = [reading.read(annotations)]
        unread: list[Unread] = []
    else:
        read, unread = read_folder(annotations, folder, reading)
    listed, faults = list_files(read, folder, reading)
    faults += _say_unread(unread, listed, folder, reading)
    if annotations.is_dir() and not listed and not faults:
        endings = ", ".join(sorted(_annotation_endings() - UNREAD_ENDINGS))
        raise DataError(f"{annotations}: the folder contains no annotations ({endings})")
    return listed, faults


def list_files(
    read: Iterable[Annotations], folder: AudioFolder, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    """List the recordings of files of annotations, found in a folder, each once."""
    read = list(read)
    faults = [fault for one in read for fault in one.faults]
    if reading.unlabelled is None:
        read, unlabelled = _without_unlabelled(read)
        faults += unlabelled
    claims = [claim for one in read for claim in make_claims(one, folder)]
    settled: list[tuple[object, Claim]] = []
    kept: list[Claim] = []
    for claim in settle(claims, folder, reading.notes):
        if _is_empty(claim):
            reading.notes.add("empty files that belong to no recording", claim.read.path.name)
            continue
        key = folder.identity(claim.match.path) if claim.is_matched else claim.spelt
        settled.append((key, claim))
    # x.txt is nearer to x.wav than a program's x.BirdNET.results.txt.
    surest = sorted(settled, key=lambda each: each[1].match.guess == SUFFIX)
    taken = dict(reversed(surest))
    for key, claim in settled:
        if (other := taken[key]) is not claim:
            faults.append(_annotated_twice(claim, other))
        else:
            kept.append(claim)
            reading.notes.took(claim.read)
    reading.notes.looked_for(folder, [one.match.path for one in kept if one.is_matched])
    names = [folder.relative(one.match.path) if one.given is None else one.given for one in kept]
    often = Counter(names)
    return [
        Clip(
            name=name if often[name] == 1 else _unique(claim, folder),
            path=claim.match.path,
            annotations=claim.read.path,
            rows=reading.rows_of(claim.rows),
            in_samples=claim.read.taken.time_unit == SAMPLES,
            problem=claim.match.problem,
        )
        for name, claim in zip(names, kept, strict=True)
    ], faults


def _without_unlabelled(read: list[Annotations]) -> tuple[list[Annotations], list[Fault]]:
    """Skip files without labels if others have some: their classes are unknown."""
    labelled = [one for one in read if not one.is_unlabelled]
    if not any(row.event for one in labelled for row in one.rows):
        return read, []
    message = (
        "its events have no labels, but those of other files do: label them, or name their class "
        "with data.unlabelled=NAME"
    )
    repair = "the file is skipped"
    faults = [Fault(one.path, None, message, repair) for one in read if one.is_unlabelled]
    return labelled, faults


def _is_empty(claim: Claim) -> bool:
    is_named = claim.given is not None or claim.is_matched
    return not is_named and not any(row.event for row in claim.rows) and not claim.read.faults


def _annotated_twice(claim: Claim, other: Claim) -> Fault:
    also = "" if claim.spelt == other.spelt else f" (as {other.spelt})"
    name = claim.given or claim.match.path.name
    message = f"{name} is already annotated in {other.read.path.name}{also}"
    return Fault(claim.read.path, None, message, "the file is skipped")


def _unique(claim: Claim, folder: AudioFolder) -> str:
    """Distinguish recordings of the same name in tables of several folders."""
    if claim.is_matched:
        return folder.relative(claim.match.path)
    return f"{claim.read.path.parent.name}/{claim.spelt}"


def _list_without_audio(annotations: Path, reading: Reading) -> tuple[list[Clip], list[Fault]]:
    """List annotated recordings by name, merging spellings."""
    paths = annotation_files(annotations) if annotations.is_dir() else [annotations]
    base = annotations if annotations.is_dir() else annotations.parent
    listed: dict[tuple[str, ...], Clip] = {}
    faults: list[Fault] = []
    own_files, predicted = told_apart(map(reading.read, paths))
    for read in of_one_ending(own_files or predicted):
        path = read.path
        faults += read.faults
        reading.notes.took(read)
        own = path.relative_to(base).with_suffix("").as_posix()
        rows: dict[tuple[str, ...], list[Row]] = {} if read.names_files else {path_of(own): []}
        names: dict[tuple[str, ...], str] = {}
        for row in read.rows:
            name = row.filename if read.names_files else own
            key = path_of(name)
            names.setdefault(key, name)
            rows.setdefault(key, []).append(row)
        for key, of_name in rows.items():
            name = names.get(key, own)
            one = Clip(
                name=name,
                path=Path(name),
                annotations=path,
                rows=reading.rows_of(of_name),
                in_samples=read.taken.time_unit == SAMPLES,
            )
            if (other := listed.setdefault(key, one)) is not one:
                message = f"{name} is already annotated in {other.annotations.name}"
                faults.append(Fault(path, None, message, "the file is skipped"))
    if annotations.is_dir() and not listed and not faults:
        endings = ", ".join(sorted(_annotation_endings() - UNREAD_ENDINGS))
        raise DataError(f"{annotations}: the folder contains no annotations ({endings})")
    return list(listed.values()), faults


# ------------------------------------------------------------------------------- folders


class Unread(NamedTuple):
    """A file that could not be read as annotations, with the reason."""

    path: Path
    reason: str


def annotation_files(folder: Path) -> list[Path]:
    """Files below ``folder`` that may hold annotations, by their ending; sorted."""
    return [path for path in walk(folder).files if _may_annotate(path)]


def read_folder(
    folder: Path, audio: AudioFolder, reading: Reading
) -> tuple[list[Annotations], list[Unread]]:
    """Read the annotations in a folder.

    Of files that differ only in their ending, as in a data set published as text and as JAMS, those
    with the most common ending are returned. Output of ``sedtf predict`` is returned only if there
    is nothing else, and tables only if not every recording has its own file.
    """
    walked = walk(folder)
    read, unread = [], []
    for path in filter(_may_annotate, walked.files):
        try:
            read.append(reading.read(path))
        except DataError as error:
            unread.append(Unread(path, str(error)))
    for run in walked.runs:
        reading.notes.add("folders written by sedtf that are not searched", str(run))
    own, predicted = told_apart(read)
    if any(claim.is_matched for one in own for claim in make_claims(one, audio)):
        for one in predicted:
            reading.notes.add("predictions of sedtf that are skipped", str(one.path))
        read = own
    elif predicted:
        for one in predicted:
            reading.notes.add("predictions of sedtf that are read as labels", str(one.path))
        read = [*own, *_of_one_format(predicted, reading.notes)]
    read = of_one_ending(read, reading.notes)
    return _without_stray_tables(read, audio, reading), unread


def told_apart(read: Iterable[Annotations]) -> tuple[list[Annotations], list[Annotations]]:
    """Separate files of people from output of ``sedtf predict``, by their names."""
    own: list[Annotations] = []
    predicted: list[Annotations] = []
    for one in read:
        name = predicted_name(one.path)
        # A file with another recording's name in it was not written by sedtf.
        is_other = name is not None and any(
            not key_of(row.filename).startswith(key_of(name)) for row in one.rows
        )
        (own if name is None or (one.names_files and is_other) else predicted).append(one)
    return own, predicted


def _of_one_format(predicted: Iterable[Annotations], notes: Notes) -> list[Annotations]:
    """Keep one file per recording of predictions in several formats.

    Raises:
        DataError: if they differ, since one was corrected and it is unclear which.
    """
    kept: dict[tuple[Path, str], Annotations] = {}
    for one in predicted:
        key = (one.path.parent, predicted_name(one.path) or "")
        if (other := kept.setdefault(key, one)) is one:
            continue
        if _events(one) != _events(other):
            raise DataError(
                f"{one.path} and {other.path.name} contain different events of one recording: "
                f"move one of them away, or name a table with all recordings by "
                f"data.annotations=FILE"
            )
        note = f"{one.path.name} beside {other.path.name}"
        notes.add("predictions skipped: the same in another format", note)
    return list(kept.values())


def _events(read: Annotations) -> set[tuple[float, float, str]]:
    """Events at the precision common to all formats."""
    return {
        (round(row.event.onset_s, 3), round(row.event.offset_s, 3), row.event.label)
        for row in read.rows
        if row.event is not None
    }


def of_one_ending(read: Iterable[Annotations], notes: Notes | None = None) -> list[Annotations]:
    """Of files that differ only in their ending, keep those with the most common ending."""
    read = list(read)
    often = Counter(one.path.suffix.lower() for one in read)
    kept: dict[Path, Annotations] = {}
    for one in sorted(read, key=lambda one: -often[one.path.suffix.lower()]):
        stem = one.path.with_suffix("")
        if kept.setdefault(stem, one) is not one and notes is not None:
            note = f"{one.path.name} beside {kept[stem].path.name}"
            notes.add("files skipped: the same name with another ending", note)
    return sorted(kept.values(), key=lambda one: one.path)


def own_recording(read: Annotations, audio: AudioFolder) -> Path | None:
    """Return the single recording of a file named after it, if it is one."""
    match = audio.find_annotated(read.path)
    if match.problem:
        return None
    names = {row.filename for row in read.rows} if read.names_files else ()
    found = {audio.identity(audio.find(name, read.path).path) for name in names}
    return match.path if found <= {audio.identity(match.path)} else None


def _without_stray_tables(
    read: Sequence[Annotations], audio: AudioFolder, reading: Reading
) -> list[Annotations]:
    """Skip tables if each recording has its own file."""
    owned = [(one, own_recording(one, audio)) for one in read]
    single = [one for one, recording in owned if recording is not None or not one.names_files]
    tables = [one for one, recording in owned if recording is None and one.names_files]
    if not single or not tables:
        return list(read)
    annotated = {audio.identity(recording) for _, recording in owned if recording is not None}
    if not {audio.identity(path) for path in audio.paths} <= annotated:
        return list(read)
    for one in tables:
        reading.notes.add(
            "tables skipped: each recording has its own file (to use a table: "
            "data.annotations=FILE)",
            one.path.name,
        )
    return single


def _say_unread(
    unread: Iterable[Unread], listed: Sequence[Clip], audio: AudioFolder, reading: Reading
) -> list[Fault]:
    """Report unreadable files: a fault if a recording has no other annotations."""
    annotated = {audio.identity(one.path) for one in listed}
    faults = []
    for path, reason in unread:
        match = audio.find_annotated(path)
        reason = reason.removeprefix(f"{path}: ")
        if not match.problem and audio.identity(match.path) not in annotated:
            faults.append(Fault(path, None, reason, "the file is skipped"))
        else:
            reading.notes.add("files skipped: no annotations", f"{path.name} ({reason[:60]})")
    return faults


def _may_annotate(path: Path) -> bool:
    is_named = path.stem.lower() not in _NO_ANNOTATIONS
    is_scores = path.name.lower().endswith(SCORES_ENDING)
    return path.suffix.lower() in _annotation_endings() and is_named and not is_scores


_NO_ANNOTATIONS = {"readme", "license", "licence", "changelog", "credits", "about", "requirements"}
