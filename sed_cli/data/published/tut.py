"""TUT Sound Events 2016 (home, residential area) and 2017 (street).

Layout: README.md of the development and evaluation parts (Zenodo 45759, 996424; 814831, 1040179),
dcase_util's ``TUTSoundEvents_2016_*`` and ``TUTSoundEvents_2017_*``, soundata's ``tut2017se``::

    TUT-sound-events-2016-development/
        audio/home/a030.wav ...
        meta/home/a030.ann ...                    onset, offset, label
        evaluation_setup/home_fold1_train.txt     file, scene, onset, offset, label
        evaluation_setup/home_fold1_test.txt      file, scene
    TUT-sound-events-2016-evaluation/
        audio/, meta/, evaluation_setup/home_test.txt

``meta_full`` (2016: all labels) and ``non_verified`` (2017) are not read. Each recording is
from another place, so that recordings are the groups to keep whole.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sed_cli.config.data import PublishedConfig
from sed_cli.data.annotations import Fault
from sed_cli.data.listing import AudioFolder, Reading, list_recordings
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.published.parts import (
    choose,
    find_part,
    first_folder,
    key_of,
    labels_of,
    log,
    need_part,
    read_names,
    with_validation,
)
from sed_cli.errors import DataError


def list_tut(data: PublishedConfig, root: Path, reading: Reading, *, scene: str) -> Manifest:
    """List a scene: a fold of the development part, or all of it and the evaluation part."""

    def is_development(folder: Path) -> bool:
        return (folder / "evaluation_setup" / f"{scene}_fold1_train.txt").is_file() and (
            folder / "meta" / scene
        ).is_dir()

    what = f"audio/{scene}, meta/{scene} and evaluation_setup/{scene}_fold1_train.txt"
    development = need_part(data, root, is_development, what)
    listed, faults = _list_part(development, development / "meta" / scene, scene, reading)
    if data.fold is None:
        test, more = _evaluation(development, root, scene, reading)
        return Manifest(
            splits=with_validation(data, listed, test),
            faults=(*faults, *more),
            classes=labels_of(listed, test),
        )
    parts = {}
    for part in ("train", "test"):
        path = development / "evaluation_setup" / f"{scene}_fold{data.fold}_{part}.txt"
        if not path.is_file():
            raise DataError(f"{path}: no such list of data.fold={data.fold}")
        parts[part], more = choose(listed, read_names(path), path)
        faults += more
    return Manifest(
        splits=with_validation(data, parts["train"], parts["test"]),
        faults=tuple(faults),
        classes=labels_of(listed),
    )


def _list_part(
    part: Path, annotations: Path, scene: str, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    audio = first_folder(part / "audio" / scene, part / "audio")
    listed, faults = list_recordings(annotations, audio, reading)
    folder = AudioFolder(part)
    return [
        replace(
            one,
            name=folder.relative(one.path) if one.path.is_file() else f"{key_of(one.name)}.wav",
        )
        for one in listed
    ], faults


def _evaluation(
    development: Path, root: Path, scene: str, reading: Reading
) -> tuple[list[Clip], list[Fault]]:
    """List the evaluation part: beside the development part, or below the root."""

    def truth(folder: Path) -> Path | None:
        candidates = (
            folder / "meta" / scene,
            folder / "evaluation_setup" / f"{scene}_evaluate.txt",
        )
        return next((path for path in candidates if path.exists()), None)

    def is_evaluation(folder: Path) -> bool:
        return (
            folder.name.lower().endswith("evaluation")
            and (folder / "audio").is_dir()
            and truth(folder) is not None
        )

    beside = development.parent if development == root else root
    part = find_part(beside, is_evaluation)
    annotations = None if part is None else truth(part)
    if part is None or annotations is None:
        log.warning(
            "%s: no evaluation part with annotations: there is no test split; unpack it beside the "
            "development part, or choose data.fold=1,2,3,4",
            beside,
        )
        return [], []
    return _list_part(part, annotations, scene, reading)
