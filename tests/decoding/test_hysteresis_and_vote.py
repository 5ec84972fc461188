"""Two thresholds, and votes by segment: by hand, in streams, tuned, saved, through the verbs."""

from __future__ import annotations

import io
import json
import logging
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component_named
from sed_cli.data.annotations import Event
from sed_cli.data.frames import events_to_activities
from sed_cli.decoding.decoder import Decoder, Detection, Fitting
from sed_cli.decoding.hysteresis import HysteresisDecoder, hysteresis
from sed_cli.decoding.saved import fit, read_decoder, save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.decoding.voting import VoteDecoder
from sed_cli.errors import CheckpointError
from sed_cli.metrics.detection import count_frames, figures
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.tally import _as_written
from tests.conftest import TRAINED, Sedtf
from tests.decoding.streams import check_stream
from tests.decoding.test_tuning import CLASSES, HOP_S, Pairs, make_pairs, recording_of
from tests.metrics.counted import sed_eval_counts

NAMES = ("hysteresis", "vote")
ONE = ("cat",)
TWO = ("cat", "dog")
HYSTERESIS = HysteresisDecoder(
    classes=TWO,
    hop_s=0.1,
    upper=(0.6, 0.8),
    lower=(0.3, 0.8),
    gaps_s=(0.2, 0.0),
    durations_s=(0.0, 0.3),
    tuned_for="event",
)
VOTE = VoteDecoder(
    classes=TWO,
    hop_s=0.1,
    thresholds=(0.5, 0.5),
    longest_s=0.5,
    min_gap_s=0.2,
    min_duration_s=0.2,
    tuned_for="event",
)


def columns(*texts: str) -> NDArray[np.float32]:
    """Probabilities of classes, one digit per frame: ``5`` is 0.55."""
    return np.array([[int(each) / 10 + 0.05 for each in text] for text in texts], np.float32).T


def found(detections: Sequence[Detection]) -> list[tuple[str, float, float]]:
    return [(d.label, round(d.onset_s, 6), round(d.offset_s, 6)) for d in detections]


# ---------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("probabilities", "active"),
    [
        ("0034763300", "..######.."),  # up to the upper threshold, down to the lower one
        ("0044440000", ".........."),  # never above the upper
        ("7000000007", "#........#"),
        ("0044720447", "..###..###"),
        ("4444444444444700", "..........####.."),  # no further back than its reach of 3 frames
    ],
)
def test_an_event_starts_above_the_upper_threshold_and_continues_above_the_lower(
    probabilities: str, active: str
) -> None:
    values = columns(probabilities)[:, 0]

    marked = hysteresis(values, np.array([0.6]), np.array([0.3]), reach=3)[:, 0]

    assert "".join("#" if frame else "." for frame in marked) == active


def test_each_class_has_thresholds_gaps_and_durations_of_its_own() -> None:
    #                       0         1
    values = columns("0740007407200000", "0880088800000000")

    events = HYSTERESIS.decode(values)

    # The cat's gap of 0.3 s stays, that of one frame is filled; two of the dog are too short.
    assert found(events) == [("cat", 0.1, 0.3), ("dog", 0.5, 0.8), ("cat", 0.6, 1.0)]
    assert events[0].confidence == pytest.approx((0.75 + 0.45) / 2)
    assert events[2].confidence == pytest.approx((0.75 + 0.45 + 0.05 + 0.75) / 4)


def test_of_one_threshold_twice_a_threshold_is_left() -> None:
    values = np.random.default_rng(0).uniform(size=(200, 2)).astype(np.float32)
    same = replace(
        HYSTERESIS, upper=(0.5,) * 2, lower=(0.5,) * 2, gaps_s=(0.0,) * 2, durations_s=(0.0,) * 2
    )
    plain = ThresholdDecoder.plain(TWO, 0.1)

    assert same.decode(values, 19.93) == plain.decode(values, 19.93)
    np.testing.assert_array_equal(same.activities(values), plain.activities(values))


def test_a_segment_takes_the_class_that_most_of_its_frames_are_of() -> None:
    values = columns("0778800000070", "0657700880060")
    #                  cccc   dd  c: single frames are short

    events = VOTE.decode(values)

    assert found(events) == [("cat", 0.1, 0.5), ("dog", 0.7, 0.9)]
    assert events[0].confidence == pytest.approx((0.75 + 0.75 + 0.85 + 0.85) / 4)


def test_of_as_many_votes_the_more_probable_class_is_taken() -> None:
    assert found(VOTE.decode(columns("0960", "0580"))) == [("cat", 0.1, 0.3)]
    assert found(VOTE.decode(columns("0650", "0590"))) == [("dog", 0.1, 0.3)]


def test_short_silences_are_filled_before_the_vote() -> None:
    values = columns("07007700", "00000000")

    assert found(VOTE.decode(values)) == [("cat", 0.4, 0.6)]  # two frames of silence suffice
    values = columns("0707700", "0000000")
    assert found(VOTE.decode(values)) == [("cat", 0.1, 0.5)]


def test_a_long_segment_is_voted_on_in_pieces_and_neighbours_of_a_class_are_one() -> None:
    values = columns("7" * 10 + "1" * 5 + "0", "1" * 10 + "7" * 5 + "0")

    assert found(VOTE.decode(values)) == [("cat", 0.0, 1.0), ("dog", 1.0, 1.5)]
    # Over the whole, most frames are the cat's.
    assert found(replace(VOTE, longest_s=2.0).decode(values)) == [("cat", 0.0, 1.5)]


def test_only_one_class_is_active_at_a_time() -> None:
    values = np.random.default_rng(0).uniform(size=(500, 2)).astype(np.float32)

    active = VOTE.activities(values, 49.95)

    assert active.any(axis=0).all()
    assert (active.sum(axis=1) <= 1).all()


@pytest.mark.parametrize("decoder", [HYSTERESIS, VOTE], ids=NAMES)
def test_no_event_ends_after_the_recording_and_its_last_frame_counts(decoder: Decoder) -> None:
    values = np.full((10, 2), 0.9, np.float32)

    events, active = decoder.decoded(values, 0.93)

    assert {event.offset_s for event in events} == {0.93}
    assert active[-1].any()
    assert decoder.decode(values[:0], 0.0) == []
    assert decoder.activities(values[:0]).shape == (0, 2)


@pytest.mark.parametrize("decoder", [HYSTERESIS, VOTE], ids=NAMES)
def test_probabilities_of_another_number_of_classes_are_refused(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(T, 2\)"):
        decoder.decode(np.zeros((5, 3)))


# -------------------------------------------------------------------------------- in streams

SHORT = st.sampled_from([0.0, 0.1, 0.25, 0.5])
DECODERS = st.one_of(
    st.builds(
        lambda high, shares, gaps, durations: HysteresisDecoder(
            classes=TWO,
            hop_s=0.1,
            upper=high,
            lower=(high[0] * shares[0], high[1] * shares[1]),
            gaps_s=gaps,
            durations_s=durations,
        ),
        st.tuples(*[st.sampled_from([0.5, 0.7, 0.9])] * 2),
        st.tuples(*[st.sampled_from([0.3, 0.7, 1.0])] * 2),
        st.tuples(SHORT, SHORT),
        st.tuples(SHORT, SHORT),
    ),
    st.builds(
        VoteDecoder,
        classes=st.just(TWO),
        hop_s=st.just(0.1),
        thresholds=st.tuples(*[st.sampled_from([0.3, 0.5, 0.8])] * 2),
        longest_s=st.sampled_from([0.1, 0.3, 2.0]),
        min_gap_s=SHORT,
        min_duration_s=SHORT,
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    decoder=DECODERS,
    n_frames=st.integers(0, 150),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    stay=st.sampled_from([0.0, 0.7, 0.95]),
    rest=st.floats(0, 1),
)
def test_a_stream_finds_the_events_of_the_whole_within_its_latency(
    decoder: Decoder, n_frames: int, sizes: list[int], seed: int, stay: float, rest: float
) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.random((n_frames, 2), dtype=np.float32)
    for frame in range(1, n_frames):
        stays = random.random(2) < stay
        probabilities[frame, stays] = probabilities[frame - 1, stays]
    duration_s = (max(n_frames - 1, 0) + rest) * 0.1

    check_stream(decoder, probabilities, duration_s, sizes)


# ------------------------------------------------------------------------------------- tuned


def task_of(pairs: Pairs, metric: str = "event", **options: Any) -> Fitting:
    values: dict[str, Any] = {
        "classes": CLASSES,
        "hop_s": HOP_S,
        "metric": metric,
        "collar_s": 0.2,
        "min_gap_s": 0.0,
        "min_duration_s": 0.0,
        "tune": True,
        "training": list,
        "validation": [recording for recording, _ in pairs],
        "scored": lambda: iter(pairs),
    }
    return Fitting(**{**values, **options})


def made(name: str, **options: Any) -> DecoderConfig:
    config: DecoderConfig = component_named("decoder", name)(**options)
    return config


def f1_of(pairs: Pairs, decoder: Decoder, metric: str) -> NDArray[np.float64]:
    """F1 as ``sedtf eval`` reports it: over all classes, then of each (1 + C,)."""
    reference, estimate, durations_s, frames = {}, {}, {}, []
    for recording, probabilities in pairs:
        events, active = decoder.decoded(probabilities, recording.duration_s)
        frames.append(count_frames(recording.activities[:], active))
        reference[recording.name] = recording.events
        estimate[recording.name] = [_as_written(each.event) for each in events]
        durations_s[recording.name] = recording.duration_s
    if metric == "frame":
        return figures(np.sum(frames, axis=0))["f1"]
    counts = sed_eval_counts(reference, estimate, durations_s, CLASSES, [metric])[metric]
    return figures(counts.sum(axis=0))["f1"]


def in_turn(seed: int = 0, n_files: int = 12) -> Pairs:
    """Events of one class at a time, with probabilities that sag and flicker between classes."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(n_files):
        events, at_s = [], 0.2
        while at_s < 9.0:
            end_s = at_s + random.uniform(0.4, 0.9)
            events.append(Event(at_s, end_s, CLASSES[random.integers(2)]))
            at_s = end_s + random.uniform(0.2, 0.5)
        n_frames = int(10 / HOP_S)
        active = events_to_activities(events, CLASSES, n_frames, HOP_S).astype(bool)
        logits = 6.0 * active - 3.5 + 1.3 * random.normal(size=active.shape)
        sound = active[:, :2].any(axis=1, keepdims=True) * 1.5
        logits[:, :2] += sound  # any sound is classified as something
        probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
        pairs.append((recording_of(f"{index}.wav", active, events, 10.0), probabilities))
    return pairs


@pytest.mark.parametrize("metric", [pytest.param("segment", marks=pytest.mark.slow), "event"])
def test_hysteresis_is_no_worse_on_validation_than_the_default_and_better_where_it_may(
    metric: str,
) -> None:
    pairs = in_turn()
    decoder = fit(made("hysteresis"), task_of(pairs, metric))
    plain = ThresholdDecoder.plain(CLASSES, HOP_S)

    assert isinstance(decoder, HysteresisDecoder)
    assert decoder.tuned_for == metric
    for kind in {metric, "event" if metric != "event" else "frame"}:
        gain = f1_of(pairs, decoder, kind) - f1_of(pairs, plain, kind)
        assert (gain[:3] >= 0).all(), kind
    assert f1_of(pairs, decoder, "event")[0] > f1_of(pairs, plain, "event")[0] + 0.1
    # The reported gain is the actual gain.
    tuning = decoder.as_json()["tuning"]
    for index, label in enumerate(CLASSES[:2]):
        said = tuning[label]["gain"][metric]
        of_class = f1_of(pairs, decoder, metric)[1 + index] - f1_of(pairs, plain, metric)[1 + index]
        assert said == pytest.approx(of_class, abs=1e-4)


@pytest.mark.parametrize("metric", ["frame", "event"])
def test_votes_are_no_worse_on_validation_than_the_default_and_better_where_they_may(
    metric: str,
) -> None:
    pairs = in_turn(1)
    decoder = fit(made("vote"), task_of(pairs, metric))
    untuned = fit(made("vote"), task_of(pairs, metric, tune=False))
    plain = ThresholdDecoder.plain(CLASSES, HOP_S)

    assert isinstance(decoder, VoteDecoder)
    assert decoder.as_json()["tuning"]["cat"]["kept"] == "tuned"
    for kind in ("frame", "event"):
        assert f1_of(pairs, decoder, kind)[0] >= f1_of(pairs, untuned, kind)[0]
        assert f1_of(pairs, decoder, kind)[0] >= f1_of(pairs, plain, kind)[0]
    gain = f1_of(pairs, decoder, metric)[0] - f1_of(pairs, untuned, metric)[0]
    assert decoder.as_json()["tuning"]["cat"]["gain"][metric] == pytest.approx(gain, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_noise_moves_nothing(name: str) -> None:
    """Perfect probabilities: no point is certain to be better."""
    pairs = [
        (recording, (0.1 + 0.8 * recording.activities[:]).astype(np.float32))
        for recording, _ in in_turn(n_files=3)
    ]

    decoder = fit(made(name), task_of(pairs))

    values = decoder.as_json()
    assert {of["kept"] for of in values["tuning"].values()} == {"default"}
    assert set(values["upper" if name == "hysteresis" else "thresholds"].values()) == {0.5}


@pytest.mark.parametrize("name", NAMES)
def test_without_validation_or_tuning_a_half_is_taken(name: str) -> None:
    options = {"min_gap_s": 0.1, "min_duration_s": 0.2}
    for task in (task_of([], **options), task_of(make_pairs(), tune=False, **options)):
        values = fit(made(name), task).as_json()
        assert values["tuned_for"] is None
        assert set(values["upper" if name == "hysteresis" else "thresholds"].values()) == {0.5}
        gap = values["gaps_s"]["cat"] if name == "hysteresis" else values["min_gap_s"]
        assert gap == 0.1


def test_least_gaps_and_durations_that_are_asked_for_are_kept_to() -> None:
    decoder = fit(
        made("hysteresis"), task_of(in_turn(n_files=2), min_gap_s=0.15, min_duration_s=0.3)
    )

    assert isinstance(decoder, HysteresisDecoder)
    assert min(decoder.gaps_s) >= 0.15
    assert min(decoder.durations_s) >= 0.3


def test_values_that_are_set_replace_tuned_ones() -> None:
    pairs = in_turn(n_files=1)
    both = fit(made("hysteresis", upper=0.4, lower=0.2), task_of(pairs))
    upper = fit(made("hysteresis", upper=0.01), task_of(pairs))
    vote = fit(made("vote", threshold=0.7, longest_s=1.0), task_of(pairs))

    assert isinstance(both, HysteresisDecoder)
    assert isinstance(upper, HysteresisDecoder)
    assert isinstance(vote, VoteDecoder)
    assert (set(both.upper), set(both.lower)) == ({0.4}, {0.2})
    assert (set(upper.upper), set(upper.lower)) == ({0.01}, {0.01})
    assert (set(vote.thresholds), vote.longest_s) == ({0.7}, 1.0)


def test_overlaps_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    pairs = []
    for recording, probabilities in in_turn(n_files=3):
        active = recording.activities[:].astype(bool)
        active[:, 2] = active[:, 0]  # it rains whenever there is a cat
        events = [*recording.events]
        events += [Event(*e[:2], "rain") for e in recording.events if e.label == "cat"]
        pairs.append((recording_of(recording.name, active, events, 10.0), probabilities))
    with caplog.at_level(logging.WARNING):
        fit(made("vote"), task_of(pairs))
    assert "one event at a time" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        fit(made("vote"), task_of(in_turn(n_files=3)))
    assert "one event at a time" not in caplog.text


# ------------------------------------------------------------------------------------- saved


@pytest.mark.parametrize("decoder", [HYSTERESIS, VOTE], ids=NAMES)
def test_a_checkpoint_gives_back_what_was_saved(decoder: Decoder, tmp_path: Path) -> None:
    save_decoder(tmp_path, decoder)

    assert read_decoder(tmp_path, TWO, 0.1) == decoder
    turned = read_decoder(tmp_path, TWO[::-1], 0.1)
    values = np.random.default_rng(0).uniform(size=(99, 2)).astype(np.float32)
    assert found(turned.decode(values[:, ::-1])) == found(decoder.decode(values))


@pytest.mark.parametrize(
    ("decoder", "key", "value"),
    [
        (HYSTERESIS, "upper", None),
        (HYSTERESIS, "upper", {"cat": 0.5}),
        (HYSTERESIS, "upper", {"cat": 0.1, "dog": 0.9}),  # below the lower threshold
        (HYSTERESIS, "lower", {"cat": "low", "dog": 0.1}),
        (HYSTERESIS, "lower", {"cat": -0.1, "dog": 0.1}),
        (HYSTERESIS, "gaps_s", {"cat": math.inf, "dog": 0.1}),
        (HYSTERESIS, "durations_s", [0.1, 0.2]),
        (VOTE, "thresholds", {"cat": 1.5, "dog": 0.5}),
        (VOTE, "thresholds", {"rain": 0.5, "dog": 0.5}),
        (VOTE, "longest_s", "long"),
        (VOTE, "longest_s", math.nan),
        (VOTE, "min_gap_s", -1),
        (VOTE, "min_duration_s", None),
    ],
)
def test_a_spoilt_file_is_named_in_one_line(
    decoder: Decoder, key: str, value: Any, tmp_path: Path
) -> None:
    save_decoder(tmp_path, decoder)
    path = tmp_path / "postprocessing.json"
    values = json.loads(path.read_text())
    for spoilt in ({**values, key: value}, {k: v for k, v in values.items() if k != key}):
        path.write_text(json.dumps(spoilt))
        with pytest.raises(CheckpointError, match=r"postprocessing\.json: invalid") as caught:
            read_decoder(tmp_path, TWO, 0.1)
        assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------- as a user meets it


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_through_all_verbs(
    name: str,
    recordings: Path,
    trained_run: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = (f"data.root={recordings}", "trainer.max_updates=2", "output_dir=run")
    assert sedtf("train", *TRAINED, *own, f"evaluation.decoder={name}") == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["decoder"] == name

    assert sedtf("eval", "checkpoint=run", "output_dir=eval") == 0
    assert json.loads(Path("eval/metrics.json").read_text()) == metrics

    # On a run that detects something.
    chosen = (f"evaluation.decoder={name}", "evaluation.metric=event", "output_dir=anew")
    assert sedtf("eval", f"checkpoint={trained_run}", *chosen) == 0
    anew = json.loads(Path("anew/metrics.json").read_text())
    assert (anew["decoder"], anew["tuned_for"]) == (name, "event")
    assert anew["frame"]["f1"] > 0.5
    assert sedtf("compare", str(trained_run), "anew", "output_dir=table") == 0
    assert sedtf("report", "anew") == 0


@pytest.mark.parametrize("decoder", [HYSTERESIS, VOTE], ids=NAMES)
def test_predict_and_listen_use_what_the_checkpoint_holds(
    decoder: Decoder,
    trained_run: Path,
    recordings: Path,
    sedtf: Sedtf,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    best = run / "checkpoints" / "best"
    values = json.dumps({"decoder": decoder.NAME, **decoder.as_json()})
    values = values.replace('"cat"', '"high"').replace('"dog"', '"low"')
    (best / "postprocessing.json").write_text(values)
    detector = load(run)
    assert detector.decoder.NAME == decoder.NAME
    source = min((recordings / "audio").glob("test_*"))
    samples, rate = soundfile.read(source, dtype="float32")
    whole = detector.decoder.decode(detector.probabilities(source), len(samples) / rate)
    assert len(whole) > 1

    assert sedtf("predict", f"checkpoint={run}", f"input={source}", "format=jsonl") == 0
    printed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    assert [(each["onset"], each["offset"], each["event_label"]) for each in printed] == [
        (round(d.onset_s, 6), round(d.offset_s, 6), d.label) for d in whole
    ]
    for each, detection in zip(printed, whole, strict=True):
        assert each["confidence"] == pytest.approx(detection.confidence, abs=1e-4)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
    assert sedtf("listen", f"checkpoint={run}", "dtype=f32", f"sample_rate={rate}") == 0
    heard, said = capfd.readouterr()
    ends = [json.loads(line) for line in heard.splitlines()]
    ends = sorted((e["onset"], e["offset"], e["event_label"]) for e in ends if e["event"] == "end")
    assert ends == sorted((e["onset"], e["offset"], e["event_label"]) for e in printed)
    latency_s = detector.stream(rate).latency_s
    assert latency_s > detector.decoder.tracker().latency_s
    assert f"events are reported within {1000 * latency_s:.0f} ms" in said


@pytest.mark.parametrize(
    ("settings_", "fault"),
    [
        ("evaluation.decoder={name: hysteresis, upper: 0.2, lower: 0.5}", "lower <= upper"),
        ("evaluation.decoder={name: hysteresis, upper: 2}", "expected a number from 0 to 1"),
        ("evaluation.decoder={name: vote, longest_s: 0}", "expected a number above 0"),
        ("evaluation.decoder={name: vote, uper: 0}", "there is no key evaluation.decoder.uper"),
        ("evaluation.decoder=votes", "did you mean vote?"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    settings_: str, fault: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("train", settings_) == 2

    said = capfd.readouterr().err
    assert fault in said
    assert said.count("\n") == 1
