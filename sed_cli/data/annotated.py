"""Data sets of the user: finding, listing and dividing their annotations by the configuration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sed_cli.audio import inspect_audio
from sed_cli.config.annotations import SPLITS, UNLABELLED, WEAK
from sed_cli.config.data import AnnotatedConfig
from sed_cli.config.splits import SplitConfig
from sed_cli.data.annotations import Fault, check_faults
from sed_cli.data.cache.known_audio import inspect_all
from sed_cli.data.discovery import discover
from sed_cli.data.listing import Reading, list_recordings
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.notes import Notes
from sed_cli.data.splits import by_lists, divide, fold_of
from sed_cli.data.time_splits import cut_in_time
from sed_cli.data.unlabelled import list_unlabelled
from sed_cli.data.weak import list_weak
from sed_cli.errors import DataError, UserError
from sed_cli.system.text import counted, cut_short

log = logging.getLogger(__name__)

_SHOWN = 10


def list_annotated(data: AnnotatedConfig, folder: Path, splits: Sequence[str]) -> Manifest:
    """List the recordings of the user's data set by split.

    Args:
        data: settings of the data set.
        folder: ``data.root``.
        splits: the requested ones.

    Raises:
        DataError: if there is nothing to list.
    """
    reading = Reading.of(data)
    data = discover(data, folder, reading)
    manifest = _list_annotated(data, folder, reading, [name for name in splits if name in SPLITS])
    has_weak = getattr(data.train, "weak", None) is not None
    if WEAK in splits and data.train is not None and has_weak:
        weak, faults = list_weak(data.train, folder, reading)
        manifest = replace(
            manifest,
            splits={**manifest.splits, WEAK: weak},
            faults=(*manifest.faults, *faults),
        )
    is_all = data.annotations is not None or reading.notes.is_whole
    if is_all and (WEAK in splits or not has_weak):
        _say_unused(reading)
    if any(getattr(getattr(data, name, None), "background", None) for name in splits):
        manifest = replace(
            manifest, elsewhere=(*manifest.elsewhere, *_elsewhere(data, folder, reading, splits))
        )
    if data.train is None:
        return manifest
    if UNLABELLED in splits and data.train.unlabelled is not None:
        own = list_unlabelled(folder / data.train.unlabelled)
        manifest = replace(manifest, splits={**manifest.splits, UNLABELLED: own})
    return manifest


def _list_annotated(
    data: AnnotatedConfig, folder: Path, reading: Reading, splits: Sequence[str]
) -> Manifest:
    """List the recordings whose events have times."""
    if data.annotations is None:
        return _list_splits(data, folder, reading, splits)
    listed, faults = list_recordings(folder / data.annotations, folder / data.audio, reading)
    if not listed:
        check_faults(faults, strict=data.strict)
        raise DataError(f"{folder / data.annotations}: annotates no recording")
    if not any(getattr(data, name) and getattr(data, name).files for name in SPLITS):
        listed, gone = _present(listed, data.cache_dir)
        faults += gone
        if not listed:
            check_faults(faults, strict=True)
    try:
        is_cut = _are_too_few(data, listed)
        if is_cut:
            shares = {n: s for n, s in zip(SPLITS, data.split, strict=True) if getattr(data, n)}
            unit, place = data.time_unit, data.cache_dir
            how: dict[str, Any] = {"time_unit": unit, "cache_dir": place, "notes": reading.notes}
            divided = Manifest(splits=cut_in_time(listed, shares, **how))
        else:
            divided = _divide(data, folder, listed, reading.notes)
    except UserError as error:
        if not faults:
            raise
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise UserError(f"{error}; skipped others: {faults[0]}{more}") from error
    is_single = len(listed) == 1
    log.info(
        "%s without splits %s %s: %s (data.split; to put all of them into one split: "
        "data.train=null data.validation=null)",
        counted(len(listed), "recording"),
        "is" if is_single else "are",
        "cut in time" if is_cut else "divided",
        ", ".join(
            f"{name} {counted(len(part), 'part') if is_cut else len(part)}"
            for name, part in divided.splits.items()
        ),
    )
    return Manifest(
        splits={name: divided.splits[name] for name in splits if name in divided.splits},
        faults=(*faults, *divided.faults),
        notes=reading.notes,
        elsewhere=tuple(listed),
    )


def _elsewhere(
    data: AnnotatedConfig, folder: Path, reading: Reading, splits: Sequence[str]
) -> list[Clip]:
    """Annotated recordings of splits that were not requested, as far as they can be read."""
    own = replace(reading, notes=Notes())
    found: list[Clip] = []
    with suppress(DataError):
        if WEAK not in splits and data.train and getattr(data.train, "weak", None):
            found += list_weak(data.train, folder, own)[0]
    for name in SPLITS if data.annotations is None else ():
        split: SplitConfig | None = getattr(data, name)
        if name not in splits and split is not None:
            with suppress(DataError):
                found += list_recordings(folder / split.annotations, folder / split.audio, own)[0]
    return found


def _list_splits(
    data: AnnotatedConfig, folder: Path, reading: Reading, splits: Sequence[str]
) -> Manifest:
    """List the splits of a data set with separate annotations per split."""
    if data.folds is not None or data.group is not None:
        key = "folds" if data.folds is not None else "group"
        raise UserError(
            f"data.{key}={getattr(data, key)} divides a data set without splits, but this one has "
            f"a training split in {data.train.annotations if data.train else None}: "
            f"drop it, or name the annotations of the whole data set with data.annotations"
        )
    listed: dict[str, list[Clip]] = {}
    faults: list[Fault] = []
    reading.notes.is_whole = all(name in splits for name in SPLITS)
    for name in splits:
        split: SplitConfig | None = getattr(data, name)
        if split is None:
            continue
        annotations = folder / split.annotations
        try:
            listed[name], found = list_recordings(annotations, folder / split.audio, reading)
            faults += found
        except DataError as error:
            message = str(error).removeprefix(f"{annotations}: ")
            faults.append(Fault(annotations, None, f"{message} (data.{name}.annotations)"))
    if not listed:
        check_faults(faults, strict=True)
        raise DataError("the data set has no split: set data.train, data.validation or data.test")
    return Manifest(splits=listed, faults=tuple(faults), notes=reading.notes)


def _say_unused(reading: Reading) -> None:
    for label in reading.relabelling.unused:
        what = "labels to merge or exclude that do not occur"
        reading.notes.add(what, label)


def _are_too_few(data: AnnotatedConfig, listed: Sequence[Clip]) -> bool:
    """Whether there are too few recordings for the splits, and no setting divides them."""
    wanted = [
        getattr(data, name)
        for name, share in zip(SPLITS, data.split, strict=True)
        if getattr(data, name) is not None and share > 0
    ]
    is_told = data.folds is not None or data.group is not None or any(w.files for w in wanted)
    return len(listed) < len(wanted) and not is_told


def _divide(data: AnnotatedConfig, folder: Path, listed: list[Clip], notes: Notes) -> Manifest:
    """Divide a data set without splits by lists, folds or shares."""
    wanted = [name for name in SPLITS if getattr(data, name) is not None]
    lists = {
        name: folder / getattr(data, name).files for name in wanted if getattr(data, name).files
    }
    if lists:
        return by_lists(listed, lists, folder / str(data.annotations), notes)
    shares = dict(zip(SPLITS, data.split, strict=True))
    how: dict[str, Any] = {"group": data.group, "seed": data.split_seed}
    if data.folds is None or data.fold is None:
        shares = {name: share for name, share in shares.items() if name in wanted}
        return Manifest(splits=divide(listed, shares, **how))
    validation = shares["validation"] if data.validation is not None else 0.0
    share = validation / (shares["train"] + validation)
    parts = fold_of(listed, folds=data.folds, fold=data.fold, validation_share=share, **how)
    return Manifest(splits={name: parts[name] for name in wanted})


def _present(listed: Sequence[Clip], cache_dir: str | None) -> tuple[list[Clip], list[Fault]]:
    """Skip missing and unreadable recordings before a data set is divided.

    Otherwise the splits would be smaller than requested.
    """
    missing = [one for one in listed if one.is_missing]
    faults = missing_audio(None, missing, len(listed))
    left_out = {id(one) for one in missing}
    inspect_all([one.path for one in listed if id(one) not in left_out], cache_dir)
    there = []
    for one in listed:
        if id(one) not in left_out:
            try:
                inspect_audio(one.path)
            except DataError as error:
                repair = "the recording is skipped"
                faults.append(Fault(one.annotations, one.line, str(error), repair))
            else:
                there.append(one)
    return there, faults


def missing_audio(split: str | None, missing: Sequence[Clip], n_listed: int) -> list[Fault]:
    """Report which of ``n_listed`` recordings of a split, or of the whole data set, are missing."""
    if not missing:
        return []
    names = [one.problem or str(one.path) for one in missing]
    of_split, key = (f" of the {split} split", f"{split}.audio") if split else ("", "audio")
    key = "train.weak_audio" if split == WEAK else key
    return [
        Fault(
            missing[0].annotations,
            missing[0].line,
            f"{len(missing)} of {n_listed} annotated recordings{of_split} are missing: "
            f"{cut_short(names, _SHOWN)}; check data.{key}",
            None if len(missing) == n_listed else "they are skipped",
        )
    ]
