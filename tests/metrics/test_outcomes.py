"""Outcomes of events add up to the counts of sed_eval, and agree with a human's judgement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed_cli.data.annotations import Event
from sed_cli.metrics.detection import N_REF, N_SYS, SUBS, TP, count_frames
from sed_cli.metrics.outcomes import (
    BOTH,
    CONFUSED,
    HIT,
    INSERTED,
    MISSED,
    OFFSET,
    ONSET,
    event_outcomes,
    frame_confusions,
)
from tests.metrics.counted import sed_eval_counts

CLASSES = ("cat", "dog", "none")

events = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20), st.sampled_from(CLASSES)).map(
        lambda x: Event(x[0] * 0.05, (x[0] + x[1]) * 0.05, x[2])
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(events, events)
def test_hits_are_as_many_as_sed_eval_counts(reference: list[Event], estimate: list[Event]) -> None:
    of_reference, of_estimate = event_outcomes(reference, estimate)
    counts = sed_eval_counts({"a": reference}, {"a": estimate}, {"a": 4.0}, CLASSES, ["event"])
    n_hits = sum(fate.outcome == HIT for fate in of_reference)
    assert n_hits == sum(fate.outcome == HIT for fate in of_estimate)
    assert n_hits == counts["event"][0, 0, TP]
    assert len(of_reference) == counts["event"][0, 0, N_REF]
    assert len(of_estimate) == counts["event"][0, 0, N_SYS]


@settings(max_examples=60, deadline=None)
@given(events, events)
def test_partners_know_one_another(reference: list[Event], estimate: list[Event]) -> None:
    of_reference, of_estimate = event_outcomes(reference, estimate)
    for index, fate in enumerate(of_reference):
        assert (fate.partner is None) == (fate.outcome == MISSED)
        if fate.partner is not None:
            assert of_estimate[fate.partner].partner == index
            assert of_estimate[fate.partner].outcome == fate.outcome
            is_same = reference[index].label == estimate[fate.partner].label
            assert is_same == (fate.outcome != CONFUSED)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (Event(1.1, 2.4, "dog"), HIT),
        (Event(1.5, 2.0, "dog"), ONSET),
        (Event(1.0, 1.2, "dog"), OFFSET),
        (Event(0.2, 4.0, "dog"), BOTH),
        (Event(1.5, 3.0, "cat"), CONFUSED),
    ],
)
def test_each_kind_of_outcome(found: Event, outcome: str) -> None:
    of_reference, of_estimate = event_outcomes([Event(1.0, 2.0, "dog")], [found])
    assert (of_reference[0].outcome, of_estimate[0].outcome) == (outcome, outcome)


def test_an_event_elsewhere_is_missed_here_and_inserted_there() -> None:
    of_reference, of_estimate = event_outcomes([Event(1.0, 2.0, "dog")], [Event(3.0, 4.0, "dog")])
    assert (of_reference[0].outcome, of_estimate[0].outcome) == (MISSED, INSERTED)
    assert event_outcomes([], []) == ([], [])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_confusions_of_frames_sum_to_their_substitutions(seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = (random.random((50, 4)) < 0.3).astype(np.uint8)
    estimate = random.random((50, 4)) < 0.3
    confusions = frame_confusions(reference, estimate)
    assert confusions.sum() == pytest.approx(count_frames(reference, estimate)[0, SUBS])
    assert not np.diag(confusions).any()


def test_a_confusion_names_the_missed_class_first() -> None:
    reference = np.array([[1, 0, 0]] * 5, np.uint8)
    estimate = np.array([[0, 0, 1]] * 5, bool)
    assert frame_confusions(reference, estimate)[0, 2] == 5
