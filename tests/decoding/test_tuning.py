"""Tuning: its counts are those reported, and nothing changes without a certain gain."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import activities_to_events, events_to_activities, runs
from sed_cli.data.sets import Recording
from sed_cli.decoding import tuning
from sed_cli.decoding.postprocessing import PostProcessing
from sed_cli.decoding.saved import read_decoder, save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.decoding.tuning import filter_lengths, tune
from sed_cli.metrics.counting import Excerpt, matched
from sed_cli.metrics.detection import (
    N_REF,
    N_SYS,
    TP,
    count_frames,
    figures,
)
from sed_cli.metrics.metric import tunable
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.tally import _as_written
from tests.conftest import TINY, Sedtf
from tests.metrics.counted import KINDS, sed_eval_counts

CLASSES = ("cat", "dog", "rain")
HOP_S = 0.0317
Pairs = list[tuple[Recording, NDArray[np.float32]]]


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.convolve(row, np.ones(9) / 9, "same") for row in values.T], axis=1)


def recording_of(
    name: str, active: NDArray[np.bool_], events: list[Event], duration_s: float
) -> Recording:
    return Recording(
        name=name,
        path=Path(name),
        duration_s=duration_s,
        log_mel=np.zeros((len(active), 1), np.float32),
        activities=active.astype(np.uint8),
        events=tuple(events),
    )


def make_pairs(seed: int = 0, n_files: int = 12, n_frames: int = 300) -> Pairs:
    """Create recordings, with informative probabilities that are too low."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(n_files):
        active = smooth(random.normal(size=(n_frames, 3))) > 0.55
        active[:, 2] = False  # it never rains
        duration_s = (n_frames - 0.4) * HOP_S
        events = activities_to_events(active, CLASSES, HOP_S, duration_s)
        noise = smooth(random.normal(size=(n_frames, 3)))
        logits = np.array([0.8, 2.0, 1.0]) * (2.5 * active - 2.4 + 2 * noise)
        logits += 0.3 * random.normal(size=active.shape)
        recording = recording_of(f"{index}.wav", active, events, duration_s)
        pairs.append((recording, (1 / (1 + np.exp(-logits))).astype(np.float32)))
    return pairs


def tuned(pairs: Pairs, metric: str = "frame", **settings: float) -> PostProcessing:
    return tune([recording for recording, _ in pairs], pairs, CLASSES, HOP_S, metric, **settings)


def decoder(
    postprocessing: PostProcessing, classes: tuple[str, ...] = CLASSES, hop_s: float = HOP_S
) -> ThresholdDecoder:
    return ThresholdDecoder(classes=classes, hop_s=hop_s, postprocessing=postprocessing)


def f1_of(pairs: Pairs, postprocessing: PostProcessing, metric: str) -> NDArray[np.float64]:
    """Score a post-processing as ``sedtf eval`` does: F1 over all, then of each class (1 + C,)."""
    reference, estimate, durations_s, frames = {}, {}, {}, []
    for recording, probabilities in pairs:
        end_s = recording.duration_s
        active = postprocessing.activities(probabilities, HOP_S, end_s)
        frames.append(count_frames(recording.activities[:], active))
        reference[recording.name] = recording.events
        found = decoder(postprocessing).events(probabilities, end_s)
        estimate[recording.name] = [_as_written(event) for event in found]
        durations_s[recording.name] = end_s
    if metric == "frame":
        return figures(np.sum(frames, axis=0))["f1"]
    counts = sed_eval_counts(reference, estimate, durations_s, CLASSES, [metric])[metric]
    return figures(counts.sum(axis=0))["f1"]


# ---------------------------------------------------------------------------- what is counted


@pytest.mark.parametrize("metric", KINDS)
@pytest.mark.parametrize("collar_s", [0.2, 0.05])
def test_what_is_counted_is_what_is_reported(metric: str, collar_s: float) -> None:
    """Times on grids of 10 ms and of 0.1 s, frames at usual hops: rounding decides."""
    random = np.random.default_rng(0)
    count = tunable(metric).hits
    for case in range(40):
        hop_s = (0.02, 0.032, 0.1, 512 / 44100)[case % 4]
        n_frames = int(8 / hop_s)
        duration_s = round(n_frames * hop_s, 2) if case % 3 else (n_frames - 0.4) * hop_s
        onsets = np.sort(random.uniform(0, 7, 8)).round(1 + case % 2)
        lengths = random.uniform(0.05, 1.2, 8).round(1 + case % 2) + 0.1
        events = [
            Event(float(a), min(float((a + b).round(2)), duration_s), "cat")
            for a, b in zip(onsets, lengths, strict=True)
        ]
        truth = events_to_activities(events, ["cat"], n_frames, hop_s).astype(bool)
        active = smooth(truth + random.normal(size=(n_frames, 1))) > 0.4
        of_class = Excerpt(
            truth=truth[:, 0],
            events=np.array([event[:2] for event in events]),
            hop_s=hop_s,
            end_s=duration_s,
            edges_s=np.linspace(0, duration_s, 1 + case % 5 + 1),
        )

        counts = [each.sum() for each in count(active, of_class, collar_s)]

        if metric == "frame":
            reported = count_frames(truth.astype(np.uint8), active)[1]
        else:
            found = activities_to_events(active, ["cat"], hop_s, duration_s)
            reported = sed_eval_counts(
                {"a": events},
                {"a": [_as_written(event) for event in found]},
                {"a": duration_s},
                ["cat"],
                [metric],
                collar_s=collar_s,
            )[metric][0, 1]
        assert counts == [reported[TP], reported[N_SYS], reported[N_REF]], case


def test_as_many_events_as_possible_are_matched() -> None:
    reference = np.array([[0.0, 1.0], [0.15, 1.0], [5.0, 6.0]])
    estimate = np.array([[0.1, 1.0], [0.3, 1.0], [9.0, 9.5]])

    assert matched(reference, estimate, 0.2, offsets=True).tolist() == [0, 1]
    assert matched(reference, estimate[:0], 0.2, offsets=True).tolist() == []
    assert matched(reference[:0], estimate, 0.2, offsets=True).tolist() == []


# ----------------------------------------------------------------------------- what is chosen


@pytest.mark.parametrize("metric", KINDS)
def test_neither_events_nor_frames_lose_on_validation(metric: str) -> None:
    pairs = make_pairs(1)
    chosen = tuned(pairs, metric)

    assert chosen.tuned_for == metric
    assert chosen != PostProcessing.plain(3)
    for kind in {metric, "frame" if metric.startswith("event") else "event"}:
        gain = f1_of(pairs, chosen, kind) - f1_of(pairs, PostProcessing.plain(3), kind)
        assert (gain[:3] >= 0).all(), kind
        assert gain[0] > 0


def test_probabilities_that_lie_too_low_get_a_lower_threshold() -> None:
    chosen = tuned(make_pairs())

    assert chosen.thresholds[1] < 0.5
    assert chosen.tuning is not None
    assert chosen.tuning["dog"]["kept"] == "tuned"
    assert set(chosen.tuning["dog"]["gain"]) == {"frame", "event"}


def test_a_class_that_never_occurs_keeps_a_half() -> None:
    chosen = tuned(make_pairs())

    assert (chosen.thresholds[2], chosen.filter_frames[2]) == (0.5, 1)
    assert chosen.tuning is not None
    assert "no events" in chosen.tuning["rain"]["reason"]


def test_a_single_event_moves_nothing_and_few_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pairs = make_pairs()
    kept = []
    for recording, probabilities in pairs:
        n = 0 if kept else 1
        events = [event for event in recording.events if event.label == "dog"][:n]
        active = events_to_activities(events, CLASSES, len(probabilities), HOP_S).astype(bool)
        kept.append(
            (recording_of(recording.name, active, events, recording.duration_s), probabilities)
        )

    with caplog.at_level(logging.WARNING):
        chosen = tuned(kept)

    assert chosen.thresholds == (0.5, 0.5, 0.5)
    assert "dog" in caplog.text
    assert "data.split" in caplog.text


def test_no_filter_is_longer_than_the_short_silences_and_events_of_a_class() -> None:
    for seed in range(2):
        pairs = make_pairs(seed, n_files=6)
        chosen = tuned(pairs)
        for index in range(2):
            silences, lengths = [], []
            for recording, _ in pairs:
                first, after = runs(recording.activities[:][:, index].astype(bool))
                silences += (first[1:] - after[:-1]).tolist()
                lengths += (after - first).tolist()
            shortest = min(np.percentile(silences, 25), np.percentile(lengths, 25))
            assert chosen.filter_frames[index] <= max(1, shortest)


def chews(seed: int, doubt: float) -> tuple[Recording, NDArray[np.float32]]:
    """Create a recording of events 100 to 400 ms apart, with dips of probability in between.

    A long filter finds more of the frames but merges the events.
    """
    random = np.random.default_rng(seed)
    events, at_s = [], 0.3
    while at_s < 58:
        end_s = at_s + random.uniform(0.3, 0.6)
        events.append(Event(at_s, end_s, "cat"))
        at_s = end_s + random.uniform(0.1, 0.4)
    active = events_to_activities(events, CLASSES, int(60 / HOP_S), HOP_S).astype(bool)
    logits = 3 * smooth(active.astype(float)) - 1.5
    logits += doubt * random.normal(size=active.shape)
    logits[:, 1:] = -5.0
    recording = recording_of("chews.wav", active, events, 60.0)
    return recording, (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.mark.parametrize("doubt", [0.5, 1.0, 2.0])
def test_tuning_on_one_recording_of_close_events_does_not_cost_events_on_another(
    doubt: float,
) -> None:
    for seed in range(2):
        chosen = tuned([chews(seed, doubt)])
        other = [chews(100 + seed, doubt)]
        # For frames, a small difference between recordings remains.
        for kind, least in (("event", 0.0), ("frame", -0.005)):
            gain = f1_of(other, chosen, kind) - f1_of(other, PostProcessing.plain(3), kind)
            assert gain[0] >= least, (seed, kind)


def test_a_class_that_cannot_be_distinguished_does_not_sink_the_total() -> None:
    random = np.random.default_rng(0)
    pairs = []
    for recording, probabilities in make_pairs():
        active = recording.activities[:].astype(bool)
        active[:, 2] = active[:, 1] & (random.uniform() < 0.3)  # rain coincides with the dog
        events = activities_to_events(active, CLASSES, HOP_S, recording.duration_s)
        guessed = probabilities.copy()
        guessed[:, 2] = 0.2 * probabilities[:, 1]
        pairs.append((recording_of(recording.name, active, events, recording.duration_s), guessed))
    chosen = tuned(pairs)
    without = PostProcessing(
        thresholds=(*chosen.thresholds[:2], 0.5), filter_frames=(*chosen.filter_frames[:2], 1)
    )

    assert f1_of(pairs, chosen, "frame")[0] >= f1_of(pairs, without, "frame")[0]
    assert f1_of(pairs, chosen, "event")[0] >= f1_of(pairs, without, "event")[0]


def test_what_is_found_nowhere_is_not_found_everywhere_instead() -> None:
    random = np.random.default_rng(0)
    pairs = [
        (recording, random.uniform(0.3, 0.31, recording.activities.shape).astype(np.float32))
        for recording, _ in make_pairs()
    ]

    chosen = tuned(pairs)

    assert chosen.thresholds == (0.5, 0.5, 0.5)
    assert chosen.filter_frames == (1, 1, 1)


def test_among_equals_it_stays_plain() -> None:
    pairs = [
        (recording, (0.1 + 0.8 * recording.activities[:]).astype(np.float32))
        for recording, _ in make_pairs()
    ]

    chosen = tuned(pairs, "event")

    assert chosen.thresholds == (0.5, 0.5, 0.5)
    assert chosen.filter_frames == (1, 1, 1)


def test_the_grid_holds_the_plain_point_and_odd_lengths_up_to_a_second() -> None:
    assert 0.5 in tuning.THRESHOLDS
    for hop_s in (0.001, 0.02, 512 / 16000, 0.3, 2.0):
        lengths = filter_lengths(hop_s)
        assert lengths[0] == 1
        assert all(length % 2 == 1 for length in lengths)
        assert lengths == sorted(set(lengths))
        assert lengths[-1] * hop_s <= max(3 * hop_s, 1.0 + hop_s) + 1e-9


def test_no_recording_is_no_fault() -> None:
    assert tuned([], "event").thresholds == (0.5,) * 3


# ------------------------------------------------------------------------- as a user meets it


def metrics_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return values


def postprocessing_of(checkpoint: Path) -> PostProcessing:
    made = load(checkpoint).decoder
    assert isinstance(made, ThresholdDecoder)
    return made.postprocessing


def save(run: Path, postprocessing: PostProcessing) -> None:
    """Give the checkpoint of a run different thresholds."""
    made = decoder(postprocessing, ("high", "low"), load(run).hop_s)
    save_decoder(run / "checkpoints" / "best", made)


def test_a_run_tunes_once_and_eval_applies_it(trained_run: Path, sedtf: Sedtf) -> None:
    of_run = metrics_of(trained_run)
    detector = load(trained_run)
    saved = postprocessing_of(trained_run)

    assert saved.tuned_for == of_run["tuned_for"] == "frame"
    assert of_run["thresholds"] == dict(zip(("high", "low"), saved.thresholds, strict=True))
    assert of_run["decoder"] == "threshold"
    best = trained_run / "checkpoints" / "best"
    assert detector.decoder == read_decoder(best, ["high", "low"], detector.hop_s)
    assert postprocessing_of(trained_run / "checkpoints" / "last") == PostProcessing.plain(2)
    assert sedtf("eval", f"checkpoint={trained_run}", "output_dir=eval") == 0
    assert metrics_of(Path("eval")) == of_run


@pytest.fixture
def tuned_run(trained_run: Path, sedtf: Sedtf, tmp_path: Path) -> Path:
    """Return a run whose checkpoint has thresholds other than 0.5: ``run`` in the working folder.

    The recordings are too few for training to produce them.
    """
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    other = PostProcessing(thresholds=(0.2, 0.9), filter_frames=(3, 5), tuned_for="frame")
    save(run, other)
    return run


def test_a_collar_by_the_user_counts_and_is_in_the_metrics(
    trained_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    of_run = metrics_of(trained_run)
    for collar_s in (0.001, 0.3):
        asked = (f"evaluation.collar_s={collar_s}", f"output_dir=eval_{collar_s}")
        assert sedtf("eval", f"checkpoint={trained_run}", *asked) == 0
    strict, loose = metrics_of(Path("eval_0.001")), metrics_of(Path("eval_0.3"))

    assert (of_run["collar_s"], strict["collar_s"], loose["collar_s"]) == (0.2, 0.001, 0.3)
    hits = [each["event_onset"]["counts"]["tp"] for each in (strict, of_run, loose)]
    assert hits == sorted(hits)
    assert hits[0] < hits[2]
    assert strict["frame"] == of_run["frame"]
    warning = "event-based scores tolerate {} ms"
    said = capfd.readouterr().err
    assert warning.format(300) in said  # events last 400 ms
    assert warning.format(1) not in said


def test_a_class_that_is_never_found_is_warned_of(
    tuned_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    never = PostProcessing(thresholds=(1.0, 0.5), filter_frames=(1, 1), tuned_for="frame")
    save(tuned_run, never)

    assert sedtf("eval", f"checkpoint={tuned_run}", "output_dir=eval") == 0

    said = capfd.readouterr().err
    assert "never found in the test split, though annotated there: high" in said
    assert "trainer.epochs" in said


def test_without_tuning_a_half_is_taken(tuned_run: Path, sedtf: Sedtf) -> None:
    assert sedtf("eval", f"checkpoint={tuned_run}", "output_dir=tuned") == 0
    of_run = metrics_of(Path("tuned"))

    code = sedtf("eval", f"checkpoint={tuned_run}", "evaluation.tune=false", "output_dir=eval")

    plain = metrics_of(Path("eval"))
    assert code == 0
    assert plain["thresholds"] == {"high": 0.5, "low": 0.5}
    assert plain["plain"] is None  # nothing to compare with
    for kind, of_kind in of_run["plain"].items():
        assert of_kind == {name: plain[kind][name] for name in ("f1", "er")}
    assert of_run["frame"]["f1"] != plain["frame"]["f1"]


def test_eval_tunes_anew_for_another_metric(tuned_run: Path, sedtf: Sedtf) -> None:
    asked = ("evaluation.metric=event", "evaluation.min_gap_s=0.1")

    assert sedtf("eval", f"checkpoint={tuned_run}", *asked, "output_dir=eval") == 0

    metrics = metrics_of(Path("eval"))
    assert metrics["tuned_for"] == "event"
    assert metrics["min_gap_s"] == 0.1
    assert metrics["thresholds"] != {"high": 0.2, "low": 0.9}
    assert postprocessing_of(tuned_run).thresholds == (0.2, 0.9)  # the checkpoint is unchanged


def test_what_is_reported_never_moves_the_feedback(trained_run: Path) -> None:
    detector = load(trained_run)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)
    before = detector.probabilities(noise)
    other = PostProcessing(thresholds=(0.0, 1.0), filter_frames=(9, 1))
    detector.decoder = decoder(other, ("high", "low"), detector.hop_s)

    np.testing.assert_array_equal(detector.probabilities(noise), before)
    assert {event.label for event in detector.predict(noise)} == {"high"}


@pytest.mark.parametrize(
    ("settings", "tuned_for"), [((), None), (("evaluation.tune=false",), None)]
)
def test_a_run_without_validation_stays_at_a_half(
    settings: tuple[str, ...],
    tuned_for: str | None,
    recordings: Path,
    sedtf: Sedtf,
    capfd: pytest.CaptureFixture[str],
) -> None:
    own = ("data=annotated", f"data.root={recordings}", "data.validation=null")

    code = sedtf("train", *TINY, *own, *settings, "trainer.max_updates=2", "output_dir=run")

    assert code == 0
    assert metrics_of(Path("run"))["tuned_for"] == tuned_for
    assert metrics_of(Path("run"))["thresholds"] == {"high": 0.5, "low": 0.5}
    assert ("thresholds stay at 0.5" in capfd.readouterr().err) == (not settings)


@pytest.mark.parametrize(
    ("verb", "setting", "fault"),
    [
        ("train", "evaluation.metric=psds", "expected one of frame, segment"),
        ("train", "evaluation.metric=null", "does not exist yet"),
        ("train", "evaluation.min_gap_s=-1", "expected at least 0"),
        ("train", "evaluation.bootstrap=-1", "expected a number from 0 to 100000"),
        ("train", "evaluation.metrik=frame", "did you mean evaluation.metric?"),
        ("eval", "evaluation.tune=false evaluation.metric=event", "drop one of the two"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    verb: str, setting: str, fault: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    own = [] if verb == "train" else ["checkpoint=somewhere"]

    assert sedtf(verb, *own, *setting.split()) == 2

    said = capfd.readouterr().err
    assert fault in said
    assert said.count("\n") == 1
