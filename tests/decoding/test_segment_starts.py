"""Events that start where a model's onsets are: the search, times between frames, and streams."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.segments import SegmentDecoder
from sed_cli.decoding.semi_markov import SemiMarkovDecoder
from tests.decoding.test_semi_markov import CLASSES, HOP_S, heard, song


@pytest.fixture(scope="module")
def model() -> EventModel:
    return EventModel.of([song(40, seed) for seed in range(6)], CLASSES, HOP_S, 1)


def decoder_of(model: EventModel, **settings: float) -> SemiMarkovDecoder:
    values = {"lag_s": 1.0, "onset_weight": 0.5, **settings}
    return SemiMarkovDecoder(classes=CLASSES, hop_s=HOP_S, model=model, **values)  # type: ignore[arg-type]


def with_onsets(
    probabilities: NDArray[np.float32], events: list[Event], noise: float = 0.0
) -> NDArray[np.float32]:
    """Append onsets, in the two frames from the start of each event on."""
    random = np.random.default_rng(1)
    log_odds = random.normal(-4.0, noise, probabilities.shape)
    for event in events:
        first = round(event.onset_s / HOP_S)
        log_odds[first : first + 2, CLASSES.index(event.label)] += 8.0
    return np.concatenate([probabilities, 1 / (1 + np.exp(-log_odds))], axis=1).astype(np.float32)


def test_touching_notes_part_where_the_second_one_starts(model: EventModel) -> None:
    notes = [Event(0.2, 0.29, "a"), Event(0.29, 0.36, "a")]  # their durations say 0.28
    probabilities = with_onsets(heard(notes, 0.6, 0.0), notes)
    found = decoder_of(model, onset_weight=2.0).decode(probabilities)
    assert [each.onset_s for each in found] == pytest.approx([0.2, 0.29], abs=0.002)
    ignoring = decoder_of(model, onset_weight=0.0).decode(probabilities)
    assert [each.offset_s for each in ignoring] == pytest.approx([0.28, 0.36], abs=0.005)


def test_the_time_between_touching_notes_is_that_of_the_onsets(model: EventModel) -> None:
    probabilities = np.full((60, 6), 0.001, np.float32)
    probabilities[20:36, 0] = 0.999
    probabilities[20:22, 3] = probabilities[28:30, 3] = 0.999
    probabilities[28, 3], probabilities[30, 3] = 0.6, 0.4  # in 2 of 5 cases it starts at 29
    one, other = decoder_of(model, touch_s=0.002).decode(probabilities)
    assert other.onset_s == pytest.approx(0.284, abs=1e-4)
    assert one.offset_s == pytest.approx(0.282, abs=1e-4)
    assert one.onset_s == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize("pieces", [[1] * 7, [3, 400], [90]])
def test_a_stream_finds_what_the_whole_gives(model: EventModel, pieces: list[int]) -> None:
    decoder = decoder_of(model, touch_s=0.002)
    events, length_s = song(40, seed=5)
    probabilities = with_onsets(heard(events, length_s, 2.0), events, 1.0)
    whole = decoder.decode(probabilities, length_s)
    assert len(whole) == pytest.approx(40, abs=2)
    tracker, at, reports = decoder.tracker(), 0, []
    while at < len(probabilities):
        n = pieces[at % len(pieces)]
        reports += tracker.push(probabilities[at : at + n], (at + n) * HOP_S)
        at += n
    reports += tracker.finish(length_s)
    found = sorted((r.onset_s, r.offset_s, r.label) for r in reports if r.kind == "end")
    assert found == [each[:3] for each in whole]


def test_the_compiled_search_is_the_plain_one(model: EventModel) -> None:
    pytest.importorskip("numba")
    scores = np.random.default_rng(1).normal(-1, 2, (700, 2 * len(CLASSES)))
    found = []
    for plain in (True, False):
        search = SegmentDecoder(model.segments(), lag=100, step=50, starts=True, plain=plain)
        found.append([*search.push(scores), *search.finish()])
    assert found[0] == found[1]
    silent = SegmentDecoder(model.segments(), lag=100, step=50)
    assert found[0] != [*silent.push(scores[:, : len(CLASSES)]), *silent.finish()]


def test_a_checkpoint_gives_it_back(model: EventModel) -> None:
    decoder = decoder_of(model, touch_s=0.002)
    assert SemiMarkovDecoder.from_json(decoder.as_json(), CLASSES, HOP_S) == decoder
    without = SemiMarkovDecoder(classes=CLASSES, hop_s=HOP_S, model=model, lag_s=1.0)
    assert not {"onset_weight", "touch_s"} & set(without.as_json())


@pytest.mark.parametrize("settings", [{"onset_weight": -1.0}, {"touch_s": float("nan")}])
def test_values_out_of_range_are_refused(model: EventModel, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        decoder_of(model, **settings)


def test_probabilities_without_onsets_are_refused(model: EventModel) -> None:
    with pytest.raises(ValueError, match=r"expected \(T, 6\)"):
        decoder_of(model).decode(np.zeros((5, 3)))
