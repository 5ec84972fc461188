"""False alarms per hour of recording, and the events found at that price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.data.annotations import Event
from sed_cli.metrics.counting import overlaps_of
from sed_cli.metrics.kinds.false_alarms_per_hour import FalseAlarms
from tests.metrics.counted import compared

INTERVALS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda one: (one[0], sum(one))),
    max_size=8,
)


@given(INTERVALS, INTERVALS)
def test_intervals_overlap_by_more_than_their_ends(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    expected = [sum(c < b and d > a for c, d in other) for a, b in one]
    ours, others = (np.array(each, np.float64).reshape(-1, 2) for each in (one, other))
    assert overlaps_of(ours, others).tolist() == expected


def counts_of(
    reference: list[Event],
    detected: list[Event],
    duration_s: float,
    known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None = None,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    given = compared(reference, detected, duration_s, ("owl", "wren"))
    return np.asarray(FalseAlarms().count(replace(given, known=known)))


def test_false_alarms_are_counted_by_hour_of_all_recordings_also_of_background() -> None:
    with_events = counts_of(
        [Event(10.0, 12.0, "owl"), Event(20.0, 21.0, "owl"), Event(30.0, 31.0, "wren")],
        [
            Event(11.5, 15.0, "owl"),  # late and long, but still found
            Event(20.5, 20.6, "wren"),  # of another class
            Event(21.0, 22.0, "owl"),  # only touches
        ],
        1800.0,
    )
    background = counts_of([], [Event(1.0, 2.0, "owl")], 3600.0)

    block, of_classes = FalseAlarms().describe(np.stack([with_events, background]), ["owl", "wren"])

    assert block["rate"] == pytest.approx(3 / 1.5)
    assert block["recall"] == pytest.approx(1 / 3)
    assert of_classes["owl"] == pytest.approx({"rate": 2 / 1.5, "recall": 0.5})
    assert of_classes["wren"] == pytest.approx({"rate": 1 / 1.5, "recall": 0.0})


def test_what_is_found_everywhere_has_found_one_event() -> None:
    calls = [Event(at, at + 1.0, "owl") for at in range(0, 100, 10)]
    counts = counts_of(calls, [Event(0.0, 100.0, "owl")], 3600.0)
    assert counts[1, :3].tolist() == [0, 1, 10]
    assert counts_of(calls, calls, 3600.0)[1, :3].tolist() == [0, 10, 10]


def test_without_annotated_events_there_is_no_recall() -> None:
    block, of_classes = FalseAlarms().describe(counts_of([], [], 3600.0)[None], ["owl", "wren"])
    assert (block["rate"], block["recall"]) == (0.0, None)
    assert of_classes["wren"] == {"rate": 0.0, "recall": None}


def test_hours_in_which_a_class_is_not_annotated_do_not_count_for_it() -> None:
    known = np.ones((10, 2), np.bool_)
    known[2:, 1] = False
    counts = counts_of([], [Event(1.0, 2.0, "owl"), Event(1.0, 2.0, "wren")], 3600.0, known)
    block, of_classes = FalseAlarms().describe(counts[None], ["owl", "wren"])
    assert (of_classes["owl"]["rate"], of_classes["wren"]["rate"]) == (1.0, pytest.approx(5.0))
    assert block["rate"] == pytest.approx(2 / 0.6)
