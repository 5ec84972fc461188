"""Tuning: what it counts is what is reported, and what it picks is the best there is."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.data.frames import activities_to_events
from sed_cli.data.sets import Recording
from sed_cli.evaluation import tuning
from sed_cli.evaluation.metrics import KINDS, count_frames, figures, sed_eval_counts
from sed_cli.evaluation.tuning import filter_lengths, tune
from sed_cli.inference import PostProcessing, load
from sed_cli.inference.postprocessing import read_postprocessing
from tests.conftest import TINY, Sedtf

CLASSES = ("cat", "dog", "rain")
HOP_S = 0.0317  # no frame begins where a segment does, so that no rounding decides
Pairs = list[tuple[Recording, NDArray[np.float32]]]


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.convolve(row, np.ones(9) / 9, "same") for row in values.T], axis=1)


def make_pairs(seed: int = 0, n_files: int = 4, n_frames: int = 300) -> Pairs:
    """Make recordings, and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    pairs = []
    for index in range(n_files):
        active = smooth(random.normal(size=(n_frames, 3))) > 0.55
        active[:, 2] = False  # it never rains
        duration_s = (n_frames - 0.4) * HOP_S
        events = activities_to_events(active, CLASSES, HOP_S, duration_s)
        noise = smooth(random.normal(size=(n_frames, 3)))
        scale = np.array([0.8, 2.0, 1.0])
        logits = scale * (2.5 * active - 2.0 + 4 * noise + random.normal(size=active.shape))
        pairs.append(
            (
                Recording(
                    name=f"{index}.wav",
                    path=Path(f"{index}.wav"),
                    duration_s=duration_s,
                    log_mel=np.zeros((n_frames, 1), np.float32),
                    activities=active.astype(np.uint8),
                    events=tuple(events),
                ),
                (1 / (1 + np.exp(-logits))).astype(np.float32),
            )
        )
    return pairs


def f1_of(pairs: Pairs, postprocessing: PostProcessing, metric: str) -> NDArray[np.float64]:
    """Score a post-processing as ``sedtf eval`` does: F1 of each class (C,)."""
    reference, estimate, durations_s, frames = {}, {}, {}, []
    for recording, probabilities in pairs:
        end_s = recording.duration_s
        active = postprocessing.activities(probabilities, HOP_S, end_s)
        frames.append(count_frames(recording.activities, active))
        reference[recording.name] = recording.events
        estimate[recording.name] = postprocessing.events(probabilities, CLASSES, HOP_S, end_s)
        durations_s[recording.name] = end_s
    if metric == "frame":
        return figures(np.sum(frames, axis=0))["f1"][1:]
    counts = sed_eval_counts(reference, estimate, durations_s, CLASSES, [metric])[metric]
    return figures(counts.sum(axis=0))["f1"][1:]


@pytest.mark.parametrize("metric", KINDS)
@pytest.mark.parametrize(
    "mend", [{}, {"min_gap_s": 0.15, "min_duration_s": 0.2}], ids=["as it is", "mended"]
)
def test_nothing_on_the_grid_is_better_than_what_is_chosen(
    metric: str, mend: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every point of a small grid, scored by sed_eval, one by one."""
    monkeypatch.setattr(tuning, "THRESHOLDS", np.array([0.1, 0.3, 0.5, 0.7]))
    monkeypatch.setattr(tuning, "filter_lengths", lambda hop_s: [1, 7])
    pairs = make_pairs()

    chosen = tune(pairs, CLASSES, HOP_S, metric, **mend)

    best = f1_of(pairs, chosen, metric)
    grid = {
        point: f1_of(
            pairs,
            PostProcessing(thresholds=(point[0],) * 3, filter_frames=(point[1],) * 3, **mend),
            metric,
        )
        for point in product((0.1, 0.3, 0.5, 0.7), (1, 7))
    }
    for index in range(2):
        assert best[index] == pytest.approx(max(f1[index] for f1 in grid.values()), abs=1e-12)
        own = grid[chosen.thresholds[index], chosen.filter_frames[index]]
        assert own[index] == best[index]
    assert len({f1[0] for f1 in grid.values()}) > 4  # there was something to choose from
    assert chosen.tuned_for == metric
    assert {key: getattr(chosen, key) for key in mend} == mend


@pytest.mark.parametrize("metric", KINDS)
def test_tuning_is_never_worse_than_a_half(metric: str) -> None:
    pairs = make_pairs(1)

    tuned = f1_of(pairs, tune(pairs, CLASSES, HOP_S, metric), metric)
    plain = f1_of(pairs, PostProcessing.plain(3), metric)

    assert (tuned[:2] >= plain[:2]).all()
    assert (tuned[:2] > plain[:2]).any()


def test_metrics_ask_for_different_things() -> None:
    pairs = make_pairs(2, n_files=8)

    assert len({tune(pairs, CLASSES, HOP_S, m).thresholds for m in ("frame", "event")}) == 2


def test_a_class_that_never_occurs_keeps_a_half() -> None:
    chosen = tune(make_pairs(), CLASSES, HOP_S, "frame")

    assert (chosen.thresholds[2], chosen.filter_frames[2]) == (0.5, 1)
    assert chosen.thresholds[0] != 0.5


def test_among_equals_it_stays_plain() -> None:
    pairs = [
        (recording, (0.1 + 0.8 * recording.activities).astype(np.float32))
        for recording, _ in make_pairs()
    ]

    chosen = tune(pairs, CLASSES, HOP_S, "event")

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
    assert tune([], CLASSES, HOP_S, "event").thresholds == (0.5,) * 3


# ------------------------------------------------------------------------- as a user meets it


def metrics_of(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return values


def test_a_run_tunes_once_and_eval_applies_it(trained_run: Path, sedtf: Sedtf) -> None:
    of_run = metrics_of(trained_run)
    saved = read_postprocessing(trained_run / "checkpoints" / "best", ["high", "low"])

    assert saved.tuned_for == of_run["tuned_for"] == "frame"
    assert of_run["thresholds"] == dict(zip(("high", "low"), saved.thresholds, strict=True))
    assert load(trained_run).postprocessing == saved
    assert load(trained_run / "checkpoints" / "last").postprocessing == PostProcessing.plain(2)
    assert sedtf("eval", f"checkpoint={trained_run}", "output_dir=eval") == 0
    assert metrics_of(Path("eval")) == of_run


def test_without_tuning_a_half_is_taken(trained_run: Path, sedtf: Sedtf) -> None:
    of_run = metrics_of(trained_run)

    code = sedtf("eval", f"checkpoint={trained_run}", "evaluation.tune=false", "output_dir=eval")

    plain = metrics_of(Path("eval"))
    assert code == 0
    assert plain["thresholds"] == {"high": 0.5, "low": 0.5}
    assert plain["plain"] is None  # nothing to hold it against
    for kind, of_kind in of_run["plain"].items():
        assert of_kind == {name: plain[kind][name] for name in ("f1", "er")}
    assert of_run["frame"]["f1"] != plain["frame"]["f1"]


def test_eval_tunes_anew_for_another_metric(trained_run: Path, sedtf: Sedtf) -> None:
    asked = ("evaluation.metric=event", "evaluation.min_gap_s=0.1")

    assert sedtf("eval", f"checkpoint={trained_run}", *asked, "output_dir=eval") == 0

    metrics = metrics_of(Path("eval"))
    assert metrics["tuned_for"] == "event"
    assert metrics["min_gap_s"] == 0.1
    assert metrics["thresholds"] != metrics_of(trained_run)["thresholds"]
    assert load(trained_run).postprocessing.tuned_for == "frame"  # the checkpoint is as it was


def test_what_is_reported_never_moves_the_feedback(trained_run: Path) -> None:
    detector = load(trained_run)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)
    before = detector.probabilities(noise)
    detector.postprocessing = PostProcessing(thresholds=(0.0, 1.0), filter_frames=(9, 1))

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
        ("train", "evaluation.metric=null", "there is none yet"),
        ("train", "evaluation.min_gap_s=-1", "expected at least 0"),
        ("train", "evaluation.bootstrap=-1", "expected at least 0"),
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
