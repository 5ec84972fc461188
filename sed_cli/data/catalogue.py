"""Who is in which split: recordings with their events, checked, before any sample is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sed_cli.audio import AudioFacts, inspect_audio
from sed_cli.config.data import (
    SPLITS,
    AnnotatedConfig,
    DataConfig,
    PublishedConfig,
    RecordedConfig,
    SoundscapesConfig,
    SplitConfig,
)
from sed_cli.data.annotated import list_annotated, missing_audio
from sed_cli.data.annotations import Event, Fault, check_faults
from sed_cli.data.cache.known_audio import inspect_all
from sed_cli.data.cache.upkeep import cache_root, hold
from sed_cli.data.labels import (
    compare_labels,
    labels_to_learn,
    refuse_nothing_to_learn,
    unknown_labels,
)
from sed_cli.data.listing import Listed, Listing
from sed_cli.data.published import list_published
from sed_cli.data.soundscapes import generate_soundscapes, plan_soundscapes
from sed_cli.data.times import Times
from sed_cli.errors import DataError
from sed_cli.system import locks

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
        facts: what the file holds; ``None`` where nobody has looked.
    """

    name: str
    path: Path
    duration_s: float
    events: tuple[Event, ...]
    facts: AudioFacts | None = None


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

    @property
    def audio_notes(self) -> tuple[str, ...]:
        """What was taken otherwise than headers of audio files say, a line a file."""
        entries = [entry for split in self.catalogue.splits.values() for entry in split]
        return tuple(
            f"{entry.path}: {note}"
            for entry in entries
            if entry.facts is not None
            for note in entry.facts.notes
        )

    def check(self) -> None:
        """Refuse faults, and a training split that a model can learn nothing from.

        Raises:
            DataError: one for all faults.
        """
        check_faults(self.faults, strict=self.strict)
        if "train" in self.catalogue.splits:
            refuse_nothing_to_learn(self.listing.splits["train"], self.catalogue.classes)
        self.check_events()

    def check_events(self) -> None:
        """Refuse a training split, or a set, that has lost all of its events to repairs.

        Raises:
            DataError: if it has.
        """
        lost = []
        for name, entries in self.catalogue.splits.items():
            listed = self.listing.splits[name]
            had = any(one.labels & set(self.catalogue.classes) for one in listed)
            if had and not any(entry.events for entry in entries):
                lost.append(name)
        if "train" in lost or (lost and not any(map(_has_events, self.catalogue.splits.values()))):
            raise DataError(
                f"no event is left in {', '.join(lost)}: all were dropped as faults; mend the "
                f"annotations (sedtf data shows them)"
            )


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
    for line in found.listing.notes.lines():
        log.info("%s", line)
    _warn_of_audio(found.audio_notes)
    if classes is None:
        found.check()
        if not found.chosen and "train" not in found.listing.splits:
            raise DataError("the set has no training split: name its labels with data.classes")
    else:
        check_faults(found.faults, strict=found.strict)
        found.check_events()
        compare_labels(found.listing.splits, classes)
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
    labels = tuple(chosen or labels_to_learn(listing))
    wanted = {name: listed for name, listed in listing.splits.items() if name in splits}
    faults = list(listing.faults)
    if not chosen:
        faults += unknown_labels(wanted, labels)
    inspect_all(_present(wanted.values()), data.cache_dir)
    times = Times(described.time_unit if isinstance(described, AnnotatedConfig) else "s")
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


def _has_events(entries: Sequence[Entry]) -> bool:
    return any(entry.events for entry in entries)


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
    return list_annotated(data, folder, splits)


# -------------------------------------------------------------------------------- audio


def _look_at(
    split: str, listed: Sequence[Listed], classes: Sequence[str], times: Times, faults: list[Fault]
) -> list[Entry]:
    """Read the headers of a split's recordings; what does not fit is added to ``faults``."""
    missing = [one for one in listed if one.problem or not one.audio.is_file()]
    faults += missing_audio(split, missing, len(listed))
    left_out = {id(one) for one in missing}
    entries = []
    for one in listed:
        if id(one) in left_out:
            continue
        line = one.rows[0].line if one.rows else None
        try:
            facts = inspect_audio(one.audio)
        except DataError as error:
            faults.append(Fault(one.annotations, line, str(error), "the recording is left out"))
            continue
        if facts.loss is not None:
            message = f"{one.audio}: {facts.loss}; copy or convert it again, or leave it out"
            repair = f"the first {facts.duration_s:.2f} s are used"
            faults.append(Fault(one.annotations, line, message, repair))
        length_s = facts.duration_s
        one = times.in_seconds(one, length_s, facts.sample_rate, is_whole=facts.loss is None)
        events = times.within(one, length_s)
        entries.append(
            Entry(
                name=one.name,
                path=one.audio,
                duration_s=length_s,
                events=tuple(sorted(event for event in events if event.label in classes)),
                facts=facts,
            )
        )
    return entries


def _present(splits: Iterable[Sequence[Listed]]) -> list[Path]:
    return [one.audio for listed in splits for one in listed if not one.problem]


def _warn_of_audio(notes: Sequence[str]) -> None:
    for note in notes[:_SHOWN]:
        log.warning("%s", note)
    if len(notes) > _SHOWN:
        log.warning("%d more such recordings: see sedtf data", len(notes) - _SHOWN)
