"""Touching events split at onsets: by hand, in streams, tuned, saved."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.config.registry import component_named
from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities
from sed_cli.data.sets import Recording
from sed_cli.decoding.decoder import Decoder, StreamEvent, Tracker, described
from sed_cli.decoding.onsets import OnsetDecoder, peaks
from sed_cli.decoding.saved import fit, read_decoder, save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import CheckpointError
from tests.decoding.streams import check_stream
from tests.decoding.test_hysteresis_and_vote import (
    DECODERS,
    TWO,
    columns,
    f1_of,
    found,
    made,
    task_of,
)
from tests.decoding.test_tuning import CLASSES, HOP_S, Pairs

PLAIN = ThresholdDecoder.plain(TWO, 0.1)
PARTING = OnsetDecoder.of(PLAIN)


# ---------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("onsets", "least", "at"),
    [
        ("0070007", 2, [2, 6]),
        ("0074000", 2, [2]),
        ("0077000", 2, [2]),  # the first of equal ones
        ("0060700", 2, [2, 4]),
        ("0060700", 3, [4]),  # the higher of two that are too close
        ("0070600", 3, [2]),
        ("5555444", 2, [0]),
        ("4444444", 2, []),  # not above the threshold
        ("", 2, []),
    ],
)
def test_a_peak_is_above_the_threshold_and_above_all_that_is_near(
    onsets: str, least: int, at: list[int]
) -> None:
    values = np.array([int(each) / 10 + 0.05 for each in onsets], np.float32)

    assert peaks(values, 0.5, least).tolist() == at


def test_an_event_is_parted_where_another_one_begins() -> None:
    #                 0         1
    values = columns(
        "07788999600777000", "00000000000000000", "07002900000040000", "00000800000000000"
    )

    events = PARTING.decode(values)

    # The peak of the dog's onsets is outside its events, the cat's second is too low.
    assert found(events) == [("cat", 0.1, 0.5), ("cat", 0.5, 0.9), ("cat", 1.1, 1.4)]
    assert events[0].confidence == pytest.approx((0.75 + 0.75 + 0.85 + 0.85) / 4)
    assert events[1].confidence == pytest.approx((0.95 + 0.95 + 0.95 + 0.65) / 4)
    assert events[2] == PLAIN.decode(values[:, :2])[1]


@pytest.mark.parametrize(
    ("onsets", "starts"),
    [
        ("0080000000", [0.1]),  # a frame after the start
        ("0008000000", [0.1, 0.3]),
        ("0000000800", [0.1, 0.7]),
        ("0000000080", [0.1]),  # a frame before the end
        ("0008080800", [0.1, 0.3, 0.5, 0.7]),
    ],
)
def test_no_part_is_shorter_than_it_may_be(onsets: str, starts: list[float]) -> None:
    values = columns("0999999990", "0000000000", onsets, "0000000000")

    assert [round(event.onset_s, 6) for event in PARTING.decode(values)] == starts


def test_parting_leaves_frames_scores_and_other_classes_as_they_are() -> None:
    values = np.random.default_rng(0).uniform(size=(300, 4)).astype(np.float32)
    once = replace(PARTING, thresholds=(0.5, None))

    for decoder in (PARTING, once, OnsetDecoder.of(PLAIN, None)):
        np.testing.assert_array_equal(
            decoder.activities(values, 29.95), PLAIN.activities(values[:, :2], 29.95)
        )
        np.testing.assert_array_equal(decoder.scores(values), PLAIN.scores(values[:, :2]))
    whole = PLAIN.decode(values[:, :2], 29.95)
    assert OnsetDecoder.of(PLAIN, None).decode(values, 29.95) == whole
    some = once.decode(values, 29.95)
    assert len(some) > len(whole)
    assert [e for e in some if e.label == "dog"] == [e for e in whole if e.label == "dog"]


def test_probabilities_without_onsets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 2\).*\(T, 4\), of activities and of onsets"):
        PARTING.decode(np.zeros((5, 2)))


def test_minimum_gaps_and_durations_are_those_of_the_decoder_within() -> None:
    values = columns("0990990000", "0000000000", "0000000000", "0000000000")

    decoder = PARTING.with_least(min_gap_s=0.2, min_duration_s=None)

    assert found(decoder.decode(values)) == [("cat", 0.1, 0.6)]


# -------------------------------------------------------------------------------- in streams


@settings(max_examples=60, deadline=None)
@given(
    inner=DECODERS,
    thresholds=st.tuples(*[st.sampled_from([None, 0.3, 0.6])] * 2),
    least=st.tuples(*[st.integers(2, 5)] * 2),
    n_frames=st.integers(0, 150),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    rest=st.floats(0, 1),
)
def test_a_stream_parts_the_events_of_the_whole_within_its_latency(
    inner: Decoder,
    thresholds: tuple[float | None, ...],
    least: tuple[int, ...],
    n_frames: int,
    sizes: list[int],
    seed: int,
    rest: float,
) -> None:
    decoder = replace(OnsetDecoder.of(inner), thresholds=thresholds, least=least)
    random = np.random.default_rng(seed)
    probabilities = random.random((n_frames, 4), dtype=np.float32)
    for frame in range(1, n_frames):  # activities last long, onsets do not
        stays = random.random(2) < 0.95
        probabilities[frame, :2][stays] = probabilities[frame - 1, :2][stays]
    duration_s = (max(n_frames - 1, 0) + rest) * 0.1

    check_stream(decoder, probabilities, duration_s, sizes)


def test_an_event_without_end_is_parted_as_it_continues_in_bounded_memory() -> None:
    tracker = PARTING.tracker()
    block = columns("9" * 20, "0" * 20, "0" * 10 + "8" + "0" * 9, "0" * 20)

    reports = [tracker.push(block, 2.0 * (index + 1)) for index in range(500)]

    assert [len(each) for each in reports] == [3] + [2] * 499
    assert len(tracker._onsets) < 30  # type: ignore[attr-defined]


class AtTheEnd(Tracker):
    latency_s = math.inf

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.frames = decoder, list[NDArray[np.float32]]()

    def push(self, probabilities: NDArray[np.float32], known_s: float) -> list[StreamEvent]:
        self.frames.append(probabilities)
        return []

    def finish(self, duration_s: float) -> list[StreamEvent]:
        found = self.decoder.decode(np.concatenate(self.frames), duration_s)
        return [
            StreamEvent(
                kind="end",
                label=d.label,
                onset_s=d.onset_s,
                offset_s=d.offset_s,
                confidence=d.confidence,
            )
            for d in found
        ]


class Whole(ThresholdDecoder):
    def tracker(self) -> Tracker:
        return AtTheEnd(self)


def test_a_tracker_that_waits_for_the_end_is_waited_for() -> None:
    decoder = OnsetDecoder.of(Whole.plain(TWO, 0.1))
    values = columns("0778899990", "0000000000", "0700800020", "0000000000")
    tracker = decoder.tracker()

    assert [tracker.push(frame[None], 1.0) for frame in values] == [[]] * 10

    ends = [report for report in tracker.finish(1.0) if report.event is not None]
    assert [report.event for report in ends] == [each.event for each in decoder.decode(values, 1.0)]
    assert len(ends) == 2
    assert tracker.latency_s == math.inf


# ------------------------------------------------------------------------------------- tuned


def touching(level: float, seed: int = 0, n_files: int = 12) -> Pairs:
    """Cats that touch and dogs that do not; onsets correlate with them and reach a level."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(n_files):
        events, at_s = [], 0.2
        while at_s < 8.0:
            for _ in range(int(random.integers(1, 4))):
                end_s = at_s + random.uniform(0.3, 0.6)
                events.append(Event(at_s, end_s, "cat"))
                at_s = end_s
            at_s += 0.3
            events.append(Event(at_s, at_s + random.uniform(0.5, 0.8), "dog"))
            at_s = events[-1].offset_s + random.uniform(0.3, 0.5)
        activities = Activities(events, CLASSES, int(10.5 / HOP_S), HOP_S)
        active = activities[:]
        onsets = activities.onsets(slice(None)) * level * random.uniform(0.8, 1.0, active.shape)
        recording = Recording(
            name=f"{index}.wav",
            path=Path(f"{index}.wav"),
            duration_s=10.4,
            log_mel=np.zeros((len(active), 1), np.float32),
            activities=activities,
            events=tuple(events),
        )
        values = np.concatenate([0.1 + 0.8 * active, onsets + 0.01], axis=1)
        pairs.append((recording, values.astype(np.float32)))
    return pairs


@pytest.mark.parametrize(
    "name",
    ["threshold", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hysteresis", "vote"))],
)
def test_touching_events_are_distinguished_however_low_their_onsets_are(name: str) -> None:
    pairs = touching(0.3)

    decoder = fit(made(name), task_of(pairs, "frame", onsets=True))

    assert isinstance(decoder, OnsetDecoder)
    assert f1_of(pairs, decoder, "event")[0] > 0.98
    assert f1_of(pairs, OnsetDecoder.of(decoder.inner), "event")[0] < 0.8
    assert f1_of(pairs, decoder, "frame")[0] == 1
    tuning = decoder.as_json()["onsets"]["tuning"]
    assert tuning["cat"]["kept"] == "tuned"
    assert tuning["cat"]["gain"]["event"] > 0.1
    assert tuning["dog"]["kept"] == "default"


def test_without_validation_a_half_is_taken() -> None:
    decoder = fit(made("threshold"), task_of([], onsets=True))

    assert isinstance(decoder, OnsetDecoder)
    assert set(decoder.thresholds) == {0.5}


def test_onsets_part_nothing_that_a_decoder_distinguishes_by_itself() -> None:
    pairs = touching(0.9, n_files=3)
    training = [recording for recording, _ in pairs]
    task = task_of(pairs, onsets=True, training=lambda: training, tune=False)

    decoder = fit(component_named("decoder", "semi_markov")(), task)

    assert isinstance(decoder, OnsetDecoder)
    assert set(decoder.thresholds) == {None}


# ------------------------------------------------------------------------------------- saved


def test_a_checkpoint_keeps_how_events_are_parted(tmp_path: Path) -> None:
    decoder = replace(PARTING, thresholds=(0.25, None), least=(2, 7))

    save_decoder(tmp_path, decoder)

    assert read_decoder(tmp_path, TWO, 0.1, onsets=True) == decoder
    values = json.loads((tmp_path / "postprocessing.json").read_text())
    assert values["decoder"] == "threshold"
    assert {**described(PLAIN), "onsets": values["onsets"]} == values


def test_a_model_with_onsets_needs_a_decoder_that_takes_them(tmp_path: Path) -> None:
    assert read_decoder(tmp_path, TWO, 0.1, onsets=True) == PARTING

    save_decoder(tmp_path, PLAIN)

    with pytest.raises(CheckpointError, match="no 'onsets'"):
        read_decoder(tmp_path, TWO, 0.1, onsets=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": {"cat": 0.5}},
        {"thresholds": {"cat": 0.5, "dog": 2.0}},
        {"least_frames": {"cat": 1, "dog": 2}},
        {"least_frames": {"cat": 10**9, "dog": 2}},
    ],
)
def test_values_out_of_range_are_refused(
    tmp_path: Path, wrong: dict[str, dict[str, float]]
) -> None:
    values = PARTING.as_json()
    values["onsets"] |= wrong
    (tmp_path / "postprocessing.json").write_text(json.dumps(values))

    with pytest.raises(CheckpointError, match=r"postprocessing\.json: invalid"):
        read_decoder(tmp_path, TWO, 0.1, onsets=True)
