"""Events by durations, silences and order: search, training, and use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.decoding.event_model import EventModel, smoothed_lengths
from sed_cli.decoding.segments import Segment, SegmentDecoder
from sed_cli.decoding.semi_markov import SemiMarkovDecoder
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

HOP_S = 0.01
CLASSES = ("a", "b", "c")


def song(n: int, seed: int, gap_s: float = 0.002) -> tuple[list[Event], float]:
    """Notes of 80 ms, back to back: a a b c, repeated."""
    random = np.random.default_rng(seed)
    events, at_s = [], 0.3
    for number in range(n):
        length_s = random.normal(0.08, 0.004)
        events.append(Event(at_s, at_s + length_s, "aabc"[number % 4]))
        at_s += length_s + gap_s
    return events, at_s + 0.3


def overlapping() -> list[tuple[list[Event], float]]:
    return [([Event(0.1, 0.9, "a"), Event(0.3, 0.6, "b"), Event(1.2, 1.5, "a")], 2.0)] * 5


def decoder_of(model: EventModel, **settings: float) -> SemiMarkovDecoder:
    return SemiMarkovDecoder(
        **{"classes": CLASSES, "hop_s": HOP_S, "model": model, "lag_s": 1.0, **settings}
    )


def heard(events: list[Event], length_s: float, noise: float, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    log_odds = random.normal(-4.0, noise, (round(length_s / HOP_S), len(CLASSES)))
    for event in events:
        span = slice(round(event.onset_s / HOP_S), round(event.offset_s / HOP_S))
        log_odds[span, CLASSES.index(event.label)] += 8.0
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


@pytest.fixture(scope="module")
def joint() -> EventModel:
    return EventModel.of([song(40, seed) for seed in range(6)], CLASSES, HOP_S, 1)


@pytest.fixture(scope="module")
def apart() -> EventModel:
    return EventModel.of(overlapping(), CLASSES, HOP_S, 1)


def test_back_to_back_notes_of_one_class_are_distinguished_by_their_durations(
    joint: EventModel,
) -> None:
    events, length_s = song(24, seed=99)
    found = decoder_of(joint).decode(heard(events, length_s, 0.5), length_s)
    assert [each.label for each in found] == [event.label for event in events]
    assert np.allclose(
        [each.onset_s for each in found], [event.onset_s for event in events], atol=0.021
    )


def test_the_syntax_decides_where_the_frames_do_not(joint: EventModel) -> None:
    events, length_s = song(24, seed=99)
    probabilities = heard(events, length_s, 0.3)
    masked = events[10]  # a b, for which only the presence of a sound is audible
    span = slice(round(masked.onset_s / HOP_S), round(masked.offset_s / HOP_S))
    probabilities[span] = 0.6
    found = decoder_of(joint).decode(probabilities, length_s)
    assert [each.label for each in found] == [event.label for event in events]


def test_an_event_begins_and_ends_between_frames_as_their_probabilities_say(
    joint: EventModel,
) -> None:
    probabilities = np.full((60, 3), 0.001, np.float32)
    probabilities[20:28, 1] = 0.999
    probabilities[20, 1], probabilities[28, 1] = 0.7, 0.2
    (found,) = decoder_of(joint).decode(probabilities)
    assert found.label == "b"
    assert found.onset_s == pytest.approx(HOP_S * (20 + 1 - 0.001 - 0.7), abs=1e-6)
    assert found.offset_s == pytest.approx(HOP_S * (28 - 1 + 0.999 + 0.2), abs=1e-6)


def test_where_two_notes_of_a_class_touch_the_boundary_is_their_time(joint: EventModel) -> None:
    probabilities = np.full((60, 3), 0.001, np.float32)
    probabilities[20:36, 0] = 0.999
    decoder = decoder_of(joint)
    one, other = decoder.decode(probabilities)
    assert (one.label, other.label) == ("a", "a")
    assert one.offset_s == other.onset_s
    assert one.offset_s / HOP_S == pytest.approx(28, abs=1.01)
    assert decoder.decoded(probabilities).active[:, 0].tolist() == [
        20 <= frame < 36 for frame in range(60)
    ]


def test_classes_that_overlap_have_chains_of_their_own(
    joint: EventModel, apart: EventModel
) -> None:
    assert joint.joint
    assert not apart.joint
    events = overlapping()[0][0]
    found = decoder_of(apart).decode(heard(events, 2.0, 0.5), 2.0)
    assert [each.label for each in found] == ["a", "b", "a"]


def test_the_second_order_remembers_two_events() -> None:
    recordings = [song(40, seed) for seed in range(6)]
    model = EventModel.of(recordings, CLASSES, HOP_S, 2)
    row = model.histories.index((0, 0))
    assert np.exp(model.following[row]).argmax() == 1  # after a a comes b
    after_a = np.exp(model.following[model.histories.index((0,))])
    assert 0.3 < after_a[0] < 0.7  # after an a alone, as often a as b
    assert np.allclose(np.exp(model.following).sum(axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("kind", ["joint", "apart"])
def test_the_compiled_search_is_the_plain_one(kind: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("numba")
    model = request.getfixturevalue(kind).segments()
    scores = np.random.default_rng(1).normal(-1, 2, (700, len(CLASSES)))
    found = []
    for plain in (True, False):
        search = SegmentDecoder(model, lag=100, step=50, plain=plain)
        found.append([*search.push(scores), *search.finish()])
    assert found[0] == found[1]
    assert len(found[0]) > 5


def best_by_trying_all(model: EventModel, scores: NDArray[np.float64]) -> float:
    """Score of the best path, by exhaustive search."""
    segments, best = model.segments(), 0.0
    assert segments.arcs is not None

    def go_on(at: int, last: int | None, so_far: float) -> None:
        nonlocal best
        best = max(best, so_far)
        for first in range(at, len(scores)):
            for label in range(len(CLASSES)):
                gap = min(first - at, len(segments.gaps) - 1)
                step = (
                    segments.starts[label]
                    if last is None
                    else segments.gaps[gap, last] + segments.arcs[last, label]
                )
                for end in range(first + 1, len(scores) + 1):
                    n, most = end - first, len(segments.durations)
                    length = segments.durations[min(n, most) - 1, label]
                    length += max(0, n - most) * segments.duration_stays[label]
                    heard_there = scores[first:end, label].sum()
                    go_on(end, label, so_far + step + length + heard_there)

    go_on(0, None, 0.0)
    return best


def test_no_path_is_better_than_the_one_that_is_found() -> None:
    events = [Event(0.02, 0.04, "a"), Event(0.05, 0.06, "b"), Event(0.06, 0.08, "c")]
    model = EventModel.of([(events, 0.1)] * 4, CLASSES, HOP_S, 1)
    for seed in range(5):
        scores = np.random.default_rng(seed).normal(0, 4, (5, len(CLASSES)))
        search = SegmentDecoder(model.segments(), lag=5, step=5)
        found = sorted([*search.push(scores), *search.finish()])
        assert path_score(model, found, scores) == pytest.approx(best_by_trying_all(model, scores))


def path_score(model: EventModel, found: list[Segment], scores: NDArray[np.float64]) -> float:
    segments, total = model.segments(), 0.0
    assert segments.arcs is not None
    before: Segment | None = None
    for each in found:
        n, most = each.last - each.first, len(segments.durations)
        total += scores[each.first : each.last, each.column].sum()
        total += segments.durations[min(n, most) - 1, each.column]
        total += max(0, n - most) * segments.duration_stays[each.column]
        if before is None:
            total += segments.starts[each.column]
        else:
            gap = min(each.first - before.last, len(segments.gaps) - 1)
            total += segments.gaps[gap, before.column] + segments.arcs[before.column, each.column]
        before = each
    return total


@pytest.mark.parametrize("kind", ["joint", "apart"])
def test_a_stream_finds_what_the_whole_gives(kind: str, request: pytest.FixtureRequest) -> None:
    decoder = decoder_of(request.getfixturevalue(kind))
    events, length_s = song(40, seed=5, gap_s=0.05)
    probabilities = heard(events, length_s, 2.0)
    whole = decoder.decode(probabilities, length_s)
    random = np.random.default_rng(0)
    for _ in range(3):
        tracker, at, reports = decoder.tracker(), 0, []
        while at < len(probabilities):
            n = int(random.integers(1, 90))
            new = tracker.push(probabilities[at : at + n], (at + n) * HOP_S)
            at = min(len(probabilities), at + n)
            ends = [report.offset_s for report in new if report.offset_s is not None]
            assert all(at * HOP_S - end < tracker.latency_s + 0.9 + 1e-9 for end in ends)
            reports += new
        reports += tracker.finish(length_s)
        found = sorted((r.onset_s, r.offset_s, r.label) for r in reports if r.kind == "end")
        assert found == [each[:3] for each in whole]
        ended = sorted((r for r in reports if r.kind == "end"), key=lambda r: (r.onset_s, r.label))
        confidences = [report.confidence for report in ended]
        assert confidences == pytest.approx([each.confidence for each in whole])
        assert sum(r.kind == "start" for r in reports) == len(whole)


def test_an_hour_of_silence_does_not_rule_out_what_comes_after_it(joint: EventModel) -> None:
    events, length_s = song(8, seed=3)
    probabilities = heard(events, length_s, 0.5)
    silence = np.full((20_000, len(CLASSES)), 0.001, np.float32)
    found = decoder_of(joint).decode(np.concatenate([probabilities, silence, probabilities]))
    assert len(found) == 2 * len(events)


def test_what_lasts_longer_than_anything_in_training_is_one_event(apart: EventModel) -> None:
    probabilities = np.full((4_000, len(CLASSES)), 0.001, np.float32)
    probabilities[500:3500, 0] = 0.999
    (found,) = decoder_of(apart, weight=4.0).decode(probabilities)
    assert (found.onset_s, found.offset_s) == pytest.approx((5.0, 35.0))


def test_lengths_are_probabilities_about_what_was_seen() -> None:
    seconds = np.random.default_rng(0).normal(0.2, 0.01, 300)
    found = np.exp(smoothed_lengths(seconds, HOP_S, 60, 1, 0.004))
    assert found.sum() == pytest.approx(1, abs=0.01)
    assert found.argmax() + 1 == 20
    assert found[50] > 0


@pytest.mark.parametrize("kind", ["joint", "apart"])
def test_a_checkpoint_gives_it_back(kind: str, request: pytest.FixtureRequest) -> None:
    decoder = decoder_of(request.getfixturevalue(kind), weight=0.5, prior=0.25)
    again = SemiMarkovDecoder.from_json(decoder.as_json(), CLASSES, HOP_S)
    events, length_s = song(20, seed=7)
    probabilities = heard(events, length_s, 2.0)
    assert again.decode(probabilities) == decoder.decode(probabilities)
    broken = decoder.as_json()
    broken["model"]["durations"]["a"] = [0.1]
    with pytest.raises(ValueError, match="inhomogeneous"):
        SemiMarkovDecoder.from_json(broken, CLASSES, HOP_S)


def test_the_command_line_fits_it_keeps_it_and_finds_the_same_events(
    sedtf: Sedtf, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert (
        sedtf(
            "train", *TINY, *TINY_SOUNDSCAPES, "evaluation.decoder=semi_markov", f"output_dir={run}"
        )
        == 0
    )
    assert json.loads((run / "metrics.json").read_text())["decoder"] == "semi_markov"
    again = tmp_path / "again"
    assert sedtf("eval", f"checkpoint={run}", f"output_dir={again}") == 0
    assert (again / "events.tsv").read_text() == (run / "events.tsv").read_text()
    refused = ["evaluation.decoder=semi_markov", "evaluation.min_gap_s=0.1"]
    assert sedtf("eval", f"checkpoint={run}", *refused, f"output_dir={tmp_path / 'no'}") == 2
