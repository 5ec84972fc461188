"""A small grammar whose sentences have long-distance agreement, and their exact entropy.

A sentence is a subject and a verb. Nouns are of one of two kinds, singular or plural; a verb
belongs to one of the two kinds, and agrees in number. Between the two there may be a relative
clause with its own nouns and verbs, and within it another:

    this fox that these small cars that every owl watches pass sleeps

The last word agrees with the second, the last but one with the sixth: a model that gets a noun
wrong, or forgets it, gets its verb wrong too.

Each sentence can be derived in one way only, so that its probability is the product of the choices
in its derivation, and the entropy of all sentences follows from the rules alone.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product

import numpy as np

Rule = tuple[float, tuple[str, ...]]
"""A probability, and the expansion of a symbol."""

_KINDS = ("animal", "machine")
_NOUNS = {
    "animal": (("fox", "foxes"), ("owl", "owls"), ("dog", "dogs"), ("cat", "cats")),
    "machine": (("car", "cars"), ("lamp", "lamps"), ("radio", "radios"), ("clock", "clocks")),
}
_ALONE = {
    "animal": (("sleeps", "sleep"), ("listens", "listen")),
    "machine": (("hums", "hum"), ("stops", "stop")),
}
_WITH_OBJECT = {
    "animal": (("watches", "watch"), ("hears", "hear")),
    "machine": (("passes", "pass"), ("wakes", "wake")),
}
_DETERMINERS = (("this", "these"), ("every", "many"))
_REFLEXIVES = (("itself", "themselves"),)
_ADJECTIVES = (("small",), ("old",), ("loud",))
_RELATIVE = "that"

_P_ADJECTIVE = 0.3
_P_SUBJECT_RELATIVE = 0.5  # that watches this owl; else: that this owl watches
_P_OBJECT = 0.4
_P_REFLEXIVE = 0.15
_AGREEMENTS = tuple(product(range(2), _KINDS))  # of number and kind


@dataclass(frozen=True)
class Grammar:
    """A probabilistic grammar without recursion.

    Args:
        rules: expansions of each symbol, with probabilities that sum to 1; a symbol without rules
            is a word.
        start: the symbol that expands to a sentence.
    """

    rules: Mapping[str, Sequence[Rule]]
    start: str
    _edges: dict[str, list[float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges = {name: list(accumulate(p for p, _ in of)) for name, of in self.rules.items()}
        object.__setattr__(self, "_edges", edges)

    def draw(self, random: np.random.Generator) -> tuple[list[str], float]:
        """Draw a sentence: its words, and its surprisal in nats."""
        words: list[str] = []
        surprise, waiting = 0.0, [self.start]
        while waiting:
            symbol = waiting.pop()
            if (options := self.rules.get(symbol)) is None:
                words.append(symbol)
                continue
            chosen = min(bisect(self._edges[symbol], random.random()), len(options) - 1)
            probability, parts = options[chosen]
            surprise -= math.log(probability)
            waiting += reversed(parts)
        return words, surprise

    def moments(self) -> tuple[float, float]:
        """Return the entropy of a sentence in nats, and its mean number of words: both exact."""

        @cache
        def of(symbol: str) -> tuple[float, float]:
            if symbol not in self.rules:
                return 0.0, 1.0
            entropy = length = 0.0
            for probability, parts in self.rules[symbol]:
                inner = [of(part) for part in parts]
                entropy += probability * (sum(one[0] for one in inner) - math.log(probability))
                length += probability * sum(one[1] for one in inner)
            return entropy, length

        return of(self.start)

    def entropy(self) -> float:
        """Return the entropy in nats per target, including the end of a sentence: exact."""
        of_sentence, length = self.moments()
        return of_sentence / (length + 1)

    @property
    def words(self) -> set[str]:
        """All words that may occur in a sentence."""
        parts = {part for of in self.rules.values() for _, parts in of for part in parts}
        return parts - set(self.rules)


def agreement_grammar(*, relative_clauses: float, depth: int) -> Grammar:
    """Return the grammar described at the top of this module.

    Args:
        relative_clauses: probability that a noun has one, unless it is nested too deeply.
        depth: maximum nesting of relative clauses; 0: none at all.
    """
    rules: dict[str, Sequence[Rule]] = {"S": _each("NP {0} 0", "VP {0} 0")}
    for level in range(depth + 1):
        p_clause = relative_clauses if level < depth else 0.0
        for number, kind in _AGREEMENTS:
            rules |= _phrases(number, f"{number} {kind}", level, p_clause)
    for number in range(2):
        rules[f"DET {number}"] = _words(_DETERMINERS, number)
        rules[f"SELF {number}"] = _words(_REFLEXIVES, number)
        for kind in _KINDS:
            rules[f"N {number} {kind}"] = _words(_NOUNS[kind], number)
            rules[f"VI {number} {kind}"] = _words(_ALONE[kind], number)
            rules[f"VT {number} {kind}"] = _words(_WITH_OBJECT[kind], number)
    rules["ADJ"] = _words(_ADJECTIVES, 0)
    return Grammar(rules, "S")


def _phrases(number: int, agreement: str, level: int, p_clause: float) -> dict[str, list[Rule]]:
    """Rules of phrases that agree in number and kind, at a nesting level of relative clauses."""
    noun, clause = f"N {agreement}", f"RC {agreement} {level}"
    here, below = f"{agreement} {level}", level + 1
    rules = {
        f"NP {here}": _possible(
            ((1 - _P_ADJECTIVE) * (1 - p_clause), (f"DET {number}", noun)),
            (_P_ADJECTIVE * (1 - p_clause), (f"DET {number}", "ADJ", noun)),
            ((1 - _P_ADJECTIVE) * p_clause, (f"DET {number}", noun, clause)),
            (_P_ADJECTIVE * p_clause, (f"DET {number}", "ADJ", noun, clause)),
        ),
        f"VP {here}": _possible(
            (1 - _P_OBJECT - _P_REFLEXIVE, (f"VI {agreement}",)),
            (_P_REFLEXIVE, (f"VT {agreement}", f"SELF {number}")),
            *((_P_OBJECT * p, (f"VT {agreement}", *o)) for p, o in _each(f"NP {{0}} {level}")),
        ),
    }
    if p_clause:
        rules[clause] = _possible(
            (_P_SUBJECT_RELATIVE, (_RELATIVE, f"VP {agreement} {below}")),
            *(
                ((1 - _P_SUBJECT_RELATIVE) * p, (_RELATIVE, *parts))
                for p, parts in _each(f"NP {{0}} {below}", "VT {0}")
            ),
        )
    return rules


def _each(*parts: str) -> list[Rule]:
    """Parts that agree with each other in number and kind, all combinations equally likely."""
    return [
        (1 / len(_AGREEMENTS), tuple(part.format(f"{number} {kind}") for part in parts))
        for number, kind in _AGREEMENTS
    ]


def _possible(*rules: Rule) -> list[Rule]:
    return [rule for rule in rules if rule[0] > 0]


def _words(words: Sequence[Sequence[str]], number: int) -> list[Rule]:
    """One of several words, each 1.5 times as likely as the next."""
    weights = [1.5**-place for place in range(len(words))]
    return [(w / sum(weights), (word[number],)) for w, word in zip(weights, words, strict=True)]
