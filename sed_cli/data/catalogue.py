"""Who is in which split: recordings with their events, checked, before any sample is read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sed_cli.audio import read_header
from sed_cli.data.annotations import Event, Fault, check_faults
from sed_cli.data.cache import locks
from sed_cli.data.cache.upkeep import cache_root, hold
from sed_cli.data.discovery import discover
from sed_cli.data.listing import Listed, Listing, Reading, list_recordings
from sed_cli.data.published import list_published
from sed_cli.data.soundscapes import generate_soundscapes, plan_soundscapes
from sed_cli.data.splits import by_lists, divide, fold_of
from sed_cli.data.times import Times
from sed_cli.errors import DataError, UserError
from sed_cli.schema import (
    SPLITS,
    AnnotatedConfig,
    DataConfig,
    PublishedConfig,
    RecordedConfig,
    SoundscapesConfig,
    SplitConfig,
)

log = logging.getLogger(__name__)

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recording of a split, with its events of the classes in question.

    Args:
        name: as the set writes it.
        path: of the audio.
        duration_s: its length in seconds.
        events: in order of onset; none begins or ends after the recording.
    """

    name: str
    path: Path
    duration_s: float
    events: tuple[Event, ...]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The splits that were asked for, with the classes they share."""

    classes: tuple[str, ...]
    splits: dict[str, list[Entry]]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a set holds as far as it can be told, and all that is wrong with it.

    Args:
        catalogue: what remains when faults are repaired, and what cannot be repaired is left out.
        faults: of annotations, and of recordings that are missing, unreadable or too short.
        listing: as the set lists it.
        chosen: whether the classes are named; else they are the labels that the set holds.
        strict: whether faults are refused even where they can be repaired.
    """

    catalogue: Catalogue
    faults: tuple[Fault, ...]
    listing: Listing
    chosen: bool
    strict: bool

    @property
    def refused(self) -> list[Fault]:
        """Those of the faults that stand in the way of training."""
        return [fault for fault in self.faults if self.strict or fault.repair is None]

    def check(self) -> None:
        """Refuse faults, and a training split that a model can learn nothing from.

        Raises:
            DataError: one for all faults.
        """
        check_faults(self.faults, strict=self.strict)
        if "train" in self.catalogue.splits:
            _refuse_nothing_to_learn(self.listing.splits["train"], self.catalogue.classes)


def make_catalogue(
    data: DataConfig, *, splits: Sequence[str] = SPLITS, classes: Sequence[str] | None = None
) -> Catalogue:
    """List the recordings of a set and their events; generate the set where needed.

    Args:
        data: the set.
        splits: those wanted; one that the set does not have is left out.
        classes: labels to detect, of a detector that is there already; ``None``: those that
            ``data.classes`` or the set names, else those of the training split, sorted.

    Raises:
        DataError: for missing or unreadable audio, faults in annotations, or labels that no class
            stands for; all faults in one message. With ``data.strict=false`` those that can be
            repaired are, and said as warnings.
    """
    found = survey(data, splits=splits, classes=classes)
    if classes is None:
        found.check()
        if not found.chosen and "train" not in found.listing.splits:
            raise DataError("the set has no training split: name its labels with data.classes")
    else:
        check_faults(found.faults, strict=found.strict)
        _compare_labels(found.listing.splits, classes)
    return found.catalogue


def survey(
    data: DataConfig, *, splits: Sequence[str] = SPLITS, classes: Sequence[str] | None = None
) -> Survey:
    """List a set as :func:`make_catalogue` does, but hand back its faults instead of raising them.

    Where neither the configuration nor the set names the classes and there is no training split,
    they are the labels of all splits.

    Raises:
        DataError: where there is nothing to tell: no such folder, or no split that can be read.
    """
    described = _generate(data) if isinstance(data, SoundscapesConfig) else data
    assert isinstance(described, RecordedConfig)
    alone = classes is None and described.classes is None and "train" not in splits
    listing = _list(described, [*splits, "train"] if alone else splits)
    chosen = classes or described.classes or listing.classes
    labels = tuple(chosen or _labels_to_learn(listing))
    wanted = {name: listed for name, listed in listing.splits.items() if name in splits}
    faults = list(listing.faults)
    if not chosen:
        faults += _unknown_labels(wanted, labels)
    unit = described.time_unit if isinstance(described, AnnotatedConfig) else "s"
    times = Times(unit)
    entries = {
        name: _look_at(name, listed, labels, times, faults) for name, listed in wanted.items()
    }
    faults += times.faults
    return Survey(
        catalogue=Catalogue(classes=labels, splits=entries),
        faults=tuple(faults),
        listing=listing,
        chosen=bool(chosen),
        strict=described.strict,
    )


def _generate(data: SoundscapesConfig) -> AnnotatedConfig:
    """Write the soundscapes unless they are there, and describe them as an annotated set."""
    recipe = plan_soundscapes(data)
    settings = recipe.settings
    folder = cache_root(data.cache_dir) / "soundscapes" / settings.fingerprint()
    if not hold(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        turn = folder.with_name(f"{folder.name}.lock")
        if locks.is_taken(turn):
            log.info("another run generates these soundscapes: waiting for it")
        with locks.exclusive(turn):
            if not hold(folder):
                generate_soundscapes(folder, recipe, strict=data.strict)
        if not hold(folder):  # another process has deleted it since
            return _generate(data)
    return AnnotatedConfig(
        sequence_length=data.sequence_length,
        cache_dir=data.cache_dir,
        root=str(folder),
        train=SplitConfig("train.tsv", "audio/train"),
        validation=SplitConfig("validation.tsv", "audio/validation"),
        test=SplitConfig("test.tsv", "audio/test"),
        classes=list(settings.classes),
    )


def _list(data: RecordedConfig, splits: Sequence[str]) -> Listing:
    folder = Path(data.root).expanduser()
    if not folder.is_dir():
        raise DataError(f"data.root={data.root}: no such folder")
    if isinstance(data, PublishedConfig):
        listing = list_published(data, folder)
        wanted = {name: listing.splits[name] for name in splits if name in listing.splits}
        return replace(listing, splits=wanted)
    assert isinstance(data, AnnotatedConfig)
    return _list_annotated(data, folder, splits)


def _list_annotated(data: AnnotatedConfig, folder: Path, splits: Sequence[str]) -> Listing:
    data = discover(data, folder)
    reading = Reading.of(data)
    if data.annotations is None:
        return _list_splits(data, folder, reading, splits)
    listed, faults = list_recordings(folder / data.annotations, folder / data.audio, reading)
    if not listed:
        check_faults(faults, strict=data.strict)
        raise DataError(f"{folder / data.annotations}: annotates no recording")
    if all(one.problem for one in listed):
        raise DataError(f"{listed[0].annotations}: {listed[0].problem}")
    divided = _divide(data, folder, listed)
    log.info(
        "%d recordings without splits are divided here: %s (data.split; to have all of them in "
        "one split: data.train=null data.validation=null)",
        len(listed),
        ", ".join(f"{name} {len(part)}" for name, part in divided.splits.items()),
    )
    return Listing(
        splits={name: divided.splits[name] for name in splits if name in divided.splits},
        faults=(*faults, *divided.faults),
    )


def _list_splits(
    data: AnnotatedConfig, folder: Path, reading: Reading, splits: Sequence[str]
) -> Listing:
    """List the splits of a set whose splits have annotations of their own."""
    if data.folds is not None or data.group is not None:
        key = "folds" if data.folds is not None else "group"
        raise UserError(
            f"data.{key}={getattr(data, key)} divides a set without splits, but this one has a "
            f"training split in {data.train.annotations if data.train else None}: "
            f"drop it, or name the annotations of the whole set with data.annotations"
        )
    listed: dict[str, list[Listed]] = {}
    faults: list[Fault] = []
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
            faults.append(Fault(annotations, None, f"{message} (the {name} split)"))
    if not listed:
        check_faults(faults, strict=True)
        raise DataError("the set has no split: set data.train, data.validation or data.test")
    return Listing(splits=listed, faults=tuple(faults))


def _divide(data: AnnotatedConfig, folder: Path, listed: list[Listed]) -> Listing:
    """Divide a set without splits as the configuration says: by lists, folds, or shares."""
    wanted = [name for name in SPLITS if getattr(data, name) is not None]
    lists = {
        name: folder / getattr(data, name).files for name in wanted if getattr(data, name).files
    }
    if lists:
        return by_lists(listed, lists, folder / str(data.annotations))
    shares = dict(zip(SPLITS, data.split, strict=True))
    how: dict[str, Any] = {"group": data.group, "seed": data.split_seed}
    if data.folds is None or data.fold is None:
        shares = {name: share for name, share in shares.items() if name in wanted}
        return Listing(splits=divide(listed, shares, **how))
    validation = shares["validation"] if data.validation is not None else 0.0
    share = validation / (shares["train"] + validation)
    parts = fold_of(listed, folds=data.folds, fold=data.fold, validation_share=share, **how)
    return Listing(splits={name: parts[name] for name in wanted})


# ------------------------------------------------------------------------------- labels


def _labels_to_learn(listing: Listing) -> list[str]:
    """Return the labels of the training split, sorted; without one, those of all splits."""
    splits = listing.splits
    chosen = [splits["train"]] if "train" in splits else list(splits.values())
    return sorted({label for listed in chosen for label in _labels_of(listed)})


def _labels_of(listed: Iterable[Listed]) -> set[str]:
    return {label for one in listed for label in one.labels}


def _unknown_labels(splits: dict[str, list[Listed]], classes: Sequence[str]) -> list[Fault]:
    """Name labels that the training annotations do not have, each where it stands first."""
    faults = []
    for split, listed in splits.items():
        seen: Counter[str] = Counter()
        first: dict[str, tuple[Path, int | None]] = {}
        for one in listed:
            for row in one.rows:
                if row.event is not None and row.event.label not in classes:
                    seen[row.event.label] += 1
                    first.setdefault(row.event.label, (one.annotations, row.line))
        for label in sorted(seen):
            often = f" ({seen[label]} times)" if seen[label] > 1 else ""
            faults.append(
                Fault(
                    *first[label],
                    f"the {split} annotations hold {label}{often}, which the training annotations "
                    f"do not; choose with data.classes=[...]",
                    "the label is passed over",
                )
            )
    return faults


def _refuse_nothing_to_learn(listed: Sequence[Listed], classes: Sequence[str]) -> None:
    found = _labels_of(listed)
    if not found:
        raise DataError("the training annotations hold no event: there is nothing to learn")
    if not found & set(classes):
        raise DataError(
            f"data.classes={list(classes)}: the training annotations hold none of these, "
            f"but {', '.join(sorted(found))}"
        )


def _compare_labels(splits: dict[str, list[Listed]], classes: Sequence[str]) -> None:
    """Say which labels a trained detector does not know; refuse a set that it knows none of."""
    for split, listed in splits.items():
        found = _labels_of(listed)
        if found and not found & set(classes):
            raise DataError(
                f"the {split} annotations hold {', '.join(sorted(found))}, but the detector knows "
                f"{', '.join(classes)} only: nothing could be compared"
            )
        if unknown := sorted(found - set(classes)):
            log.warning("%s: passed over, unknown to the detector: %s", split, ", ".join(unknown))


# -------------------------------------------------------------------------------- audio


def _look_at(
    split: str, listed: Sequence[Listed], classes: Sequence[str], times: Times, faults: list[Fault]
) -> list[Entry]:
    """Read the headers of a split's recordings; what does not fit is added to ``faults``."""
    missing = [one for one in listed if one.problem or not one.audio.is_file()]
    faults += _missing_audio(split, missing, len(listed))
    left_out = {id(one) for one in missing}
    entries = []
    for one in listed:
        if id(one) in left_out:
            continue
        try:
            header = read_header(one.audio)
        except DataError as error:
            line = one.rows[0].line if one.rows else None
            faults.append(Fault(one.annotations, line, str(error), "the recording is left out"))
            continue
        length_s = header.duration_s
        one = times.in_seconds(one, length_s, header.sample_rate)
        events = times.within(one, length_s)
        entries.append(
            Entry(
                name=one.name,
                path=one.audio,
                duration_s=length_s,
                events=tuple(sorted(event for event in events if event.label in classes)),
            )
        )
    return entries


def _missing_audio(split: str, missing: Sequence[Listed], n_listed: int) -> list[Fault]:
    if not missing:
        return []
    shown = [one.problem or str(one.audio) for one in missing[:_SHOWN]]
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return [
        Fault(
            missing[0].annotations,
            missing[0].rows[0].line if missing[0].rows else None,
            f"{len(missing)} of {n_listed} annotated recordings of the {split} split are missing: "
            f"{', '.join(shown)}{more}; check data.{split}.audio",
            None if len(missing) == n_listed else "they are left out",
        )
    ]
