"""The edit distance of two sequences of labels, with its components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Edits(NamedTuple):
    """The fewest edits that turn one sequence into the other."""

    substitutions: int
    deletions: int
    insertions: int

    @property
    def distance(self) -> int:
        """Levenshtein's."""
        return sum(self)


_BAND = 64  # band width of the first attempt, in labels


def edits_between(reference: Sequence[str], detected: Sequence[str]) -> Edits:
    """Count the fewest edits from ``reference`` to ``detected``, of these the fewest substitutions.

    The usual table, one row at a time: ``torchaudio.functional.edit_distance`` goes label by
    label, and only gives the sum. Similar sequences are compared near the diagonal, so that
    a day of song takes seconds.
    """
    codes = {label: code for code, label in enumerate(dict.fromkeys([*reference, *detected]))}
    given = [codes[label] for label in reference]
    found = np.array([codes[label] for label in detected], dtype=np.int64)
    out_of_step = abs(len(given) - len(found)) + _BAND
    while (edits := _edits_within(given, found, out_of_step)).distance > out_of_step:
        out_of_step = 2 * out_of_step + 1  # paths outside the band have more edits than its width
    return edits


def _edits_within(given: Sequence[int], found: NDArray[np.int64], band: int) -> Edits:
    """Count edits if corresponding labels are at most ``band`` positions apart."""
    n_given, n_found = len(given), len(found)
    # An edit costs this much and a substitution one more, so that both are minimised in order.
    unit = n_given + n_found + 1
    inserted = unit * np.arange(n_found + 1)
    costs = inserted.copy()  # from the reference so far to the first detected labels (n_found + 1,)
    costs[band + 1 :] = unit * unit
    for place, code in enumerate(given, start=1):
        first, after = max(0, place - band), min(n_found, place + band) + 1
        best = costs[first:after] + unit  # if the label is deleted
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
