"""Recordings and events of each split, checked before any audio is decoded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sed_cli.audio import inspect_audio
from sed_cli.config.annotations import SPLITS, UNLABELLED, WEAK
from sed_cli.config.data import (
    AnnotatedConfig,
    DataConfig,
    PublishedConfig,
    RecordedConfig,
    SoundscapesConfig,
)
from sed_cli.config.splits import SplitConfig, TrainSplitConfig
from sed_cli.data.annotated import list_annotated, missing_audio
from sed_cli.data.annotations import Fault, check_faults
from sed_cli.data.background import list_background
from sed_cli.data.cache.known_audio import inspect_all
from sed_cli.data.cache.upkeep import cache_root, hold
from sed_cli.data.coverage import Annotated, unknown_names
from sed_cli.data.labels import (
    alike,
    compare_labels,
    labels_to_learn,
    refuse_nothing_to_learn,
    unknown_labels,
)
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.published import list_published
from sed_cli.data.relabelling import Relabelling
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.data.subsets import subset_of
from sed_cli.data.times import Times
from sed_cli.data.unlabelled import unlabelled
from sed_cli.data.weak import tagged
from sed_cli.errors import DataError
from sed_cli.system import locks

log = logging.getLogger(__name__)

_SHOWN = 10


def load_manifest(
    data: DataConfig, *, splits: Sequence[str] = SPLITS, classes: Sequence[str] | None = None
) -> Manifest:
    """List the recordings of a data set and their events; generate it if necessary.

    Args:
        data: settings of the data set.
        splits: the requested ones; missing ones are left out.
        classes: labels of an existing detector; ``None``: those that ``data.classes`` or the data
            set names, else those of the training split, sorted.

    Raises:
        DataError: for missing or unreadable audio, faults in annotations, or unknown labels; all
            faults in one message. With ``data.strict=false``, faults are repaired if possible, and
            reported as warnings.
    """
    found = survey(data, splits=splits, classes=classes)
    for line in found.notes.lines():
        log.info("%s", line)
    if found.subset is not None:
        log.info("%s", found.subset.line)
        for line in found.subset.warnings:
            log.warning("%s", line)
    _warn_of_audio(found.audio_notes)
    if classes is None:
        check(found)
        if not found.chosen and "train" not in found.labels:
            raise DataError("the data set has no training split: name its labels with data.classes")
    else:
        check_faults(found.faults, strict=found.strict)
        _check_events(found)
        compare_labels(found.labels, classes)
    return found


def survey(
    data: DataConfig, *, splits: Sequence[str] = SPLITS, classes: Sequence[str] | None = None
) -> Manifest:
    """List a data set like :func:`load_manifest`, but return its faults instead of raising them.

    If neither the configuration nor the data set names the classes and there is no training split,
    they are the labels of all splits. For a training split reduced by ``data.train_share`` or
    ``data.train_minutes`` they are those of the whole split.

    Raises:
        DataError: if there is no such folder or no readable split, or if a training split is
            reduced to recordings without events.
    """
    described = _generate(data) if isinstance(data, SoundscapesConfig) else data
    assert isinstance(described, RecordedConfig)
    alone = classes is None and described.classes is None and "train" not in splits
    listing = _list(described, [*splits, "train"] if alone else splits)
    chosen = classes or described.classes or listing.classes
    unknown_label = described.unknown_label
    if unknown_label in (chosen or ()):
        unknown_label = None
    labels = {
        name: {label for one in clips for label in one.labels} - {unknown_label}
        for name, clips in listing.splits.items()
    }
    known = tuple(chosen or labels_to_learn(labels))
    wanted = {name: clips for name, clips in listing.splits.items() if name in splits}
    faults = list(listing.faults)
    if not chosen:
        for pair in alike(known):
            listing.notes.add(
                "names that differ only in case or blanks, kept as separate classes (data.merge "
                "joins them)",
                pair,
            )
        faults += unknown_labels(wanted, {*known, unknown_label})
    if classes is None:
        named = {
            label
            for name in wanted
            for label in _annotated(described, name, unknown_label).classes or ()
        }
        faults += unknown_names(wanted, named, known, Path(described.root))
    inspect_all(
        [one.path for clips in wanted.values() for one in clips if not one.problem], data.cache_dir
    )
    times = Times(described.time_unit if isinstance(described, AnnotatedConfig) else "s")
    opened = {name: _open(name, clips, times, faults) for name, clips in wanted.items()}
    if guessed := times.settle():
        listing.notes.add(guessed)
    looked_at = {
        name: [
            _with_events(one, _annotated(described, name, unknown_label), known, times)
            for one in clips
        ]
        for name, clips in opened.items()
    }
    if WEAK in looked_at:
        looked_at[WEAK] = [tagged(one) for one in looked_at[WEAK]]
    subset = None
    if "train" in looked_at:
        subset = subset_of(looked_at["train"], data, getattr(described, "group", None))
    if subset is not None:
        looked_at["train"] = subset.clips
    annotated = [one for name, of in listing.splits.items() if name != UNLABELLED for one in of]
    annotated += listing.elsewhere
    for name in wanted:  # complete, whatever the amount of other training data
        own = list_background(described, name, annotated, listing.notes)
        inspect_all([one.path for one in own], data.cache_dir)
        silent = _open(name, own, times, faults)
        looked_at[name] = [
            *looked_at[name],
            *(_with_events(one, Annotated(), known, times) for one in silent),
        ]
    if UNLABELLED in looked_at:
        own = looked_at.pop(UNLABELLED)
        held = (one for clips in looked_at.values() for one in clips)
        looked_at[UNLABELLED] = unlabelled(own, held, known)
    return replace(
        listing,
        classes=known,
        splits=looked_at,
        subset=subset,
        faults=(*faults, *times.faults),
        labels=labels,
        chosen=bool(chosen),
        strict=described.strict,
    )


def check(manifest: Manifest) -> None:
    """Reject faults, and a training split without anything to learn.

    Raises:
        DataError: one for all faults.
    """
    check_faults(manifest.faults, strict=manifest.strict)
    if "train" in manifest.splits:
        refuse_nothing_to_learn(manifest.labels["train"], manifest.classes)
    _check_events(manifest)


def _check_events(manifest: Manifest) -> None:
    """Reject a training split or data set that has lost all its events to repairs."""
    left = {name for name, clips in manifest.splits.items() if any(one.events for one in clips)}
    lost = [
        name
        for name in manifest.splits
        if name not in left and manifest.labels[name] & set(manifest.classes)
    ]
    if "train" in lost or (lost and not left):
        raise DataError(
            f"no event is left in {', '.join(lost)}: all were dropped as faults; correct the "
            "annotations (sedtf data shows them)"
        )


def _generate(data: SoundscapesConfig) -> AnnotatedConfig:
    """Write the soundscapes unless they exist, and describe them as an annotated data set."""
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
        if not hold(folder):  # another process has deleted it in the meantime
            return _generate(data)
    return AnnotatedConfig(
        sequence_length=data.sequence_length,
        cache_dir=data.cache_dir,
        root=str(folder),
        train=TrainSplitConfig("train.tsv", "audio/train"),
        validation=SplitConfig("validation.tsv", "audio/validation"),
        test=SplitConfig("test.tsv", "audio/test"),
        classes=list(settings.classes),
    )


def _list(data: RecordedConfig, splits: Sequence[str]) -> Manifest:
    folder = Path(data.root).expanduser()
    if not folder.is_dir():
        raise DataError(f"data.root={data.root}: no such folder; name that of the data set")
    if isinstance(data, PublishedConfig):
        listing = list_published(data, folder)
        wanted = {name: listing.splits[name] for name in splits if name in listing.splits}
        relabelling = Relabelling.of(data)
        if relabelling.is_active:
            wanted = {name: list(map(relabelling.clip, clips)) for name, clips in wanted.items()}
            listing = replace(listing, classes=relabelling.labels(listing.classes))
        return replace(listing, splits=wanted)
    assert isinstance(data, AnnotatedConfig)
    return list_annotated(data, folder, splits)


# -------------------------------------------------------------------------------- audio


def _annotated(data: RecordedConfig, split: str, unknown_label: str | None) -> Annotated:
    """Coverage of a split by the settings of its data set."""
    own = getattr(data, split, None)
    of_split = own.annotated_classes if isinstance(own, SplitConfig) else None
    classes = data.annotated_classes if of_split is None else of_split
    return Annotated(classes=classes, unknown_label=unknown_label)


def _open(split: str, listed: Sequence[Clip], times: Times, faults: list[Fault]) -> list[Clip]:
    """Read the headers of a split's recordings; unusable ones are added to ``faults``."""
    missing = [one for one in listed if one.is_missing]
    faults += missing_audio(split, missing, len(listed))
    left_out = {id(one) for one in missing}
    clips = []
    for one in listed:
        if id(one) in left_out:
            continue
        try:
            facts = inspect_audio(one.path)
        except DataError as error:
            repair = "the recording is skipped"
            faults.append(Fault(one.annotations, one.line, str(error), repair))
            continue
        if facts.loss is not None:
            message = f"{one.path}: {facts.loss}; copy or convert it again, or exclude it"
            repair = f"the first {facts.duration_s:.2f} s are used"
            faults.append(Fault(one.annotations, one.line, message, repair))
        times.look_at(one, facts.duration_s, facts.sample_rate, is_whole=facts.loss is None)
        clips.append(replace(one, duration_s=facts.duration_s, facts=facts))
    return clips


def _with_events(one: Clip, annotated: Annotated, classes: Sequence[str], times: Times) -> Clip:
    """Return the events of the classes within a recording, and the unknown spans."""
    assert one.facts is not None
    one = times.in_seconds(one, one.facts.sample_rate)
    within = times.within(one, one.duration_s)
    events, unknown = annotated.told_apart(one, within, one.duration_s, classes)
    return replace(one, events=tuple(events), unknown=tuple(unknown), rows=(), in_samples=False)


def _warn_of_audio(notes: Sequence[str]) -> None:
    for note in notes[:_SHOWN]:
        log.warning("%s", note)
    if len(notes) > _SHOWN:
        log.warning("%d more such recordings: see sedtf data", len(notes) - _SHOWN)
