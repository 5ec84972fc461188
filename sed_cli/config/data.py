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
"""Published data sets, with their number of folds."""
# Classes that can be synthesised, by data.soundscapes.voices.
EVENT_CLASSES = (
    *("bell", "call", "clicks", "falling_chirp", "hiss", "knock", "rattle"),
    *("rising_chirp", "siren", "warble"),
)


@dataclass
class AnyDataConfig(Settings):
    """The data of any task."""

    kind: str = setting(MISSING, "kind of data")

    def faults(self, prefix: str = "data.") -> list[str]:
        """All faults, in single values and in combinations."""
        return range_faults(self, prefix)

    def forget_cache(self) -> None:
        """Leave out the location of the cache, which matters only on the machine that had it."""


@dataclass
class DataConfig(AnyDataConfig):
    """Settings that all data sets of recordings share."""

    sequence_length: int = setting(313, "length of a training sequence", unit="frames", at_least=1)
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
        "keep this many minutes of training recordings, in random order; null: all",
        unit="min",
        above=0,
        before=DEFAULT,
    )
    train_seed: int = setting(0, "seed of that order", at_least=0, role=Role.FREE, before=DEFAULT)
    cache_dir: str | None = setting(
        None, "null: SEDTF_CACHE, otherwise the user's cache folder", role=Role.PLACE
    )
    cache_limit_gb: float | None = setting(
        None,
        "maximum size of the cache; null: SEDTF_CACHE_LIMIT_GB, otherwise 20 or half of the free "
        "disk; deletes the least recently used entries first",
        unit="10^9 bytes",
        at_least=0,
        role=Role.PLACE,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Add faults in the amount of training data."""
        return [*super().faults(prefix), *amount_faults(self, prefix)]

    def forget_cache(self) -> None:
        """Leave out where features and soundscapes are cached."""
        self.cache_dir = self.cache_limit_gb = None


def amount_faults(data: DataConfig, prefix: str) -> list[str]:
    """Faults in a training split that is reduced in two ways."""
    faults = Faults()
    faults.require(
        data.train_share is None or data.train_minutes is None,
        f"{prefix}train_share={data.train_share} and {prefix}train_minutes={data.train_minutes}: "
        f"both limit the training split; drop one of them",
    )
    return faults


@dataclass
class SoundscapesConfig(DataConfig):
    """Generated soundscapes: synthetic events with a syntax, or the events of a bank of clips."""

    kind: str = setting("soundscapes")
    n_train: int = setting(
        200, "number of recordings in the training split", at_least=0, at_most=_MOST_FILES
    )
    n_validation: int = setting(
        40, "number of recordings in the validation split", at_least=0, at_most=_MOST_FILES
    )
    n_test: int = setting(
        60, "number of recordings in the test split", at_least=0, at_most=_MOST_FILES
    )
    duration_s: float = setting(
        10.0, "duration of a recording", unit="s", at_least=1, at_most=24 * 3600
    )
    sample_rate: int = setting(
        16000, "of the recordings", unit="Hz", at_least=8000, at_most=10_000_000
    )
    classes: list[str] | None = setting(None, "classes to use, such as [bell, siren]; null: all")
    polyphony: int = setting(
        2, "number of overlapping chains of events", at_least=1, at_most=_MOST_CHAINS
    )
    snr_db: list[float] = setting(
        [-3.0, 15.0], "range of signal-to-noise ratios of events", unit="dB"
    )
    syntax_strength: float = setting(
        0.85,
        "0: any event may follow any; 1: only the two successors of each",
        at_least=0,
        at_most=1,
    )
    transition: Any = setting(
        None,
        "transitions between classes, instead of a random syntax: a table, the data.json of sedtf "
        "data, or {bell: {siren: 3}, siren: {bell: 1}}",
        role=Role.PATH,
    )
    gap_s: list[float] = setting([0.2, 1.0], "range of the typical silence after a class", unit="s")
    event_duration_s: list[float] | None = setting(
        None, "[shortest, longest]; longer events are cut; null: unchanged", unit="s"
    )
    empty_fraction: float = setting(
        0.04, "share of recordings without events", at_least=0, at_most=1
    )
    noise_slope: list[float] = setting(
        [0.0, 2.0], "spectral exponent of the background: 0 white, 1 pink, 2 brown"
    )
    seed: int = setting(0, "seed of the generator", at_least=0, role=Role.FREE)
    bank: str | None = setting(
        None,
        "folder of class folders of isolated clips; null: synthetic events",
        role=Role.PATH,
    )
    bank_pause_s: float = setting(
        0.5, "a longer silence within a clip splits it into two events", unit="s", at_least=0
    )
    bank_splits: str | None = setting(
        None,
        "table of clip and split; null: train/validation/test folders, otherwise folds in the "
        "file names (FOLD-SOURCE-TAKE), otherwise random, by source",
        role=Role.PATH,
    )
    split: list[float] = setting(SPLIT_SHARES, "shares of each class's sources in a random split")
    split_seed: int = setting(0, "seed of that split", at_least=0)
    group: str | None = setting(
        None,
        "regular expression: clips with the same match in their paths (its first group) come from "
        "one source; null: FOLD-SOURCE-TAKE, or SOURCE-CLASS-OCCURRENCE-SLICE, otherwise each "
        "clip",
    )
    strict: bool = setting(True, "reject broken and silent clips; false: skip and report them")

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults in soundscapes for training: each split needs a recording."""
        faults = Faults([*self.faults_of_set(prefix), *amount_faults(self, prefix)])
        for key in ("n_train", "n_validation", "n_test"):
            faults.require(
                getattr(self, key) != 0, f"{prefix}{key}={getattr(self, key)}: expected at least 1"
            )
        faults.require(
            self.empty_fraction != 1,
            f"{prefix}empty_fraction={self.empty_fraction}: no recording would contain an "
            f"event to learn from; expected less than 1",
        )
        return faults

    def faults_of_set(self, prefix: str = "data.") -> list[str]:
        """Faults in soundscapes for `sedtf synth`; splits may be empty."""
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
    """Faults in the contents of soundscapes.

    Args:
        values: a :class:`SoundscapesConfig`, or the settings of a written data set, which have
            its keys except those that locate a bank.
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
    """Settings that data sets on disk share."""

    root: str = setting(MISSING, "folder of the data set", role=Role.PLACE | Role.PATH)
    classes: list[str] | None = setting(
        None, "labels to detect; null: those of the training annotations, sorted"
    )
    annotated_classes: list[str] | None = setting(
        None,
        "classes that are annotated in all recordings; any other class counts as annotated in "
        "recordings with an event of it, and as unknown in all others; null: all, unless a column "
        "annotated_classes of the tables differs",
        before=DEFAULT,
    )
    unknown_label: str | None = setting(
        "unknown",
        "label of events that the annotator could not identify, unless it is one of "
        "data.classes; null: none",
        before=DEFAULT,
    )
    fold: int | None = setting(None, "fold that is the test split, from 1: -m data.fold=1,2,3,4")
    split_seed: int = setting(0, "seed of the division into splits", at_least=0)
    leak_check: str = setting(
        "all",
        "all: reject identical files in two splits, and warn if two files contain the same "
        "sound; copies: only reject identical files; none",
        choices=("all", "copies", "none"),
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults in ranges, a missing root and repeated classes."""
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
    """Real recordings with annotations, in any supported format."""

    kind: str = setting("annotated")
    train: TrainSplitConfig | None = setting(
        TrainSplitConfig("train.tsv"), "training split, of a data set with splits"
    )
    validation: SplitConfig | None = setting(
        SplitConfig("validation.tsv"), "validation split; null: no early stopping"
    )
    test: SplitConfig | None = setting(SplitConfig("test.tsv"), "test split; null: no evaluation")
    annotations: str | None = setting(
        None,
        "annotations of a data set without splits: a file, or a folder with one file per "
        "recording, matched by name",
    )
    audio: str = setting(".", "folder of its recordings")
    split: list[float] = setting(
        SPLIT_SHARES, "shares of training, validation and test, by whole recordings"
    )
    folds: int | None = setting(None, "number of folds for cross-validation", at_least=2)
    whole_clips: bool = setting(False, "labels without times apply to the whole recording")

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults in the annotations and in the division of a data set without splits."""
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
    """A published data set as unpacked, with its splits and folds."""

    kind: str = setting("published")
    name: str = setting(MISSING, "name of the data set", choices=tuple(PUBLISHED))
    validation_share: float = setting(
        0.2, "share of the training data held out for early stopping", at_least=0, below=1
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Add faults in the fold."""
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
