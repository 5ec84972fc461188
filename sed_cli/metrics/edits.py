"""The edit distance of two sequences of labels, with what it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Edits(NamedTuple):
    """The fewest edits that make one sequence of the other."""

    substitutions: int
    deletions: int
    insertions: int

    @property
    def distance(self) -> int:
        """Levenshtein's."""
        return sum(self)


_BAND = 64  # labels that a first try may go out of step


def edits_between(reference: Sequence[str], detected: Sequence[str]) -> Edits:
    """Count the fewest edits from ``reference`` to ``detected``, of these the fewest substitutions.

    The usual table, a row at once: ``torchaudio.functional.edit_distance`` goes label by
    label, and gives the sum alone. Sequences that are nearly the same are compared near the
    diagonal, so that a day of song takes seconds.
    """
    codes = {label: code for code, label in enumerate(dict.fromkeys([*reference, *detected]))}
    given = [codes[label] for label in reference]
    found = np.array([codes[label] for label in detected], dtype=np.int64)
    out_of_step = abs(len(given) - len(found)) + _BAND
    while (edits := _edits_within(given, found, out_of_step)).distance > out_of_step:
        out_of_step = 2 * out_of_step + 1  # what leaves the band takes more edits than it is wide
    return edits


def _edits_within(given: Sequence[int], found: NDArray[np.int64], band: int) -> Edits:
    """Count edits if the labels that correspond are no more than ``band`` places apart."""
    n_given, n_found = len(given), len(found)
    # An edit costs this much and a substitution one more: so the fewest of both can be told apart.
    unit = n_given + n_found + 1
    inserted = unit * np.arange(n_found + 1)
    costs = inserted.copy()  # from what is given so far to the first labels found (n_found + 1,)
    costs[band + 1 :] = unit * unit
    for place, code in enumerate(given, start=1):
        first, after = max(0, place - band), min(n_found, place + band) + 1
        best = costs[first:after] + unit  # where the label is deleted
        left = max(first, 1)
        replaced = costs[left - 1 : after - 1] + np.where(
            found[left - 1 : after - 1] == code, 0, unit + 1
        )
        np.minimum(best[left - first :], replaced, out=best[left - first :])
        so_far = inserted[first:after]
        costs[first:after] = np.minimum.accumulate(best - so_far) + so_far
    distance, substitutions = divmod(int(costs[-1]), unit)
    insertions = (distance - substitutions + n_found - n_given) // 2
    return Edits(substitutions, distance - substitutions - insertions, insertions)
