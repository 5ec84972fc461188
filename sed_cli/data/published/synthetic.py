"""Data sets of generated mixtures: TUT-SED Synthetic 2016 and URBAN-SED 2.0."""

from __future__ import annotations

import re
from pathlib import Path

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import PublishedConfig
from sed_cli.data.annotations import Fault
from sed_cli.data.listing import AudioFolder, Reading
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.published.parts import labels_of, list_files, need_part, read_names
from sed_cli.errors import DataError

# If the data set has no lists: mixtures by number, the usual division.
_NUMBERS = {"train": range(40, 100), "validation": range(20, 40), "test": range(20)}


def list_tut_synthetic(data: PublishedConfig, root: Path, reading: Reading) -> Manifest:
    """List TUT-SED Synthetic 2016: 60, 20 and 20 mixtures, without source clips in common.

    Layout: webpages.tuni.fi/arg/paper/taslp2017-crnn-sed/tut-sed-synthetic-2016 and dcase_util's
    ``TUT_SED_Synthetic_2016``::

        TUT-SED-synthetic-2016/
            audio/TUT-SED-synthetic-2016-mix-0.wav ...
            meta/TUT-SED-synthetic-2016-annot-0.txt ...     onset, offset, label
            evaluation_setup/train+validate.txt, validate.txt, test.txt
    """
    part = need_part(
        data,
        root,
        lambda folder: (
            (folder / "audio").is_dir() and any((folder / "meta").glob("*synthetic*.txt"))
        ),
        "audio/ and meta/TUT-SED-synthetic-2016-annot-0.txt and so on",
    )
    audio = {_number(path.stem): path for path in AudioFolder(part / "audio").paths}
    listed: dict[int, Clip] = {}
    faults: list[Fault] = []
    for path in sorted((part / "meta").glob("*.txt")):
        if (number := _number(path.stem)) < 0:
            continue
        read = reading.read(path)
        faults += read.faults
        reading.notes.took(read)
        missing = part / "audio" / f"{path.stem.replace('annot', 'mix')}.wav"
        found = audio.get(number, missing)
        listed[number] = Clip(
            name=f"audio/{found.name}", path=found, annotations=path, rows=read.rows
        )
    numbers = _published_numbers(part)
    splits = {
        split: [listed[number] for number in numbers[split] if number in listed] for split in SPLITS
    }
    if empty := [split for split, of_split in splits.items() if not of_split]:
        raise DataError(f"{part}: no mixture of the {' and '.join(empty)} split has annotations")
    return Manifest(splits=splits, faults=tuple(faults), classes=labels_of(*splits.values()))


def _published_numbers(part: Path) -> dict[str, list[int]]:
    setup = part / "evaluation_setup"
    lists = {
        name: [_number(found) for found in read_names(setup / f"{name}.txt")]
        for name in ("train+validate", "train", "validate", "test")
        if (setup / f"{name}.txt").is_file()
    }
    if not {"validate", "test"} <= set(lists) or not {"train", "train+validate"} & set(lists):
        return {split: list(numbers) for split, numbers in _NUMBERS.items()}
    training = lists.get("train") or lists["train+validate"]
    return {
        "train": [number for number in training if number not in lists["validate"]],
        "validation": lists["validate"],
        "test": lists["test"],
    }


def _number(stem: str) -> int:
    """The number at the end of a name, or -1."""
    match = re.search(r"(\d+)$", stem)
    return int(match[1]) if match else -1


def list_urban_sed(data: PublishedConfig, root: Path, reading: Reading) -> Manifest:
    """List URBAN-SED 2.0: 6000, 2000 and 2000 soundscapes of ten seconds.

    Layout: README of the archive (Zenodo 1324404) and soundata's ``urbansed``::

        URBAN-SED_v2.0.0/
            audio/{train,validate,test}/soundscape_train_bimodal0.wav ...
            annotations/{train,validate,test}/soundscape_train_bimodal0.txt ...   and .jams

    The text files are read, since the JAMS files contain the background as an event.
    """
    part = need_part(
        data,
        root,
        lambda folder: (
            (folder / "audio" / "train").is_dir() and (folder / "annotations" / "train").is_dir()
        ),
        "audio/train and annotations/train, and validate and test likewise",
    )
    splits: dict[str, list[Clip]] = {}
    faults: list[Fault] = []
    for split, theirs in (("train", "train"), ("validation", "validate"), ("test", "test")):
        annotations = part / "annotations" / theirs
        paths = sorted(annotations.glob("*.txt")) or sorted(annotations.glob("*.jams"))
        if not paths:
            raise DataError(f"{annotations}: no annotations of the {split} split found")
        splits[split], more = list_files(paths, part / "audio" / theirs, reading)
        faults += more
    return Manifest(splits=splits, faults=tuple(faults), classes=labels_of(*splits.values()))
