"""The bias of a decoder's times on validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.lateness import ON_TIME, Lateness, lateness
from sed_cli.decoding.semi_markov import SemiMarkovDecoder
from tests.decoding.test_semi_markov import CLASSES, HOP_S, decoder_of, song


@pytest.fixture(scope="module")
def plain() -> SemiMarkovDecoder:
    model = EventModel.of([song(40, seed) for seed in range(6)], CLASSES, HOP_S, 1)
    return decoder_of(model)


def moved(events: list[Event], onset_s: float, offset_s: float, noise_s: float) -> list[Event]:
    random = np.random.default_rng(2)
    return [
        Event(
            event.onset_s + onset_s + random.normal(0, noise_s),
            event.offset_s + offset_s + random.normal(0, noise_s),
            event.label,
        )
        for event in events
    ]


def test_it_is_the_median_error_of_events_that_were_found() -> None:
    events, _ = song(200, seed=0, gap_s=0.05)
    detected = moved(events, -0.002, 0.003, 0.001)
    detected[5] = Event(events[5].onset_s, events[5].offset_s, "c")  # another class
    detected[9] = Event(events[9].offset_s - 0.01, events[9].offset_s + 0.02, "a")  # mostly missed
    late = lateness([(events, detected)])
    assert late == pytest.approx((-0.002, 0.003), abs=0.0003)


def test_noise_and_a_few_events_are_not_late() -> None:
    events, _ = song(200, seed=0, gap_s=0.05)
    assert lateness([(events, moved(events, 0.0, 0.0, 0.002))]) == ON_TIME
    assert lateness([(events[:19], moved(events[:19], 0.01, 0.01, 0.0))]) == ON_TIME
    assert lateness([]) == ON_TIME


def test_times_are_reported_earlier_by_it_within_the_frame(plain: SemiMarkovDecoder) -> None:
    probabilities = np.full((60, 3), 0.001, np.float32)
    probabilities[20:28, 1] = 0.999
    early = replace(plain, late=Lateness(0.001, -0.0015))
    (found,) = early.decode(probabilities)
    assert (found.onset_s, found.offset_s) == pytest.approx((0.199, 0.2815), abs=1e-6)
    far = replace(plain, late=Lateness(1.0, 1.0))
    active = plain.decoded(probabilities).active
    assert np.array_equal(far.decoded(probabilities).active, active)
    assert SemiMarkovDecoder.from_json(early.as_json(), CLASSES, HOP_S) == early
    assert "late_s" not in plain.as_json()


def test_a_bias_that_is_no_number_is_refused(plain: SemiMarkovDecoder) -> None:
    with pytest.raises(ValueError, match="expected two numbers"):
        replace(plain, late=Lateness(float("nan"), 0.0))
