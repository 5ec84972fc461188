"""Settings of sequences of tokens: lines, pairs, labels of events; the data of task=sequence."""

from __future__ import annotations

from dataclasses import dataclass

from sed_cli.config.annotations import SPLIT_SHARES, SPLITS, AnyFormatConfig, split_faults
from sed_cli.config.data import AnyDataConfig
from sed_cli.config.faults import Faults
from sed_cli.config.settings import Role, setting

TOKEN_UNITS = ("word", "char")
_MOST_SEQUENCES = 10_000_000
_DEEPEST = 20
_LONGEST_PAIR = 10_000


PAIR_TASKS = ("reverse", "digits")


@dataclass
class TokenSetConfig(AnyDataConfig):
    """What the data of ``task=sequence`` share: sequences of symbols, and which are known.

    They are no :class:`DataConfig`: they have neither frames nor features to cache.
    """

    split: list[float] = setting(
        SPLIT_SHARES, "shares of training, validation and test; equal sequences stay together"
    )
    split_seed: int = setting(0, "of the division", at_least=0)
    max_vocabulary: int | None = setting(
        None, "the most frequent symbols of the training split are kept; null: all", at_least=1
    )
    min_count: int = setting(1, "rarer symbols become <unk>", at_least=1)

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of ranges and shares."""
        return [*super().faults(prefix), *split_faults(self.split, prefix)]


_LONGEST = "longer sequences are cut into pieces, as a batch is as wide as its longest; null: never"


@dataclass
class TokensConfig(TokenSetConfig):
    """Lines of a text or symbol file, or sentences of a generated grammar."""

    kind: str = setting("tokens")
    path: str | None = setting(
        None,
        "text file in UTF-8, one sequence per line; null: a generated grammar whose verbs agree "
        "with a subject some words before",
        role=Role.PATH,
    )
    validation_path: str | None = setting(
        None, "a file of its own; null: a share of data.path", role=Role.PATH
    )
    test_path: str | None = setting(None, "the same of the test split", role=Role.PATH)
    unit: str = setting(
        "word",
        "word: separated by white space; char: one character as the reader sees it, accents "
        "included",
        choices=TOKEN_UNITS,
    )
    longest_sequence: int | None = setting(1000, _LONGEST, unit="tokens", at_least=1)
    n_train: int = setting(
        3000, "generated sentences of the training split", at_least=1, at_most=_MOST_SEQUENCES
    )
    n_validation: int = setting(500, "of the validation split", at_least=0, at_most=_MOST_SEQUENCES)
    n_test: int = setting(1000, "of the test split", at_least=0, at_most=_MOST_SEQUENCES)
    relative_clauses: float = setting(
        0.5,
        "probability that a noun has a relative clause, between a subject and its verb",
        at_least=0,
        at_most=1,
    )
    depth: int = setting(2, "maximum nesting of these clauses", at_least=0, at_most=_DEEPEST)
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
        None, "word, char; null: data.unit, or the unit of the generated pairs", choices=TOKEN_UNITS
    )
    unit: str | None = setting(
        None,
        "of the target: word, char; null: word, or the unit of the generated pairs",
        choices=TOKEN_UNITS,
    )
    generate: str = setting(
        "reverse",
        "reverse: the same letters backwards; digits: a number in words",
        choices=PAIR_TASKS,
    )
    n_train: int = setting(
        3000, "generated pairs of the training split", at_least=1, at_most=_MOST_SEQUENCES
    )
    n_validation: int = setting(500, "of the validation split", at_least=0, at_most=_MOST_SEQUENCES)
    n_test: int = setting(1000, "of the test split", at_least=0, at_most=_MOST_SEQUENCES)
    longest: int = setting(
        8, "letters, or digits, of a source at most", at_least=1, at_most=_LONGEST_PAIR
    )
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
class LabelsConfig(AnyFormatConfig, TokenSetConfig):
    """Labels of annotated events in the order of their onsets: their syntax, without any audio."""

    kind: str = setting("labels")
    annotations: str | None = setting(
        None, "a file, or a folder of files, in any format of annotations", role=Role.PATH
    )
    train: str | None = setting(
        None, "replaces it for a data set with splits: a file or folder", role=Role.PATH
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

    def faults(self, prefix: str = "data.") -> list[str]:
        """Faults of the annotations too."""
        faults = Faults(super().faults(prefix))
        faults.require(
            self.time_unit != "samples",
            f"{prefix}time_unit=samples: data=labels reads no audio, which has the rate; convert "
            f"the times to seconds",
        )
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


TOKEN_SETS: dict[str, type[TokenSetConfig]] = {
    "tokens": TokensConfig,
    "pairs": PairsConfig,
    "labels": LabelsConfig,
}


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
