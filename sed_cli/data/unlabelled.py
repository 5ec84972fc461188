"""Recordings without labels, for which detectors provide the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sed_cli.data.annotations import Event
from sed_cli.data.audio_folder import AudioFolder
from sed_cli.data.manifest import Clip
from sed_cli.data.walking import identity
from sed_cli.errors import DataError


def list_unlabelled(folder: Path) -> list[Clip]:
    """List all recordings below a folder.

    Raises:
        DataError: if there is no such folder, or no recording in it.
    """
    if not folder.is_dir():
        raise DataError(
            f"data.train.unlabelled: {folder}: no such folder; name one with recordings"
        )
    audio = AudioFolder(folder)
    if not audio.paths:
        raise DataError(
            f"data.train.unlabelled: {folder} contains no recordings; name a folder that does"
        )
    return [Clip(name=audio.relative(path), path=path, annotations=folder) for path in audio.paths]


def unlabelled(listed: Sequence[Clip], held: Iterable[Clip], classes: Sequence[str]) -> list[Clip]:
    """Recordings that are in no split, with all classes unknown.

    Raises:
        DataError: if none is left.
    """
    known = {identity(path) for clip in held for path in clip.paths}
    rest = [clip for clip in listed if identity(clip.path) not in known]
    if listed and not rest:
        raise DataError(
            f"data.train.unlabelled: all {len(listed)} recordings in {listed[0].annotations} are "
            f"in a split; name a folder with others, or drop it"
        )
    return [
        replace(clip, unknown=tuple(Event(0.0, clip.duration_s, label) for label in classes))
        for clip in rest
    ]
