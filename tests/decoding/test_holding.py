"""Thresholds on the command line instead of those of a checkpoint, for every decoder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.decoding.decoder import Decoder
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.holding import held_against
from sed_cli.decoding.onsets import OnsetDecoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import UserError
from tests.decoding.streams import check_stream
from tests.decoding.test_boxes import BOXES
from tests.decoding.test_hysteresis_and_vote import HYSTERESIS, TWO, VOTE, columns
from tests.decoding.test_semi_markov import CLASSES, decoder_of, heard, song

WITH_THRESHOLDS: dict[str, Decoder] = {
    "threshold": ThresholdDecoder.plain(TWO, 0.1, min_duration_s=0.2),
    "hysteresis": HYSTERESIS,
    "vote": VOTE,
    "boxes": BOXES,
    "onsets": OnsetDecoder.of(ThresholdDecoder.plain(TWO, 0.1)),
}
# For each class a clear event, then a weak one.
CAT, DOG = "00888800000000003333" + "0" * 20, "0" * 20 + "00888800000000003333"


def outputs_for(decoder: Decoder) -> NDArray[np.float32]:
    values = columns(CAT, DOG)
    return np.concatenate([values, 0 * values], axis=1) if decoder.NAME == "onsets" else values


@pytest.mark.parametrize("name", WITH_THRESHOLDS)
def test_a_lower_threshold_finds_what_is_weak_and_a_higher_one_nothing(name: str) -> None:
    decoder = WITH_THRESHOLDS[name]

    def found(threshold: float | dict[str, float]) -> list[str]:
        held = held_against(decoder, threshold)
        return [each.label for each in held.decode(outputs_for(decoder), 4.0)]

    assert found(0.6) == ["cat", "dog"]
    assert found(0.2) == ["cat", "cat", "dog", "dog"]
    assert found({"cat": 0.2, "dog": 0.6}) == ["cat", "cat", "dog"]
    assert found(0.95) == []


@pytest.mark.parametrize("name", WITH_THRESHOLDS)
def test_a_stream_finds_the_same_with_other_thresholds(name: str) -> None:
    held = held_against(WITH_THRESHOLDS[name], {"cat": 0.2})
    check_stream(held, outputs_for(WITH_THRESHOLDS[name]), 4.0, [3, 1, 7])


@pytest.mark.parametrize("parts", [False, True])
def test_a_decoder_without_thresholds_keeps_events_of_enough_confidence(parts: bool) -> None:
    model = EventModel.of([song(40, seed) for seed in range(6)], CLASSES, 0.01, 1)
    decoder: Decoder = decoder_of(model)
    events, length_s = song(24, seed=99)
    outputs = heard(events, length_s, 2.5)
    if parts:
        decoder = OnsetDecoder.of(decoder, None)
        outputs = np.concatenate([outputs, 0 * outputs], axis=1)
    everything = decoder.decode(outputs, length_s)
    least = float(np.median([each.confidence for each in everything if each.label == "a"]))

    held = held_against(decoder, {"a": least})
    tracker = held.tracker()
    reports = [*tracker.push(outputs, length_s), *tracker.finish(length_s)]

    kept = [each for each in everything if each.label != "a" or each.confidence >= least]
    assert 0 < len(kept) < len(everything)
    assert held.decode(outputs, length_s) == kept
    assert sorted(r.event for r in reports if r.event) == [each.event for each in kept]


def test_the_label_of_a_threshold_is_that_of_a_class() -> None:
    with pytest.raises(UserError, match=r"threshold of bird: expected classes .* cat, dog"):
        held_against(HYSTERESIS, {"bird": 0.5})
