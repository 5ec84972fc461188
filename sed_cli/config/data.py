"""Settings of recordings: soundscapes, annotated recordings, published data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sed_cli.config.annotations import (
    SPLIT_SHARES,
    SPLITS,
    AnnotationsConfig,
    AnyFormatConfig,
    group_faults,
    split_faults,
)
from sed_cli.config.faults import Faults
from sed_cli.config.settings import DEFAULT, MISSING, Role, Settings, range_faults, setting
from sed_cli.config.splits import SplitConfig, TrainSplitConfig

_MOST_FILES = 10_000_000
_MOST_CHAINS = 1000
PUBLISHED = {
    "tut2016_home": 4,
    "tut2016_residential": 4,
    "tut2017": 4,
    "tut_synthetic_2016": 0,
    "urban_sed": 0,
    "desed_strong": 0,
    "maestro_real": 5,
}
"""Published data sets, and how many folds each was published with."""
# What can be synthesised; data.soundscapes.voices says how each one sounds.
EVENT_CLASSES = (
    *("bell", "call", "clicks", "falling_chirp", "hiss", "knock", "rattle"),
    *("rising_chirp", "siren", "warble"),
)


@dataclass
class AnyDataConfig(Settings):
    """The data of any task."""

    kind: str = setting(MISSING, "kind of data")

    def faults(self, prefix: str = "data.") -> list[str]:
        """All that is wrong with the values, alone and against each other."""
        return range_faults(self, prefix)

    def forget_cache(self) -> None:
        """Leave out where a cache is: nobody's business but that of the machine it was on."""


@dataclass
class DataConfig(AnyDataConfig):
    """What all data sets of recordings share."""

    sequence_length: int = setting(313, "of a training sequence", unit="frames", at_least=1)
    train_share: float | None = setting(
        None,
        "share of the training recordings to keep; a larger share contains every smaller one; "
        "null: all",
        above=0,
        at_most=1,
        before=DEFAULT,
    )
    train_minutes: float | None = setting(
        None,
        "keep training recordings, in drawn order, until they last this long; null: all",
        unit="min",
        above=0,
        before=DEFAULT,
    )
    train_seed: int = setting(
        0, "of the order of these recordings", at_least=0, role=Role.FREE, before=DEFAULT
    )
    cache_dir: str | None = setting(
        None, "null: SEDTF_CACHE, otherwise the user's cache folder", role=Role.PLACE
    )
    cache_limit_gb: float | None = setting(
        None,
        "size of the cache at most; null: SEDTF_CACHE_LIMIT_GB, otherwise 20 or half of the free "
        "disk; the least recently used entries are deleted first",
        unit="10^9 bytes",
        at_least=0,
        role=Role.PLACE,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of how much is trained on too."""
        return [*super().faults(prefix), *amount_faults(self, prefix)]

    def forget_cache(self) -> None:
        """Leave out where features and soundscapes were cached."""
        self.cache_dir = self.cache_limit_gb = None


def amount_faults(data: DataConfig, prefix: str) -> list[str]:
    """Faults of a training split that is cut in two ways."""
    faults = Faults()
    faults.require(
        data.train_share is None or data.train_minutes is None,
        f"{prefix}train_share={data.train_share} and {prefix}train_minutes={data.train_minutes}: "
        f"each sets how much of the training split is kept; drop one of the two",
    )
    return faults


@dataclass
class SoundscapesConfig(DataConfig):
    """Generated soundscapes: synthetic events with a syntax, or the events of a bank of clips."""

    kind: str = setting("soundscapes")
    n_train: int = setting(200, "recordings of the training split", at_least=0, at_most=_MOST_FILES)
    n_validation: int = setting(
        40, "recordings of the validation split", at_least=0, at_most=_MOST_FILES
    )
    n_test: int = setting(60, "recordings of the test split", at_least=0, at_most=_MOST_FILES)
    duration_s: float = setting(10.0, "of a recording", unit="s", at_least=1, at_most=24 * 3600)
    sample_rate: int = setting(
        16000, "of the recordings", unit="Hz", at_least=8000, at_most=10_000_000
    )
    classes: list[str] | None = setting(None, "null: all available; or some, as [bell, siren]")
    polyphony: int = setting(
        2, "number of overlapping chains of events", at_least=1, at_most=_MOST_CHAINS
    )
    snr_db: list[float] = setting(
        [-3.0, 15.0], "range of the events' signal-to-noise ratios", unit="dB"
    )
    syntax_strength: float = setting(
        0.85,
        "0: any event may follow any; 1: only the two successors of each",
        at_least=0,
        at_most=1,
    )
    transition: Any = setting(
        None,
        "which class follows which, instead of a random syntax: a table, the data.json of sedtf "
        "data, or {bell: {siren: 3}, siren: {bell: 1}}",
        role=Role.PATH,
    )
    gap_s: list[float] = setting([0.2, 1.0], "range of the classes' typical silences", unit="s")
    event_duration_s: list[float] | None = setting(
        None, "[shortest, longest]; longer events are cut; null: unchanged", unit="s"
    )
    empty_fraction: float = setting(
        0.04, "share of recordings without any event", at_least=0, at_most=1
    )
    noise_slope: list[float] = setting(
        [0.0, 2.0], "of the background's spectrum: 0 white, 1 pink, 2 brown"
    )
    seed: int = setting(0, "of the generator", at_least=0, role=Role.FREE)
    bank: str | None = setting(
        None,
        "folder of class folders of isolated clips; null: synthetic events",
        role=Role.PATH,
    )
    bank_pause_s: float = setting(
        0.5, "a longer silence within a clip ends an event", unit="s", at_least=0
    )
    bank_splits: str | None = setting(
        None,
        "table of clip and split; null: train/validation/test folders, otherwise folds in the "
        "file names (FOLD-SOURCE-TAKE), otherwise sources are drawn",
        role=Role.PATH,
    )
    split: list[float] = setting(
        SPLIT_SHARES, "shares of each class's sources, where they are drawn"
    )
    split_seed: int = setting(0, "of that draw", at_least=0)
    group: str | None = setting(
        None,
        "regular expression: clips with the same match in their paths (its first group) come from "
        "one source; null: FOLD-SOURCE-TAKE, or SOURCE-CLASS-OCCURRENCE-SLICE, otherwise each "
        "clip",
    )
    strict: bool = setting(
        True, "refuse broken and silent clips; false: leave them out, and report it"
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of soundscapes that a model is trained on: each split has a recording."""
        faults = Faults([*self.faults_of_set(prefix), *amount_faults(self, prefix)])
        for key in ("n_train", "n_validation", "n_test"):
            faults.require(
                getattr(self, key) != 0, f"{prefix}{key}={getattr(self, key)}: expected at least 1"
            )
        faults.require(
            self.empty_fraction != 1,
            f"{prefix}empty_fraction={self.empty_fraction}: no recording would hold an event, so "
            f"that there is nothing to learn; expected less than 1",
        )
        return faults

    def faults_of_set(self, prefix: str = "data.") -> list[str]:
        """Faults of soundscapes that are written; splits may be empty."""
        faults = Faults(soundscape_faults(self, prefix))
        faults += split_faults(self.split, prefix)
        faults += group_faults(self.group, prefix)
        for key in ("bank_splits", "group"):
            faults.require(
                self.bank is not None or getattr(self, key) is None,
                f"{prefix}{key} is set, but there is no bank: name its folder with {prefix}bank",
            )
        return faults


_RANGES = {
    "snr_db": (-60.0, 60.0),
    "gap_s": (0.0, 60.0),
    "noise_slope": (0.0, 4.0),
    "event_duration_s": (0.05, 3600.0),
}


def soundscape_faults(values: Any, prefix: str) -> list[str]:
    """Faults of what soundscapes are made of.

    Args:
        values: a :class:`SoundscapesConfig`, or the settings of a written data set, which have
            its keys but those that say where a bank comes from.
        prefix: of the keys in the messages.
    """
    faults = range_faults(values, prefix, SoundscapesConfig)
    for key, (low, high) in _RANGES.items():
        pair = getattr(values, key)
        faults.require(
            pair is None or (len(pair) == 2 and low <= pair[0] <= pair[1] <= high),
            f"{prefix}{key}={None if pair is None else list(pair)}: expected two numbers, "
            f"the lower one first, from {low:g} to {high:g}",
        )
    classes = values.classes
    if classes is None:
        return faults
    named = f"{prefix}classes={list(classes)}"
    faults.require(len(classes) > 0, f"{named}: expected at least one class")
    faults.require(len(set(classes)) == len(classes), f"{named} repeats a class: name each once")
    if values.bank is None and (unknown := sorted(set(classes) - set(EVENT_CLASSES))):
        faults.append(
            f"{named}: {', '.join(unknown)} cannot be synthesised: choose from "
            f"{', '.join(EVENT_CLASSES)}, or name a bank with data.bank"
        )
    return faults


@dataclass
class RecordedConfig(AnnotationsConfig, DataConfig):
    """What data sets of recordings on disk share."""

    root: str = setting(MISSING, "folder of the data set", role=Role.PLACE | Role.PATH)
    classes: list[str] | None = setting(
        None, "labels to detect; null: those of the training annotations, sorted"
    )
    annotated_classes: list[str] | None = setting(
        None,
        "classes that are annotated in all recordings; other classes count as annotated in "
        "recordings with an event of theirs, and as unknown elsewhere; null: all, unless a column "
        "annotated_classes of the tables differs",
        before=DEFAULT,
    )
    unknown_label: str | None = setting(
        "unknown",
        "label of spans that the annotator could not identify, unless it is one of data.classes; "
        "null: none",
        before=DEFAULT,
    )
    fold: int | None = setting(None, "fold that is the test split, from 1: -m data.fold=1,2,3,4")
    split_seed: int = setting(0, "of the division into splits", at_least=0)
    leak_check: str = setting(
        "all",
        "all: refuse equal files in two splits and warn if two contain the same sound; copies: "
        "refuse only; none",
        choices=("all", "copies", "none"),
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of ranges, of a root that is not set, and of repeated classes."""
        faults = Faults(super().faults(prefix))
        faults.require(
            self.root != MISSING, f"{prefix}root is not set: name the folder of the data set"
        )
        faults.require(
            self.classes is None or (len(self.classes) == len(set(self.classes)) > 0),
            f"{prefix}classes={self.classes}: expected distinct labels, or null",
        )
        return faults


@dataclass
class AnnotatedConfig(AnyFormatConfig, RecordedConfig):
    """Real recordings with annotations, in any format that is known."""

    kind: str = setting("annotated")
    train: TrainSplitConfig | None = setting(
        TrainSplitConfig("train.tsv"), "of a data set with splits"
    )
    validation: SplitConfig | None = setting(
        SplitConfig("validation.tsv"), "null: no early stopping"
    )
    test: SplitConfig | None = setting(SplitConfig("test.tsv"), "null: no evaluation")
    annotations: str | None = setting(
        None,
        "of a data set without splits: a file, or a folder with one file per recording, matched "
        "by name",
    )
    audio: str = setting(".", "folder of its recordings")
    split: list[float] = setting(
        SPLIT_SHARES, "shares of training, validation and test: whole recordings"
    )
    folds: int | None = setting(None, "number of folds for cross-validation", at_least=2)
    whole_clips: bool = setting(False, "labels without times apply to the whole recording")

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the annotations, and of how a data set without splits is divided."""
        faults = Faults(super().faults(prefix))
        faults += split_faults(self.split, prefix)
        faults += [] if self.train is None else self.train.faults(f"{prefix}train.")
        faults.require(
            (self.folds is None) == (self.fold is None),
            f"{prefix}folds={self.folds} and {prefix}fold={self.fold}: set both, such as "
            f"data.folds=5 data.fold=1 (all of them: -m data.fold=1,2,3,4,5)",
        )
        if self.folds is not None and self.fold is not None:
            faults.require(
                1 <= self.fold <= self.folds,
                f"{prefix}fold={self.fold}: expected a number from 1 to data.folds={self.folds}",
            )
        lists = [name for name in SPLITS if getattr(self, name) and getattr(self, name).files]
        faults.require(
            not lists or self.annotations is not None,
            f"{prefix}{lists[0] if lists else ''}.files lists recordings of a data set without "
            f"splits: name its annotations with data.annotations",
        )
        faults.require(
            not (lists and self.folds),
            f"{prefix}folds={self.folds}, but data.{lists[0] if lists else ''}.files lists the "
            f"recordings of a split: drop one of the two",
        )
        return faults


@dataclass
class PublishedConfig(RecordedConfig):
    """A published data set as it unzips, with its splits and folds."""

    kind: str = setting("published")
    name: str = setting(MISSING, "name of the data set", choices=tuple(PUBLISHED))
    validation_share: float = setting(
        0.2, "of the training part, held out for early stopping", at_least=0, below=1
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the fold too."""
        faults = Faults(super().faults(prefix))
        folds = PUBLISHED.get(self.name, 0)
        faults.require(
            self.fold is None or 1 <= self.fold <= folds,
            f"{prefix}fold={self.fold}: {self.name} has "
            f"{f'folds 1 to {folds}' if folds else 'none'}; expected one of them, or null",
        )
        return faults


DATA_SETS: dict[str, type[DataConfig]] = {
    "soundscapes": SoundscapesConfig,
    "annotated": AnnotatedConfig,
    "published": PublishedConfig,
}
