"""Syllable error rate, bin accuracy and calibration, by hand and by direct definitions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.data.annotations import Event
from sed_cli.metrics import edits as edits_module
from sed_cli.metrics.bins import right_bins
from sed_cli.metrics.counting import hits_of
from sed_cli.metrics.detection import Bootstrap, count_events
from sed_cli.metrics.edits import edits_between
from sed_cli.metrics.metric import metric_named
from tests.metrics.counted import compared

CLASSES = ["a", "b", "c"]

labels = st.lists(st.sampled_from(CLASSES), max_size=9)
lists_of_events = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 25), st.sampled_from(CLASSES)).map(
        lambda x: Event(x[0] * 0.05, (x[0] + x[1]) * 0.05, x[2])
    ),
    max_size=10,
)


def spoken(text: str) -> list[Event]:
    """Consecutive events, one per letter."""
    return [Event(float(n), n + 0.5, letter) for n, letter in enumerate(text)]


# ---------------------------------------------------------------------- syllable error rate


def levenshtein(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein distance by its definition."""

    @cache
    def distance(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        return min(
            distance(i - 1, j) + 1,
            distance(i, j - 1) + 1,
            distance(i - 1, j - 1) + (one[i - 1] != other[j - 1]),
        )

    return distance(len(one), len(other))


@settings(max_examples=150, deadline=None)
@given(labels, labels, st.integers(0, 3))
def test_edits_are_the_fewest_there_are(
    reference: list[str], detected: list[str], band: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits_module, "_BAND", band)  # otherwise no path would leave the band
        edits = edits_between(reference, detected)
    assert edits == edits_between(reference, detected)
    assert edits.distance == levenshtein(reference, detected)
    assert min(edits) >= 0
    assert len(reference) - edits.deletions + edits.insertions == len(detected)
    assert edits.substitutions + edits.deletions <= len(reference)


@pytest.mark.parametrize(
    ("reference", "detected", "edits"),
    [
        ("", "", (0, 0, 0)),
        ("abc", "", (0, 3, 0)),
        ("", "ab", (0, 0, 2)),
        ("abc", "abc", (0, 0, 0)),
        ("abc", "acc", (1, 0, 0)),
        ("abc", "ac", (0, 1, 0)),
        ("abc", "abbc", (0, 0, 1)),
        ("ab", "bc", (0, 1, 1)),  # one match is better than two substitutions
        ("kitten", "sitting", (2, 0, 1)),
        ("meilenstein", "levenshtein", (2, 1, 1)),
    ],
)
def test_edits_by_hand(reference: str, detected: str, edits: tuple[int, int, int]) -> None:
    assert edits_between(reference, detected) == edits


def test_the_rate_is_vaks_summed_over_recordings() -> None:
    """vak: Levenshtein / len(reference), here over two recordings: (1 + 2) / (4 + 2)."""
    metric = metric_named("syllable_error_rate")
    files = [("abca", "abba"), ("ab", "")]
    counts = np.array(
        [metric.count(compared(spoken(a), spoken(b), 9.0, CLASSES)) for a, b in files]
    )

    block, of_classes = metric.describe(counts, CLASSES, Bootstrap(200))

    assert block["rate"] == 3 / 6
    assert block["counts"] == {"substitutions": 1, "deletions": 2, "insertions": 0, "n_ref": 6}
    assert block["interval"]["rate"] == [0.25, 1.0]
    assert of_classes == {}
    assert metric.describe(counts[:0], CLASSES)[0]["rate"] is None


def test_labels_count_in_the_order_of_their_onsets() -> None:
    metric = metric_named("syllable_error_rate")
    reference = spoken("abc")
    shifted = [Event(e.onset_s + 0.3, e.offset_s + 3, e.label) for e in reversed(reference)]
    assert metric.count(compared(reference, shifted, 9.0, CLASSES)) == (0, 0, 0, 3)


def test_a_day_of_song_is_counted_in_seconds() -> None:
    """Slow methods would take an hour by label, or gigabytes as a table."""
    random = np.random.default_rng(0)
    reference = [CLASSES[i] for i in random.integers(0, 3, 20_000)]
    detected = [x for x, keep in zip(reference, random.random(20_000) > 0.01, strict=True) if keep]
    edits = edits_between(reference, detected)
    assert edits == (0, 20_000 - len(detected), 0)


# ----------------------------------------------------------------------------- bin accuracy


def bins_one_by_one(
    reference: Sequence[Event], detected: Sequence[Event], duration_s: float, bin_s: float
) -> tuple[int, int]:
    """The definition: the set of labels at the centre of each bin."""
    centres = np.arange(0.5 * bin_s, duration_s - 1e-7, bin_s)
    sides = [
        [
            frozenset(e.label for e in side if e.onset_s <= c + 1e-7 and c + 1e-7 < e.offset_s)
            for c in centres
        ]
        for side in (reference, detected)
    ]
    return sum(a == b for a, b in zip(*sides, strict=True)), len(centres)


@settings(max_examples=100, deadline=None)
@given(lists_of_events, lists_of_events, st.sampled_from([0.02, 0.05, 0.1, 0.07]))
def test_bins_are_those_of_the_definition(
    reference: list[Event], detected: list[Event], bin_s: float
) -> None:
    assert right_bins(reference, detected, 4.0, bin_s) == bins_one_by_one(
        reference, detected, 4.0, bin_s
    )


def test_bins_by_hand() -> None:
    song = [Event(0.0, 0.4, "a"), Event(0.4, 0.6, "b")]  # and silence until 1.0

    def right(*detected: Event) -> tuple[int, int]:
        return right_bins(song, detected, 1.0, 0.1)

    assert right(*song) == (10, 10)
    assert right() == (4, 10)
    assert right(Event(0.0, 0.6, "a")) == (8, 10)
    assert right(Event(0.1, 0.4, "a"), Event(0.4, 0.7, "b")) == (8, 10)
    assert right(*song, Event(0.5, 0.8, "c")) == (7, 10)  # one label too many is wrong
    assert right(Event(0.0, 0.2, "a"), Event(0.2, 0.4, "a"), song[1]) == (10, 10)  # as one


def test_a_day_in_short_bins_takes_no_array_of_them() -> None:
    import tracemalloc

    tracemalloc.start()
    right, n_bins = right_bins([Event(1.0, 2.0, "a")], [], 86_400.0, 0.002)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (right, n_bins) == (43_200_000 - 500, 43_200_000)
    assert peak < 1_000_000


def test_the_length_of_bins_is_a_setting() -> None:
    metric = metric_named("bin_accuracy")
    events = [Event(0.0, 0.5, "a")]
    assert metric.count(compared(events, [], 1.0, CLASSES)) == (250, 500)
    assert metric.count(compared(events, [], 1.0, CLASSES, bin_s=0.25)) == (2, 4)


# ------------------------------------------------------------------------------ calibration


def test_the_table_and_the_error_by_hand() -> None:
    metric = metric_named("calibration")
    reference = spoken("abc")
    detected = [*spoken("ab"), Event(3.0, 3.5, "c"), Event(2.5, 2.9, "c")]
    one = metric.count(
        compared(reference, detected, 9.0, CLASSES, confidences=[0.92, 0.98, 1.0, 0.31])
    )
    two = metric.count(compared([], [Event(0.0, 1.0, "a")], 9.0, CLASSES, confidences=[0.35]))

    block, _ = metric.describe(np.stack([one, two]), CLASSES, Bootstrap(50))

    last, fourth = block["bins"][9], block["bins"][3]
    assert (last["from"], last["to"], last["n"]) == (0.9, 1.0, 3)
    assert last["confidence"] == pytest.approx((0.92 + 0.98 + 1.0) / 3)
    assert last["matched"] == pytest.approx(2 / 3)
    assert (fourth["n"], fourth["matched"]) == (2, 0.0)
    assert sum(of["n"] for of in block["bins"]) == 5
    assert block["bins"][0]["confidence"] is None
    # (3 |2.9/3 - 2/3| + 2 |0.33 - 0|) / 5
    assert block["ece"] == pytest.approx((0.9 + 0.66) / 5)
    assert len(block["interval"]["ece"]) == 2
    read = metric.read({"calibration": block})
    assert read.figures()["ece"] == block["ece"]
    assert (read + read).figures()["ece"] == pytest.approx(block["ece"])


def test_without_detected_events_there_is_no_calibration() -> None:
    metric = metric_named("calibration")
    counts = np.stack([metric.count(compared(spoken("a"), [], 9.0, CLASSES))])
    assert metric.describe(counts, CLASSES)[0]["ece"] is None


@settings(max_examples=60, deadline=None)
@given(lists_of_events, lists_of_events)
def test_events_that_match_are_as_many_as_are_scored(
    reference: list[Event], detected: list[Event]
) -> None:
    hits = hits_of(reference, detected, 0.2)
    counts = count_events(reference, detected, CLASSES, 0.2, offsets=True)
    for row, label in enumerate(CLASSES, start=1):
        of_class = [hit for hit, event in zip(hits, detected, strict=True) if event.label == label]
        assert sum(of_class) == counts[row, 0]
