"""Discovery of annotations, by name and content, and audio in a folder without settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import AnnotatedConfig
from sed_cli.data.annotations import Annotations
from sed_cli.data.listing import (
    AudioFolder,
    Reading,
    annotation_files,
    of_one_ending,
    own_recording,
    told_apart,
)
from sed_cli.data.splits import SPLIT_WORDS
from sed_cli.data.walking import identity
from sed_cli.errors import DataError
from sed_cli.system.text import cut_short

_SHOWN = 6
_SHOWN_REASONS = 2
_LOOKED_UP = 20  # names of a table used to locate its audio
_UNSPLIT = AnnotatedConfig()


@dataclass(frozen=True)
class _Found:
    """An annotation file; ``audio``: its recording, if it has a single one of the same name."""

    path: Path
    read: Annotations
    audio: Path | None = None


def discover(data: AnnotatedConfig, folder: Path, reading: Reading) -> AnnotatedConfig:
    """Locate annotations and recordings of a data set if its configuration does not.

    That is the case if it names nothing and none of the default tables exists. The result is noted,
    with the equivalent settings.

    Args:
        data: the configuration.
        folder: of the data set.
        reading: how annotations are read; it keeps the notes on what is skipped.

    Raises:
        DataError: if there are no recordings, no annotations, or several candidates; it lists them,
            with the settings that choose.
    """
    if data.annotations is not None or not _names_nothing(data, folder):
        return data
    audio = AudioFolder(folder)
    if not audio.paths:
        runs = [str(run) for run in audio.walked.runs]
        passed_over = f" (folders with a run.json are not searched: {runs[0]})" if runs else ""
        raise DataError(
            f"{folder}: contains no recordings{passed_over}; name the folder of the data set "
            "with data.root"
        )
    files, unread = _annotations(folder, audio, reading)
    tables = [file for file in files if file.audio is None]
    settings = (
        _split_tables(tables, folder, audio)
        or _split_folders([file for file in files if file.audio is not None], folder)
        or _without_splits(tables, files, folder, audio, reading)
    )
    if settings is None:
        raise DataError(_say_what_there_is(folder, files, audio, unread))
    found = _apply(data, settings)
    said = " ".join(f"{key}={value}" for key, value in settings.items())
    reading.notes.add(f"{folder}: taking {said}")
    return found


def _names_nothing(data: AnnotatedConfig, folder: Path) -> bool:
    """Whether all splits are the default ones and none of their tables exists."""
    for name in SPLITS:
        split, default = getattr(data, name), getattr(_UNSPLIT, name)
        if split is not None and (
            split.annotations != default.annotations or (folder / split.annotations).exists()
        ):
            return False
    return True


def _annotations(
    folder: Path, audio: AudioFolder, reading: Reading
) -> tuple[list[_Found], list[str]]:
    """Read possible annotation files; keep valid ones, and the reasons for the others.

    Predictions of sedtf count only if there is nothing else, whether corrected or not.
    """
    read, unread = [], []
    for path in annotation_files(folder):
        try:
            read.append(reading.read(path))
        except DataError as error:
            unread.append(str(error))
    own, predicted = told_apart(read)
    unread += [str(fault) for one in own if not one.rows for fault in one.faults[:1]]
    return list(_found(own, audio)) or list(_found(predicted, audio)), unread


def _found(read: Iterable[Annotations], audio: AudioFolder) -> Iterator[_Found]:
    for one in of_one_ending(read):
        if not one.rows:
            continue
        own = own_recording(one, audio)
        if own is None and one.names_files:
            # A name shared by several recordings is still a recording's name.
            matches = [audio.find(name, one.path) for name in _names(one)]
            if any(match.problem or match.path.is_file() for match in matches):
                yield _Found(one.path, one)
        elif own is not None:
            yield _Found(one.path, one, own)


def _names(read: Annotations) -> list[str]:
    """The first few recordings that a table names."""
    names: dict[str, None] = {}
    for row in read.rows:
        names.setdefault(row.filename)
        if len(names) == _LOOKED_UP:
            break
    return list(names)


# ------------------------------------------------------------------------------------ layouts


def _split_tables(
    tables: Sequence[_Found], folder: Path, audio: AudioFolder
) -> dict[str, str] | None:
    """One table per split, recognised by its name or folder: train.csv, meta/validation.tsv."""
    of_split = _by_split(tables, lambda table: table.path.relative_to(folder))
    if "train" not in of_split or any(len(found) > 1 for found in of_split.values()):
        return None
    return _settings(
        {
            split: (_relative(table.path, folder), _audio_of(table.read, split, folder, audio))
            for split, (table,) in of_split.items()
        }
    )


def _split_folders(files: Sequence[_Found], folder: Path) -> dict[str, str] | None:
    """One file per recording, in folders by split: annotations/train/x.txt, audio/train/x.wav."""
    of_split = _by_split(files, lambda file: file.path.parent.relative_to(folder))
    if "train" not in of_split or len(of_split) < 2:
        return None
    return _settings(
        {
            split: (
                _common(folder, (file.path for file in found)),
                _common(folder, (file.audio for file in found if file.audio)),
            )
            for split, found in of_split.items()
        }
    )


def _by_split(
    files: Sequence[_Found], path_of: Callable[[_Found], Path]
) -> dict[str, list[_Found]]:
    of_split: dict[str, list[_Found]] = {}
    for file in files:
        split = _split_of(path_of(file))
        if split is not None:
            of_split.setdefault(split, []).append(file)
    return of_split


def _settings(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Settings of splits from their annotations and audio; null for missing ones."""
    settings: dict[str, str] = {}
    for split in SPLITS:
        if split in found:
            annotations, audio = found[split]
            settings[f"data.{split}.annotations"] = annotations
            settings[f"data.{split}.audio"] = audio
        else:
            settings[f"data.{split}"] = "null"
    return settings


def _without_splits(
    tables: Sequence[_Found],
    files: Sequence[_Found],
    folder: Path,
    audio: AudioFolder,
    reading: Reading,
) -> dict[str, str] | None:
    """One table, or one file per recording, for a data set without splits.

    Of several, a complete set of files per recording is used.
    """
    folders = _folders_of_files(files, folder)
    if len(tables) > 1 and not folders and _are_parts(tables, audio):
        return {"data.annotations": _common(folder, (t.path for t in tables)), "data.audio": "."}
    if len(tables) == 1 and not folders:
        return {
            "data.annotations": _relative(tables[0].path, folder),
            "data.audio": _audio_of(tables[0].read, None, folder, audio),
        }
    if len(folders) == 1 and not tables:
        chosen = next(iter(folders))
    else:
        whole = [
            place
            for place, of_place in folders.items()
            if len(_audio_of_files(of_place)) == len(_identities(audio.paths))
        ]
        if len(whole) != 1:
            return None
        (chosen,) = whole
        others = [
            *(_relative(t.path, folder) for t in tables),
            *(f for f in folders if f != chosen),
        ]
        for other in others:
            reading.notes.add(
                f"other annotations that would also fit; data.annotations={chosen} has a file "
                f"for each recording",
                f"data.annotations={other}",
            )
    return {
        "data.annotations": chosen,
        "data.audio": _common(folder, (file.audio for file in folders[chosen] if file.audio)),
    }


def _are_parts(tables: Sequence[_Found], audio: AudioFolder) -> bool:
    """Whether tables have the same format and columns, and different recordings."""
    if len({(table.read.format, table.read.taken.columns) for table in tables}) > 1:
        return False
    named = [{row.filename for row in table.read.rows} for table in tables]
    found = [
        {audio.identity(audio.find(n, t.path).path) for n in names}
        for t, names in zip(tables, named, strict=True)
    ]
    return sum(map(len, found)) == len(set().union(*found))


def _folders_of_files(files: Sequence[_Found], folder: Path) -> dict[str, list[_Found]]:
    """Files per recording by their folder: one, unless it has a recording twice."""
    single = [file for file in files if file.audio is not None]
    if not single:
        return {}
    if len(_audio_of_files(single)) == len(single):
        return {_common(folder, (file.path for file in single)): single}
    found: dict[str, list[_Found]] = {}
    for file in single:
        found.setdefault(_relative(file.path.parent, folder), []).append(file)
    return found


def _audio_of_files(files: Sequence[_Found]) -> set[object]:
    return _identities(file.audio for file in files if file.audio)


def _identities(paths: Iterable[Path]) -> set[object]:
    return {identity(path) for path in paths}


# ----------------------------------------------------------------------------------- paths


def _split_of(path: Path) -> str | None:
    """The split named in a path, by the last part that names one."""
    for part in reversed(path.parts):
        words = re.split(r"[\W_\d]+", part.lower())
        found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
        if len(found) == 1:
            return found.pop()
    return None


def _audio_of(read: Annotations, split: str | None, folder: Path, audio: AudioFolder) -> str:
    """The folder to which a table's paths are relative; else names are searched everywhere."""
    names = _names(read)
    candidates = sorted({folder, *(p for path in audio.paths for p in _parents(path, folder))})
    found = [sum((c / name).is_file() for name in names) for c in candidates]
    # Not all of them have to exist: missing ones are reported at their expected path.
    fitting = [c for c, n in zip(candidates, found, strict=True) if n == max(found) > 0]
    if split is not None:
        fitting = [c for c in fitting if _split_of(c.relative_to(folder)) == split] or fitting
    return _relative(fitting[0], folder) if fitting else "."


def _parents(path: Path, folder: Path) -> list[Path]:
    return [parent for parent in path.parents if parent.is_relative_to(folder)]


def _common(folder: Path, paths: Iterable[Path]) -> str:
    """The lowest common folder of all paths, relative to the data set's."""
    return _relative(Path(os.path.commonpath([path.parent for path in paths])), folder)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _apply(data: AnnotatedConfig, settings: dict[str, str]) -> AnnotatedConfig:
    if "data.annotations" in settings:
        return replace(data, annotations=settings["data.annotations"], audio=settings["data.audio"])
    found = replace(data)
    for name in SPLITS:
        annotations = settings.get(f"data.{name}.annotations")
        if annotations is None:
            setattr(found, name, None)
        elif getattr(data, name) is not None:
            own = replace(
                getattr(data, name), annotations=annotations, audio=settings[f"data.{name}.audio"]
            )
            setattr(found, name, own)
    return found


def _say_what_there_is(
    folder: Path, files: Sequence[_Found], audio: AudioFolder, unread: Sequence[str]
) -> str:
    what = f"{folder}: contains {len(audio.paths)} recordings and "
    if not files:
        reasons = f" ({'; '.join(unread[:_SHOWN_REASONS])})" if unread else ""
        return (
            f"{what}no readable annotations of them{reasons}; name them with "
            "data.annotations=FILE (or a folder with one file per recording), or "
            "data.train.annotations=FILE and so on (folders of isolated clips, one per class, are "
            "a bank: sedtf train data.bank=FOLDER)"
        )
    folders = _folders_of_files(files, folder)
    ways = [f"{place} ({len(of_place)} files)" for place, of_place in folders.items()]
    ways += [_relative(file.path, folder) for file in files if file.audio is None]
    return (
        f"{what}several files of annotations ({cut_short(ways, _SHOWN)}): choose one with "
        f"data.annotations=FILE, such as data.annotations={ways[0].split(' (')[0]}, or "
        f"data.train.annotations=FILE and so on"
    )
