"""Long-distance agreement, and a known entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sed_cli.tasks.sequence.data.grammar import (
    _ADJECTIVES,
    _ALONE,
    _DETERMINERS,
    _KINDS,
    _NOUNS,
    _REFLEXIVES,
    _WITH_OBJECT,
    Grammar,
    agreement_grammar,
)

Agreement = tuple[int, str]


def features(table: dict[str, tuple[tuple[str, str], ...]]) -> dict[str, Agreement]:
    """Number and kind of each word."""
    return {
        word: (number, kind)
        for kind in _KINDS
        for pair in table[kind]
        for number, word in enumerate(pair)
    }


NOUNS, ALONE, WITH_OBJECT = features(_NOUNS), features(_ALONE), features(_WITH_OBJECT)
ADJECTIVES = {word for (word,) in _ADJECTIVES}


def number_of(pairs: tuple[tuple[str, str], ...], word: str) -> int:
    (number,) = {pair.index(word) for pair in pairs if word in pair}
    return number


class Reader:
    """Reads a sentence word by word, by the rules of grammar, and checks the agreement.

    Written from the definition of sentences, not from the rules that generate them.
    """

    def __init__(self, words: list[str]) -> None:
        self.words, self.distances, self.deepest = [*words, ""], list[int](), 0
        self.place = 0

    def next(self) -> str:
        self.place += 1
        return self.words[self.place - 1]

    def sentence(self) -> None:
        subject, noun_at = self.noun_phrase(0)
        self.verb_phrase(subject, noun_at, 0)
        assert self.next() == ""

    def noun_phrase(self, depth: int) -> tuple[Agreement, int]:
        number = number_of(_DETERMINERS, self.next())
        if self.words[self.place] in ADJECTIVES:
            self.place += 1
        noun, at = NOUNS[self.next()], self.place
        assert noun[0] == number
        if self.words[self.place] == "that":
            self.place += 1
            self.deepest = max(self.deepest, depth + 1)
            if self.words[self.place] in {*ALONE, *WITH_OBJECT}:
                self.verb_phrase(noun, at, depth + 1)
            else:
                inner, inner_at = self.noun_phrase(depth + 1)
                assert WITH_OBJECT[self.next()] == inner
                self.distances.append(self.place - inner_at)
        return noun, at

    def verb_phrase(self, subject: Agreement, noun_at: int, depth: int) -> None:
        verb = self.next()
        self.distances.append(self.place - noun_at)
        if verb in ALONE:
            assert ALONE[verb] == subject
            return
        assert WITH_OBJECT[verb] == subject
        if self.words[self.place] in _REFLEXIVES[0]:
            assert number_of(_REFLEXIVES, self.next()) == subject[0]
        else:
            self.noun_phrase(depth)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_verbs_agree_with_subjects_over_a_distance(depth: int) -> None:
    grammar = agreement_grammar(relative_clauses=0.5, depth=depth)
    random = np.random.default_rng(depth)
    distances, deepest = [], 0
    for _ in range(400):
        reader = Reader(grammar.draw(random)[0])
        reader.sentence()
        distances += reader.distances
        deepest = max(deepest, reader.deepest)

    assert deepest == depth
    # With clauses in between, many are further apart than a trigram sees.
    assert np.mean(np.array(distances) > 2) >= (0.15 if depth else 0.0)


def test_a_tiny_grammar_has_the_entropy_of_its_sentences() -> None:
    """By hand: 'a a' 1/8, 'a b' 1/8, 'b a' 1/8, 'b b' 1/8, 'c' 1/2."""
    word = [(0.5, ("a",)), (0.5, ("b",))]
    grammar = Grammar({"S": [(0.5, ("W", "W")), (0.5, ("c",))], "W": word}, "S")

    entropy, length = grammar.moments()

    assert entropy == pytest.approx(math.log(2) + 0.5 * math.log(4), rel=1e-12)
    assert length == pytest.approx(1.5, rel=1e-12)
    assert grammar.entropy() == pytest.approx(entropy / 2.5, rel=1e-12)


@pytest.mark.parametrize(("relative_clauses", "depth"), [(0.5, 2), (1.0, 1), (0.0, 4)])
def test_entropy_is_that_of_what_is_drawn(relative_clauses: float, depth: int) -> None:
    grammar = agreement_grammar(relative_clauses=relative_clauses, depth=depth)
    random = np.random.default_rng(0)
    drawn = [grammar.draw(random) for _ in range(4000)]
    surprises = np.array([surprise for _, surprise in drawn])
    lengths = np.array([len(words) for words, _ in drawn])

    entropy, length = grammar.moments()

    # Five standard errors of the mean: one test of three million would fail by chance.
    for values, expected in ((surprises, entropy), (lengths, length)):
        assert values.mean() == pytest.approx(
            expected, abs=5 * values.std() / math.sqrt(len(values)) + 1e-9
        )


def test_a_sentence_is_made_in_one_way_only() -> None:
    """Otherwise its surprisal would be less than that of the choices in its derivation."""
    grammar = agreement_grammar(relative_clauses=0.5, depth=2)
    random = np.random.default_rng(0)
    surprises: dict[str, float] = {}
    n_again = 0
    for _ in range(8000):
        words, surprise = grammar.draw(random)
        text = " ".join(words)
        n_again += text in surprises
        assert surprises.setdefault(text, surprise) == pytest.approx(surprise, rel=1e-12)

    assert n_again > 1000  # the check above was made often


def test_most_frequent_sentences_are_as_likely_as_they_should_be() -> None:
    grammar = agreement_grammar(relative_clauses=0.5, depth=2)
    random = np.random.default_rng(1)
    drawn = [grammar.draw(random) for _ in range(20_000)]
    probable = {" ".join(words): math.exp(-surprise) for words, surprise in drawn}
    texts = [" ".join(words) for words, _ in drawn]
    for text in sorted(probable, key=lambda text: -probable[text])[:5]:
        expected = len(texts) * probable[text]
        # Five standard deviations of a count.
        assert texts.count(text) == pytest.approx(expected, abs=5 * math.sqrt(expected))


def test_the_vocabulary_is_small_and_no_word_has_two_parts() -> None:
    words = agreement_grammar(relative_clauses=0.5, depth=2).words

    assert 30 <= len(words) <= 60
    assert len(NOUNS) + len(ALONE) + len(WITH_OBJECT) + 4 + 2 + len(ADJECTIVES) + 1 == len(words)
