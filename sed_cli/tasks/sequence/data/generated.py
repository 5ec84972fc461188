"""Pairs made by a rule: letters and the same backwards, digits and the number in words.

English number words are written here, as no library at hand says them plainly: num2words and
inflect write ``four thousand and seventy-two``, with "and", hyphens and commas that would have to
be taken out again, and come with packages of their own. All numbers to a million were compared
once with those of num2words: they are the same without these.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sed_cli.errors import UserError

LETTERS = "abcdefghij"
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = (
    *("", "", "twenty", "thirty", "forty", "fifty"),
    *("sixty", "seventy", "eighty", "ninety"),
)
_GROUPS = ("", "thousand", "million", "billion", "trillion", "quadrillion")


def say_number(number: int) -> str:
    """Say a number from 0 to below 10^18 in English words: 4072 is four thousand seventy two."""
    groups, rest = [], number
    for name in _GROUPS:
        rest, part = divmod(rest, 1000)
        if part:
            groups.append([*_below_thousand(part), *[name] * bool(name)])
    return " ".join(word for group in reversed(groups) for word in group) or _ONES[0]


def _below_thousand(number: int) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        tens, rest = divmod(rest, 10)
        words.append(_TENS[tens])
    return [*words, _ONES[rest]] if rest else words


def _letters(random: np.random.Generator, length: int) -> tuple[str, str]:
    text = "".join(LETTERS[place] for place in random.integers(len(LETTERS), size=length))
    return text, text[::-1]


def _digits(random: np.random.Generator, length: int) -> tuple[str, str]:
    number = int(random.integers(10 ** (length - 1) if length > 1 else 0, 10**length))
    return str(number), say_number(number)


UNITS = {"reverse": ("char", "char"), "digits": ("char", "word")}
"""Units of the sources and of the targets that each rule makes."""

_RULES: dict[str, Callable[[np.random.Generator, int], tuple[str, str]]] = {
    "reverse": _letters,
    "digits": _digits,
}


def generate_pairs(rule: str, n_pairs: int, *, longest: int, seed: int) -> list[tuple[str, str]]:
    """Make pairs of source and target; no source is there twice.

    Args:
        rule: ``reverse`` or ``digits``.
        n_pairs: how many.
        longest: characters of a source at most; each length is as likely, as long as there are
            sources of it that were not drawn yet.
        seed: of the draw.

    Raises:
        UserError: if there are not enough sources of that length.
    """
    if 2 * n_pairs > 10**longest:
        raise UserError(
            f"data.longest={longest}, but {n_pairs} different sources are asked for: raise it, or "
            f"lower data.n_train, data.n_validation or data.n_test"
        )
    random = np.random.default_rng(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < n_pairs:
        source, target = _RULES[rule](random, int(random.integers(1, longest + 1)))
        pairs[source] = target
    # The short ones are soon all drawn: were they left first, the splits would differ.
    drawn = list(pairs.items())
    return [drawn[place] for place in random.permutation(n_pairs)]
