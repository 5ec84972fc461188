"""Recordings without events, added to a split as negative examples."""

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
    """List the recordings of ``data.SPLIT.background``; empty if it is not set.

    Args:
        data: settings of the data set.
        split: of the data set.
        annotated: recordings of all splits, which are not background.
        notes: called with a message on the recordings used.

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
        raise DataError(
            f"{key}={settings.background}: no such folder ({folder}); name one with recordings"
        )
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
            f"{key}={settings.background}: expected recordings without events, found {what}"
        )
    notes.add(
        f"{counted(len(found), 'recording')} of {key} are added to the {split} split without events"
    )
    for path in audio.paths:
        if audio.identity(path) in known:
            notes.add(
                f"recordings of {key} that are annotated, so not used as background", path.name
            )
    return [
        Clip(name=f"{prefix}/{audio.relative(path)}", path=path, annotations=folder)
        for path in found
    ]
