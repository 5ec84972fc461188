"""The data of ``task=sequence``: token sequences from files, tables, labels or a grammar."""

from sed_cli.tasks.sequence.data.loading import Vocabularies, load_tokens, units_of
from sed_cli.tasks.sequence.data.sentences import Ragged, Sentence, Sentences, TokenData
from sed_cli.tasks.sequence.data.units import join_symbols, split_text
from sed_cli.tasks.sequence.data.vocabulary import END, SPECIAL, UNKNOWN, Vocabulary

__all__ = [
    "END",
    "SPECIAL",
    "UNKNOWN",
    "Ragged",
    "Sentence",
    "Sentences",
    "TokenData",
    "Vocabularies",
    "Vocabulary",
    "join_symbols",
    "load_tokens",
    "split_text",
    "units_of",
]
