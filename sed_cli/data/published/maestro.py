"""MAESTRO Real, the development part: soft labels, five folds.

Layout: README.md of the data set (Zenodo 7244360); folds:
github.com/marmoi/dcase2023_task4b_baseline, the baseline of DCASE 2023 task 4b, in whose folder
``development_folds`` they are published::

    development_audio/cafe_restaurant/cafe_restaurant_00.wav ...
    development_annotation/soft_labels_cafe_restaurant/cafe_restaurant_00.txt ...
                                                        onset, offset, label, soft label from 0 to 1
    development_folds/fold1_train.csv, fold1_val.csv, fold1_test.csv ...

Without the folder of folds, the same folds are used from this module. The annotations of the
evaluation part are not public.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sed_cli.config.data import PublishedConfig
from sed_cli.data.annotations import Fault
from sed_cli.data.listing import Reading
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.published.parts import (
    choose,
    find_part,
    key_of,
    labels_of,
    list_files,
    log,
    need_part,
    read_names,
    renamed,
    with_validation,
)
from sed_cli.errors import DataError

_SCENES = ("cafe_restaurant", "city_center", "grocery_store", "metro_station", "residential_area")

# Numbers of the recordings in each fold, one group of numbers per scene.
_TEST = {
    1: "07 04|04 11|09 04|07 00|07 08 09",
    2: "11 14|12 02|08 01|10 05|05 12",
    3: "08 00|05 09|03 11|11 01|06 14",
    4: "06 10|07 06|00 12|04 02|03 04",
    5: "12 13|14 10|02|12|00 01",
}
_VALIDATION = {
    1: "11 08 14 12|02 05 09 14||12 10 02|14",
    2: "04 12 13 06|06 11 05 04|02|07 11|03",
    3: "12 07|11 04 02|12 01 00|05 04 07|12",
    4: "00 04|10 04 14|11|11 00|01 05 12 07",
    5: "08 10|05 04 06|04 00|04 11 02|12 04 03",
}


def list_maestro(data: PublishedConfig, root: Path, reading: Reading) -> Manifest:
    """List a fold; without one, all recordings are for training and validation, none for test."""
    part = need_part(
        data,
        root,
        lambda folder: (
            (folder / "development_audio").is_dir() and (folder / "development_annotation").is_dir()
        ),
        "development_audio and development_annotation",
    )
    listed: list[Clip] = []
    faults: list[Fault] = []
    reading = replace(reading, soft_labels=True)
    for scene in sorted(path for path in (part / "development_annotation").iterdir()):
        if scene.is_dir():
            name = scene.name.removeprefix("soft_labels_")
            audio = part / "development_audio" / name
            found, more = list_files(sorted(scene.glob("*.txt")), audio, reading)
            listed += renamed(found, name)
            faults += more
    if data.fold is None:
        log.warning("data.fold=null: there is no test split; choose data.fold=1 to 5")
        return Manifest(
            splits=with_validation(data, listed, []),
            faults=tuple(faults),
            classes=labels_of(listed),
        )
    held: dict[str, list[Clip]] = {}
    there = {key_of(one.name) for one in listed}
    for split, names, path in _published_fold(part, root, data.fold):
        # These lists are for the whole data set: it may be unpacked only in part.
        of_split = [name for name in names if name in there] if path.is_dir() else names
        held[split], more = choose(listed, of_split, path)
        faults += more
        if not held[split]:
            raise DataError(
                f"{part}: none of the recordings of fold {data.fold}'s {split} split exists; put "
                f"the folder development_folds beside development_audio"
            )
    known = {one.name for of_split in held.values() for one in of_split}
    return Manifest(
        splits={"train": [one for one in listed if one.name not in known], **held},
        faults=tuple(faults),
        classes=labels_of(listed),
    )


def _published_fold(part: Path, root: Path, fold: int) -> list[tuple[str, list[str], Path]]:
    """Return split, keys of its recordings and their list, for splits other than training."""
    beside = find_part(root, lambda folder: (folder / "development_folds").is_dir())
    if beside is None:
        annotations = part / "development_annotation"
        return [
            ("validation", _known(_VALIDATION[fold]), annotations),
            ("test", _known(_TEST[fold]), annotations),
        ]
    found = []
    for split, theirs in (("validation", "val"), ("test", "test")):
        path = beside / "development_folds" / f"fold{fold}_{theirs}.csv"
        if not path.is_file():
            raise DataError(f"{path}: no such list of data.fold={fold}")
        found.append((split, read_names(path), path))
    return found


def _known(numbers: str) -> list[str]:
    return [
        key_of(f"{scene}_{number}")
        for scene, of_scene in zip(_SCENES, numbers.split("|"), strict=True)
        for number in of_scene.split()
    ]
