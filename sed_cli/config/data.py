"""Settings of data: soundscapes, recordings, published data sets, and sequences of tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sed_cli.config.faults import Faults
from sed_cli.config.settings import MISSING, Role, Settings, range_faults, setting

SPLITS = ("train", "validation", "test")
# What a table of annotations may hold; data.columns says how a table calls them.
COLUMNS = ("filename", "onset", "offset", "duration", "event_label", "soft_label")
TIME_UNITS = ("auto", "s", "ms", "min", "h", "samples")
DECIMAL_MARKS = ("auto", "point", "comma")
_MOST_FILES = 10_000_000
TOKEN_UNITS = ("word", "char")
PAIR_TASKS = ("reverse", "digits")
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

_SPLIT = [0.7, 0.15, 0.15]
_STRICT = "false: repair annotations where that is safe, and report it"
_SOFT = "a segment with a soft label above it is active"
_DURATION = "how long an event lasts where only its onset is annotated"
_COLUMNS = "names of the columns in the tables; null: recognised by the usual names"


@dataclass
class AnyDataConfig(Settings):
    """The data of any task."""

    kind: str = setting(MISSING, "what sort of data they are")

    def faults(self, prefix: str = "data.") -> list[str]:
        """All that is wrong with the values, alone and against each other."""
        return range_faults(self, prefix)

    def forget_cache(self) -> None:
        """Leave out where a cache is: nobody's business but that of the machine it was on."""


@dataclass
class DataConfig(AnyDataConfig):
    """What all data sets of recordings share."""

    sequence_length: int = setting(313, "of a training sequence", unit="frames", at_least=1)
    cache_dir: str | None = setting(
        None, "null: SEDTF_CACHE, else the user's cache folder", role=Role.PLACE
    )
    cache_limit_gb: float | None = setting(
        None,
        "kept at most; null: SEDTF_CACHE_LIMIT_GB, else 20 or half of the room on the disk; the "
        "least recently used goes first",
        unit="10^9 bytes",
        at_least=0,
        role=Role.PLACE,
    )

    def forget_cache(self) -> None:
        """Leave out where features and soundscapes were cached."""
        self.cache_dir = self.cache_limit_gb = None


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
    classes: list[str] | None = setting(None, "null: all there are; or some, as [bell, siren]")
    polyphony: int = setting(2, "chains of events that overlap one another", at_least=1)
    snr_db: list[float] = setting(
        [-3.0, 15.0], "range of the events' signal-to-noise ratios", unit="dB"
    )
    syntax_strength: float = setting(
        0.85, "0: any event follows any; 1: only the two successors of each", at_least=0, at_most=1
    )
    transition: Any = setting(
        None,
        "who follows whom, instead of a random syntax: a table, the data.json of sedtf data, or "
        "{bell: {siren: 3}, siren: {bell: 1}}",
        role=Role.PATH,
    )
    gap_s: list[float] = setting([0.2, 1.0], "range of the classes' typical silences", unit="s")
    event_duration_s: list[float] | None = setting(
        None, "[shortest, longest]; longer events are cut; null: as they are", unit="s"
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
        "table of clip and split; null: train/validation/test folders, else folds in the file "
        "names (FOLD-SOURCE-TAKE), else sources are drawn",
        role=Role.PATH,
    )
    split: list[float] = setting(_SPLIT, "shares of each class's sources, where they are drawn")
    split_seed: int = setting(0, "of that draw", at_least=0)
    group: str | None = setting(
        None,
        "regular expression: clips in whose paths it finds the same (its first group) are one "
        "source; null: FOLD-SOURCE-TAKE, or SOURCE-CLASS-OCCURRENCE-SLICE, else each clip",
    )
    strict: bool = setting(True, "false: leave broken and silent clips out, and report it")

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of soundscapes that a model is trained on: each split has a recording."""
        faults = Faults(self.faults_of_set(prefix))
        for key in ("n_train", "n_validation", "n_test"):
            faults.require(
                getattr(self, key) != 0, f"{prefix}{key}={getattr(self, key)}: expected at least 1"
            )
        return faults

    def faults_of_set(self, prefix: str = "data.") -> list[str]:
        """Faults of soundscapes that are written; splits may be empty."""
        faults = Faults(soundscape_faults(self, prefix))
        faults += _split_faults(self.split, prefix)
        faults += _group_faults(self.group, prefix)
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
class SplitConfig(Settings):
    """One split of an annotated data set: all paths are relative to ``data.root``."""

    annotations: str = setting(MISSING, "a file, or a folder with a file a recording")
    audio: str = setting("audio", "folder of its recordings")
    files: str | None = setting(
        None, "list of its recordings, of a data set whose annotations are not split"
    )


@dataclass
class RecordedConfig(DataConfig):
    """What data sets of recordings on disk share."""

    root: str = setting(MISSING, "folder of the data set", role=Role.PLACE | Role.PATH)
    classes: list[str] | None = setting(
        None, "labels to detect; null: those of the training annotations, sorted"
    )
    fold: int | None = setting(None, "which fold is the test split, from 1: -m data.fold=1,2,3,4")
    split_seed: int = setting(0, "of the division into splits", at_least=0)
    soft_threshold: float = setting(0.5, _SOFT, at_least=0, below=1)
    strict: bool = setting(True, _STRICT)
    leak_check: str = setting(
        "all",
        "all: refuse equal files in two splits and warn where two hold the same sound; copies: "
        "the former only; none",
        choices=("all", "copies", "none"),
        role=Role.PLACE | Role.FREE,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of ranges, of a root that is not set, and of repeated classes."""
        faults = range_faults(self, prefix)
        faults.require(
            self.root != MISSING, f"{prefix}root is not set: name the folder of the data set"
        )
        faults.require(
            self.classes is None or (len(self.classes) == len(set(self.classes)) > 0),
            f"{prefix}classes={self.classes}: expected distinct labels, or null",
        )
        return faults


@dataclass
class AnnotatedConfig(RecordedConfig):
    """Real recordings with annotations, in any format that is known."""

    kind: str = setting("annotated")
    train: SplitConfig | None = setting(SplitConfig("train.tsv"), "of a data set with splits")
    validation: SplitConfig | None = setting(
        SplitConfig("validation.tsv"), "null: no early stopping"
    )
    test: SplitConfig | None = setting(SplitConfig("test.tsv"), "null: no evaluation")
    annotations: str | None = setting(
        None,
        "of a data set without splits: a file, or a folder with a file a recording, matched by "
        "name",
    )
    audio: str = setting(".", "folder of its recordings")
    split: list[float] = setting(
        _SPLIT, "shares of training, validation and test: whole recordings"
    )
    group: str | None = setting(
        None,
        "regular expression: recordings in whose names it finds the same stay together, such as "
        "'^[^_]*' for site_date_time.wav",
    )
    folds: int | None = setting(None, "cross-validation: into how many folds", at_least=2)
    whole_clips: bool = setting(False, "labels without times hold for the whole recording")
    columns: dict[str, str | None] = setting(dict.fromkeys(COLUMNS), _COLUMNS)
    event_duration_s: float | None = setting(None, _DURATION, unit="s", above=0)
    time_unit: str = setting(
        "auto",
        "of all times; auto: what the header says, else s",
        choices=TIME_UNITS,
        before="auto",
    )
    decimal_mark: str = setting(
        "auto",
        "point or comma, the other one between thousands; auto: told by all times",
        choices=DECIMAL_MARKS,
        before="auto",
    )
    soft_labels: bool | None = setting(
        None,
        "numbers behind the labels of a list: true: soft labels; false: confidences, which are "
        "ignored; null: soft if they fill a grid of segments",
        before=None,
    )

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the annotations, and of how a data set without splits is divided."""
        faults = Faults(super().faults(prefix))
        faults += _column_faults(self.columns, prefix)
        faults += _time_faults(self, prefix)
        faults += _split_faults(self.split, prefix)
        faults += _group_faults(self.group, prefix)
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
    name: str = setting(MISSING, "which one", choices=tuple(PUBLISHED))
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


@dataclass
class TokenSetConfig(AnyDataConfig):
    """What the data of ``task=sequence`` share: sequences of symbols, and which are known.

    They are no :class:`DataConfig`: they have neither frames nor features to cache.
    """

    split: list[float] = setting(
        _SPLIT, "shares of training, validation and test; equal sequences stay together"
    )
    split_seed: int = setting(0, "of the division", at_least=0)
    max_vocabulary: int | None = setting(
        None, "the most frequent symbols of the training split are kept; null: all", at_least=1
    )
    min_count: int = setting(1, "rarer symbols become <unk>", at_least=1)

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of ranges and shares."""
        return [*range_faults(self, prefix), *_split_faults(self.split, prefix)]


_LONGEST = "longer sequences are cut into pieces, as a batch is as wide as its longest; null: never"


@dataclass
class TokensConfig(TokenSetConfig):
    """Lines of a text or symbol file, or sentences of a generated grammar."""

    kind: str = setting("tokens")
    path: str | None = setting(
        None,
        "text file in UTF-8, a sequence a line; null: a generated grammar whose verbs agree with "
        "a subject some words before",
        role=Role.PATH,
    )
    validation_path: str | None = setting(
        None, "a file of its own; null: a share of data.path", role=Role.PATH
    )
    test_path: str | None = setting(None, "the same of the test split", role=Role.PATH)
    unit: str = setting(
        "word",
        "word: separated by white space; char: one character as a reader sees it, accents included",
        choices=TOKEN_UNITS,
    )
    longest_sequence: int | None = setting(1000, _LONGEST, unit="tokens", at_least=1)
    n_train: int = setting(3000, "generated sentences of the training split", at_least=1)
    n_validation: int = setting(500, "of the validation split", at_least=0)
    n_test: int = setting(1000, "of the test split", at_least=0)
    relative_clauses: float = setting(
        0.5,
        "probability that a noun has one, between a subject and its verb",
        at_least=0,
        at_most=1,
    )
    depth: int = setting(2, "how deep they may be nested", at_least=0)
    seed: int = setting(0, "of the sentences", at_least=0, role=Role.FREE)

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the files too."""
        return [*super().faults(prefix), *_path_faults(self, "a generated grammar", prefix)]


@dataclass
class PairsConfig(TokenSetConfig):
    """Sources with their targets: two columns of a table, or pairs made by a rule."""

    kind: str = setting("pairs")
    path: str | None = setting(
        None,
        "table with a header, separated by tabs, commas or semicolons; null: generated pairs",
        role=Role.PATH,
    )
    validation_path: str | None = setting(
        None, "a table of its own; null: a share of data.path", role=Role.PATH
    )
    test_path: str | None = setting(None, "the same of the test split", role=Role.PATH)
    source_column: str = setting("source", "name in the header")
    target_column: str = setting("target", "name in the header")
    source_unit: str | None = setting(
        None, "word, char; null: data.unit, or that of the generated pairs", choices=TOKEN_UNITS
    )
    unit: str | None = setting(
        None,
        "of the target: word, char; null: word, or that of the generated pairs",
        choices=TOKEN_UNITS,
    )
    generate: str = setting(
        "reverse",
        "reverse: letters to the same backwards; digits: a number to words",
        choices=PAIR_TASKS,
    )
    n_train: int = setting(3000, "generated pairs of the training split", at_least=1)
    n_validation: int = setting(500, "of the validation split", at_least=0)
    n_test: int = setting(1000, "of the test split", at_least=0)
    longest: int = setting(8, "letters, or digits, of a source", at_least=1)
    seed: int = setting(0, "of the pairs", at_least=0, role=Role.FREE)

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the files, columns and rule too."""
        faults = Faults(super().faults(prefix))
        faults.require(
            self.generate != "digits" or self.longest <= 18,
            f"{prefix}longest={self.longest}, but numbers have names up to 18 digits: lower it",
        )
        faults.require(
            self.source_column != self.target_column,
            f"{prefix}source_column={self.source_column} is {prefix}target_column too: name two "
            f"columns",
        )
        return [*faults, *_path_faults(self, "generated pairs", prefix)]


@dataclass
class LabelsConfig(TokenSetConfig):
    """Labels of annotated events in the order of their onsets: their syntax, without any audio."""

    kind: str = setting("labels")
    annotations: str | None = setting(
        None, "a file, or a folder of files, in any format of annotations", role=Role.PATH
    )
    train: str | None = setting(
        None, "instead of it, of a data set with splits: a file or folder", role=Role.PATH
    )
    validation: str | None = setting(None, "the same of the validation split", role=Role.PATH)
    test: str | None = setting(None, "the same of the test split", role=Role.PATH)
    gap: float | None = setting(
        None,
        "a longer silence ends a sequence; null: only the end of the recording does",
        unit="s",
        at_least=0,
    )
    longest_sequence: int | None = setting(1000, _LONGEST, unit="labels", at_least=1)
    group: str | None = setting(
        None,
        "regular expression: recordings in whose names it finds the same stay together, such as "
        "'^[^_]*' for site_date_time.wav",
    )
    columns: dict[str, str | None] = setting(dict.fromkeys(COLUMNS), _COLUMNS)
    event_duration_s: float | None = setting(None, _DURATION, unit="s", above=0)
    time_unit: str = setting(
        "auto",
        "of all times; auto: what the header says, else s",
        choices=TIME_UNITS,
        before="auto",
    )
    decimal_mark: str = setting(
        "auto",
        "point or comma, the other one between thousands; auto: told by all times",
        choices=DECIMAL_MARKS,
        before="auto",
    )
    soft_labels: bool | None = setting(
        None,
        "numbers behind the labels of a list: true: soft labels; false: confidences, which are "
        "ignored; null: soft if they fill a grid of segments",
        before=None,
    )
    soft_threshold: float = setting(0.5, _SOFT, at_least=0, below=1)
    strict: bool = setting(True, _STRICT)

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the annotations too."""
        faults = Faults(super().faults(prefix))
        faults += _column_faults(self.columns, prefix)
        faults += _time_faults(self, prefix)
        faults += _group_faults(self.group, prefix)
        own = [f"{prefix}{name}" for name in SPLITS if getattr(self, name) is not None]
        faults.require(
            self.annotations is not None or self.train is not None,
            f"{prefix}annotations is not set: name a file or folder of annotations, which "
            f"data.split divides, or data.train, data.validation and data.test of a data set with "
            f"splits",
        )
        faults.require(
            self.annotations is None or not own,
            f"{prefix}annotations and {' and '.join(own)} are set: name the whole data set, or its "
            f"splits",
        )
        return faults


DATA_SETS: dict[str, type[DataConfig]] = {
    "soundscapes": SoundscapesConfig,
    "annotated": AnnotatedConfig,
    "published": PublishedConfig,
}
TOKEN_SETS: dict[str, type[TokenSetConfig]] = {
    "tokens": TokensConfig,
    "pairs": PairsConfig,
    "labels": LabelsConfig,
}


def _split_faults(split: list[float], prefix: str) -> list[str]:
    faults = Faults()
    faults.require(
        len(split) == len(SPLITS)
        and min(split) >= 0
        and 0 < split[0] <= 1.0
        # Written so that not-a-number counts as a fault.
        and sum(split) <= 1 + 1e-6,
        f"{prefix}split={split}: expected the shares of training, validation and test, such as "
        f"[0.7,0.15,0.15], in all at most 1",
    )
    return faults


def _group_faults(group: str | None, prefix: str) -> list[str]:
    try:
        re.compile(group or "")
    except re.error as error:
        return [f"{prefix}group={group}: no regular expression ({error})"]
    return []


def _column_faults(columns: dict[str, str | None], prefix: str) -> list[str]:
    unknown = [ours for ours in columns if ours not in COLUMNS]
    if not unknown:
        return []
    return [
        f"{prefix}columns.{' and '.join(unknown)}: expected {', '.join(COLUMNS)}, each with the "
        f"name of its column in the tables, such as data.columns.event_label=species"
    ]


def _time_faults(data: AnnotatedConfig | LabelsConfig, prefix: str) -> list[str]:
    """Faults of times in samples."""
    faults = Faults()
    in_samples = data.time_unit == "samples"
    faults.require(
        not (in_samples and isinstance(data, LabelsConfig)),
        f"{prefix}time_unit=samples: data=labels reads no audio, which has the rate; convert the "
        f"times to seconds",
    )
    faults.require(
        not in_samples or data.event_duration_s is None,
        f"{prefix}time_unit=samples and {prefix}event_duration_s={data.event_duration_s}: onsets "
        f"in samples need offsets or durations in samples beside them",
    )
    return faults


def _path_faults(data: TokensConfig | PairsConfig, generated: str, prefix: str) -> list[str]:
    """Faults of files of splits beside what is generated where there are none."""
    faults = Faults()
    for key in ("validation_path", "test_path"):
        faults.require(
            data.path is not None or getattr(data, key) is None,
            f"{prefix}{key} is set, but {prefix}path=null asks for {generated}: name the training "
            f"file with {prefix}path",
        )
    return faults
