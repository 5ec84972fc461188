"""From a configuration to tokens: texts are split into symbols, divided, and numbered."""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sed_cli.config.annotations import SPLITS
from sed_cli.config.tokens import LabelsConfig, PairsConfig, TokensConfig, TokenSetConfig
from sed_cli.errors import DataError
from sed_cli.tasks.sequence.data.dividing import divide_equal
from sed_cli.tasks.sequence.data.files import Texts, read_lines, read_pairs
from sed_cli.tasks.sequence.data.generated import UNITS, generate_pairs
from sed_cli.tasks.sequence.data.grammar import agreement_grammar
from sed_cli.tasks.sequence.data.labels import read_label_sequences
from sed_cli.tasks.sequence.data.sentences import Ragged, Sentences, TokenData
from sed_cli.tasks.sequence.data.units import join_symbols, split_text
from sed_cli.tasks.sequence.data.vocabulary import UNKNOWN, Vocabulary

log = logging.getLogger(__name__)

_SHOWN = 5


Vocabularies = tuple[Vocabulary, Vocabulary | None]
"""Vocabularies of the targets, and of the sources if there are any."""


def load_tokens(config: TokenSetConfig, known: Vocabularies | None = None) -> TokenData:
    """Load the data of ``task=sequence``.

    A split with its own file is read from it. Other splits are taken from the training file by
    ``data.split``, with equal lines (for pairs: equal sources) in one split only; labels are
    divided by whole recordings, so that equal sequences of different recordings may be in two
    splits: their recurrence is what a label model learns. Generated sentences are drawn
    independently, since only then is their entropy known; generated pairs never share a source.

    Sequences longer than ``data.longest_sequence`` are cut after the division, so that the pieces
    of a line are in one split.

    The vocabulary is that of the training split, sorted by frequency and then by text; other
    symbols become <unk>, which is logged.

    Args:
        config: one of :data:`sed_cli.config.tokens.TOKEN_SETS`, already checked.
        known: the vocabularies of a trained model, to be reused; None: those of the data.

    Raises:
        DataError: if files are missing or cannot be used.
        UserError: if there are too few sequences to divide.
    """
    entropies = None
    if isinstance(config, LabelsConfig):
        texts = read_label_sequences(config)
    elif isinstance(config, PairsConfig):
        texts = _make_pairs(config) if config.path is None else _read_files(config, config.path)
    elif isinstance(config, TokensConfig):
        if config.path is None:
            texts, entropies = _draw_sentences(config)
        else:
            texts = _read_files(config, config.path)
    else:
        raise TypeError(f"{type(config).__name__}: expected the data of task=sequence")
    return _assemble(config, texts, entropies, known)


# --------------------------------------------------------------------------------- texts


def _draw_sentences(config: TokensConfig) -> tuple[dict[str, Texts], dict[str, float]]:
    """Draw the sentences of each split from the grammar, with their mean surprisal per target."""
    grammar = agreement_grammar(relative_clauses=config.relative_clauses, depth=config.depth)
    random = np.random.default_rng(config.seed)
    texts, entropies = {}, {}
    for name in SPLITS:
        drawn = [grammar.draw(random) for _ in range(getattr(config, f"n_{name}"))]
        if drawn:
            texts[name] = Texts([" ".join(words) for words, _ in drawn])
            n_targets = sum(len(words) + 1 for words, _ in drawn)
            entropies[name] = sum(surprise for _, surprise in drawn) / n_targets
    log.info("the exact entropy of the grammar is %.3f nats per target", grammar.entropy())
    return texts, entropies


def _make_pairs(config: PairsConfig) -> dict[str, Texts]:
    sizes = [getattr(config, f"n_{name}") for name in SPLITS]
    pairs = generate_pairs(config.generate, sum(sizes), longest=config.longest, seed=config.seed)
    texts, start = {}, 0
    for name, size in zip(SPLITS, sizes, strict=True):
        own, start = pairs[start : start + size], start + size
        if own:
            texts[name] = Texts([target for _, target in own], [source for source, _ in own])
    return texts


def units_of(config: TokenSetConfig) -> tuple[str | None, str]:
    """Return the units of sources and targets; None for missing sources."""
    if isinstance(config, TokensConfig):
        return None, config.unit if config.path is not None else "word"
    if not isinstance(config, PairsConfig):
        return None, "word"
    made = UNITS[config.generate] if config.path is None else ("word", "word")
    unit = config.unit or made[1]
    if config.source_unit is not None:
        return config.source_unit, unit
    return (made[0] if config.path is None else unit), unit


def _read_files(config: TokensConfig | PairsConfig, path: str) -> dict[str, Texts]:
    """Read the training file, and the files of other splits."""
    own = {"validation": config.validation_path, "test": config.test_path}
    paths = {"train": path, **{name: of for name, of in own.items() if of is not None}}
    places = {name: Path(of).expanduser() for name, of in paths.items()}
    if isinstance(config, PairsConfig):
        columns = config.source_column, config.target_column
        return {name: read_pairs(place, *columns) for name, place in places.items()}
    return {name: read_lines(place) for name, place in places.items()}


# ------------------------------------------------------------------------------- symbols


class _Numbers(dict[str, int]):
    """Gives each new symbol the next number."""

    def __missing__(self, symbol: str) -> int:
        number = self[symbol] = len(self)
        return number


@dataclass(frozen=True, eq=False)
class _Side:
    """Targets or sources of all texts, their symbols numbered in order of first appearance.

    A million lines are thus read only once: the symbols to keep are chosen on arrays.
    """

    what: str
    symbols: list[str]
    rows: list[Ragged]

    @classmethod
    def of(cls, what: str, texts: Sequence[Sequence[str]], unit: str) -> _Side:
        numbers = _Numbers()
        rows = [_number(one, unit, numbers) for one in texts]
        return cls(what, list(numbers), rows)

    def finish(
        self, parts: _Parts, config: TokenSetConfig, known: Vocabulary | None
    ) -> tuple[Vocabulary, dict[str, Ragged]]:
        """Choose the vocabulary by the training split, or reuse a known one.

        Returns:
            The vocabulary, and the tokens of each split.
        """
        rows = {
            name: self.rows[text] if chosen is None else self.rows[text].take(chosen)
            for name, (text, chosen) in parts.items()
        }
        if known is None:
            kept = self._keep(rows["train"], config)
            vocabulary = Vocabulary.of(self.symbols[number] for number in kept)
        else:
            vocabulary = known
        tokens = vocabulary.encode(self.symbols).astype(np.int32)
        self._say_unknown(rows, tokens)
        return vocabulary, {
            name: Ragged(tokens[one.flat], one.offsets) for name, one in rows.items()
        }

    def _keep(self, train: Ragged, config: TokenSetConfig) -> list[int]:
        """Return the symbols to keep, the most frequent first."""
        counts = np.bincount(train.flat, minlength=len(self.symbols))
        kept = np.flatnonzero(counts >= config.min_count).tolist()
        kept.sort(key=lambda number: (-counts[number], self.symbols[number]))
        if not kept:
            raise DataError(
                f"data.min_count={config.min_count}, but no symbol of the {self.what}s occurs that "
                f"often in the training split: {counts.max()} times at most; lower it"
            )
        return kept[: config.max_vocabulary]

    def _say_unknown(self, rows: Mapping[str, Ragged], tokens: NDArray[np.int32]) -> None:
        """Log the number of unknown symbols; warn if the model could not learn <unk>."""
        unknown = {name: one.flat[tokens[one.flat] == UNKNOWN] for name, one in rows.items()}
        learnt = len(unknown["train"]) > 0
        for name, numbers in unknown.items():
            if not len(numbers):
                continue
            symbols = [repr(self.symbols[n]) for n in dict.fromkeys(numbers[:1000].tolist())]
            log.log(
                logging.INFO if learnt else logging.WARNING,
                "%s: %d of %d symbols of the %ss are not in the vocabulary and become <unk>, such "
                "as %s%s",
                name,
                len(numbers),
                len(rows[name].flat),
                self.what,
                ", ".join(symbols[:_SHOWN]),
                "" if learnt else "; the training split has none (data.min_count=2 creates some)",
            )


_Parts = dict[str, tuple[int, NDArray[np.int64] | None]]
"""For each split, the index of its text, and its rows; None: all."""


def _number(texts: Sequence[str], unit: str, numbers: _Numbers) -> Ragged:
    flat = array("i")
    lengths = np.empty(len(texts), np.int64)
    for place, text in enumerate(texts):
        symbols = split_text(text, unit)
        lengths[place] = len(symbols)
        flat.extend(map(numbers.__getitem__, symbols))
    return Ragged(np.array(flat, np.int32), np.append(0, np.cumsum(lengths)))


# -------------------------------------------------------------------------------- splits


def _divide(config: TokenSetConfig, names: Sequence[str], keyed: _Side) -> _Parts:
    """Choose the sequences of each split; a text that was read for a split is that split."""
    parts: _Parts = {name: (text, None) for text, name in enumerate(names)}
    if not isinstance(config, TokensConfig | PairsConfig) or config.path is None:
        return parts
    keys = [one.keys() for one in keyed.rows]
    shares = dict(zip(SPLITS, config.split, strict=True))
    shares = {name: of for name, of in shares.items() if name == "train" or name not in parts}
    divided = divide_equal(keys[0], shares, seed=config.split_seed)
    _warn_of_equal(names, keys)
    if len(divided) > 1:
        log.info(
            "%d sequences of %s, %d of them distinct, divided into splits: %s (data.split)",
            len(keys[0]),
            config.path,
            len(set(keys[0])),
            ", ".join(f"{name} {len(rows)}" for name, rows in divided.items()),
        )
    parts |= {name: (0, rows) for name, rows in divided.items()}
    return {name: parts[name] for name in SPLITS if name in parts}


def _warn_of_equal(names: Sequence[str], keys: Sequence[Sequence[bytes]]) -> None:
    """Warn about files that share sequences with the training file; that is the user's choice."""
    known = set(keys[0])
    for name, own in zip(names[1:], keys[1:], strict=True):
        if n_equal := sum(key in known for key in own):
            log.warning(
                "%s: %d of %d sequences are in the training file too", name, n_equal, len(own)
            )


def _assemble(
    config: TokenSetConfig,
    texts: Mapping[str, Texts],
    entropies: dict[str, float] | None,
    known: Vocabularies | None,
) -> TokenData:
    source_unit, unit = units_of(config)
    known_targets, known_sources = known or (None, None)
    read = list(texts.values())
    targets = _Side.of("target", [one.targets for one in read], unit)
    sources = None
    if source_unit is not None:
        sources = _Side.of("source", [one.sources or () for one in read], source_unit)
    parts = _divide(config, list(texts), sources or targets)
    vocabulary, target_rows = targets.finish(parts, config, known_targets)
    source_vocabulary, source_rows = (
        sources.finish(parts, config, known_sources) if sources else (None, {})
    )
    splits = {}
    for name, (text, rows) in parts.items():
        own = read[text] if rows is None else read[text].take(rows)
        splits[name] = Sentences(
            target_rows[name], own.targets, source_rows.get(name), own.sources or ()
        )
        if isinstance(config, TokensConfig | LabelsConfig) and config.longest_sequence is not None:
            splits[name] = _cut(splits[name], name, unit, config.longest_sequence)
    return TokenData(
        vocabulary=vocabulary,
        source_vocabulary=source_vocabulary,
        unit=unit,
        source_unit=source_unit,
        splits=splits,
        fingerprint=_fingerprint(vocabulary, source_vocabulary, splits),
        entropies=entropies,
    )


def _cut(sentences: Sentences, name: str, unit: str, longest: int) -> Sentences:
    """Cut sequences that are too long into pieces; each piece has its own end."""
    n_long = int((sentences.lengths > longest).sum())
    if not n_long:
        return sentences
    texts: list[str] = []
    for text, length in zip(sentences.texts, sentences.lengths.tolist(), strict=True):
        if length <= longest:
            texts.append(text)
            continue
        symbols = split_text(text, unit)
        pieces = (symbols[first : first + longest] for first in range(0, length, longest))
        texts += [join_symbols(piece, unit) for piece in pieces]
    log.warning(
        "%s: %d of %d sequences are longer than data.longest_sequence=%d tokens and are cut: %d "
        "sequences, each with its own end",
        name,
        n_long,
        len(sentences),
        longest,
        len(texts),
    )
    return Sentences(sentences.targets.cut(longest), texts)


def _fingerprint(
    vocabulary: Vocabulary, source_vocabulary: Vocabulary | None, splits: Mapping[str, Sentences]
) -> str:
    content = hashlib.blake2b(digest_size=16)
    known = [one.as_json() for one in (vocabulary, source_vocabulary) if one is not None]
    content.update(json.dumps([*known, list(splits)]).encode())
    for split in splits.values():
        for rows in (split.targets, split.sources):
            if rows is not None:
                content.update(rows.offsets.tobytes())
                content.update(rows.flat.tobytes())
    return content.hexdigest()
