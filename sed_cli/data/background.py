"""Recordings without any event, which join a split: what a model should stay silent about."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sed_cli.config.data import AnnotatedConfig, DataConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data.audio_folder import AudioFolder
from sed_cli.data.manifest import Clip
from sed_cli.data.notes import Notes
from sed_cli.errors import DataError
from sed_cli.system.text import counted


def list_background(
    data: DataConfig, split: str, annotated: Iterable[Clip], notes: Notes
) -> list[Clip]:
    """List the recordings of ``data.SPLIT.background``; none where it is not set.

    Args:
        data: the set.
        split: of it.
        annotated: recordings of all splits: what has annotations is no background.
        notes: told what was taken.

    Raises:
        DataError: if there is no such folder, or nothing is left in it.
    """
    settings = getattr(data, split, None)
    if not isinstance(data, AnnotatedConfig) or not isinstance(settings, SplitConfig):
        return []
    if settings.background is None:
        return []
    key = f"data.{split}.background"
    folder = Path(data.root).expanduser() / Path(settings.background).expanduser()
    if not folder.is_dir():
        raise DataError(f"{key}={settings.background}: no such folder ({folder})")
    audio = AudioFolder(folder)
    annotated = list(annotated)
    prefix = "background"
    while any(clip.name.startswith(f"{prefix}/") for clip in annotated):
        prefix += "_"
    known = {audio.identity(p) for clip in annotated if not clip.problem for p in clip.paths}
    found = [path for path in audio.paths if audio.identity(path) not in known]
    if not found:
        what = "annotated ones only" if audio.paths else "none"
        raise DataError(
            f"{key}={settings.background}: expected recordings without any event, found {what}"
        )
    notes.add(f"{counted(len(found), 'recording')} of {key} join the {split} split without events")
    for path in audio.paths:
        if audio.identity(path) in known:
            notes.add(f"recordings of {key} that are annotated, and no background", path.name)
    return [
        Clip(name=f"{prefix}/{audio.relative(path)}", path=path, annotations=folder)
        for path in found
    ]
