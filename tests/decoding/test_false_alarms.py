"""Thresholds under a bound on the false alarms of each class."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.false_alarms import bounded
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import UserError
from sed_cli.metrics.counting import alarms_of
from tests.conftest import Sedtf
from tests.decoding.test_semi_markov import decoder_of, song
from tests.decoding.test_tuning import CLASSES, HOP_S, make_pairs, recording_of

DECODER = ThresholdDecoder.plain(CLASSES, HOP_S)


def totals(decoder: ThresholdDecoder, pairs: list[object]) -> dict[str, tuple[int, int]]:
    """False alarms and detected events of each class."""
    found = {label: [0, 0] for label in decoder.classes}
    for recording, probabilities in pairs:  # type: ignore[attr-defined]
        events = decoder.events(probabilities, recording.duration_s)
        for label in decoder.classes:
            n_false, n_found, _ = alarms_of(recording.events, events, label)
            found[label][0] += n_false
            found[label][1] += n_found
    return {label: (a, b) for label, (a, b) in found.items()}


@pytest.mark.parametrize("bound", [0.0, 50.0, 200.0, 1e6])
def test_no_threshold_within_the_bound_finds_more(bound: float) -> None:
    pairs = make_pairs()
    hours = sum(recording.duration_s for recording, _ in pairs) / 3600
    made = bounded(DECODER, pairs, bound)
    assert isinstance(made, ThresholdDecoder)
    chosen = totals(made, pairs)

    assert all(n_false <= bound * hours for n_false, _ in chosen.values())
    for threshold in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        other = DECODER.with_thresholds(dict.fromkeys(CLASSES, threshold))
        for label, (n_false, n_found) in totals(other, pairs).items():
            assert n_false > bound * hours or n_found <= chosen[label][1]
    if bound == 1e6:
        assert chosen["cat"][1] > totals(DECODER, pairs)["cat"][1]


def test_what_is_loud_in_the_background_raises_the_threshold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quiet = np.full((100, 1), 0.1, np.float32)
    call, thunder = quiet.copy(), quiet.copy()
    call[20:30], call[60:70], thunder[50:60] = 0.9, 0.6, 0.7
    events = [Event(2.0, 3.0, "owl"), Event(6.0, 7.0, "owl")]
    active = np.zeros((100, 1), bool)
    with_calls = (recording_of("a.wav", active, events, 10.0), call)
    background = (recording_of("b.wav", active, [], 10.0), thunder)
    decoder = ThresholdDecoder.plain(("owl",), 0.1)

    def threshold(pairs: list[object], bound: float) -> float:
        with caplog.at_level(logging.INFO):
            made = bounded(decoder, pairs, bound)  # type: ignore[arg-type]
        assert isinstance(made, ThresholdDecoder)
        return made.postprocessing.thresholds[0]

    assert 0.1 < threshold([with_calls], 1.0) < 0.6
    assert 0.7 <= threshold([with_calls, background], 1.0) < 0.9
    assert "validation lasts 0.0056 h, so that a single false alarm exceeds it" in caplog.text
    assert "at most 1), 1 of 2 events found on validation" in caplog.text
    assert 0.1 < threshold([with_calls, background], 400.0) < 0.6
    assert "no threshold detects any" not in caplog.text
    louder = (recording_of("c.wav", active, [], 10.0), np.minimum(1.0, thunder + 0.3))
    assert threshold([with_calls, louder], 1.0) >= 0.98
    assert "no threshold detects any event of owl within this bound" in caplog.text


def test_hours_in_which_a_class_is_not_annotated_do_not_count_for_its_bound() -> None:
    quiet = np.full((100, 1), 0.1, np.float32)
    quiet[20:30], quiet[60:70], quiet[40:48] = 0.9, 0.6, 0.7
    events = [Event(2.0, 3.0, "owl"), Event(6.0, 7.0, "owl")]
    whole = recording_of("a.wav", np.zeros((100, 1), bool), events, 10.0)
    unknown = Activities([Event(7.5, 10.0, "owl")], ("owl",), 100, 0.1)
    decoder = ThresholdDecoder.plain(("owl",), 0.1)
    found = []
    for recording in (whole, replace(whole, unknown_frames=unknown)):
        made = bounded(decoder, [(recording, quiet)], 400.0)  # 1.1 and 0.8 in the annotated parts
        assert isinstance(made, ThresholdDecoder)
        found.append(made.postprocessing.thresholds[0])
    assert found[0] < 0.6 < 0.7 <= found[1] < 0.9


def test_all_else_of_a_decoder_stays() -> None:
    tuned = replace(DECODER.postprocessing, filter_frames=(3, 5, 1), min_duration_s=0.1)
    made = bounded(replace(DECODER, postprocessing=tuned), make_pairs(), 100.0)
    assert isinstance(made, ThresholdDecoder)
    assert replace(made.postprocessing, thresholds=tuned.thresholds) == tuned


def test_a_decoder_without_thresholds_is_refused() -> None:
    model = EventModel.of([song(40, seed) for seed in range(6)], ("a", "b", "c"), 0.01, 1)
    with pytest.raises(UserError, match=r"=1: the decoder semi_markov has no thresholds"):
        bounded(decoder_of(model), [], 1.0)


def test_eval_keeps_another_bound_and_reports_it(trained_run: Path, sedtf: Sedtf) -> None:
    """On the command line: the checkpoint's own thresholds stay for other commands."""
    kept: dict[str, dict[str, Any]] = {}
    for name, asked in {
        "usual": [],
        "none": ["evaluation.max_false_alarms_per_hour=0"],
        "many": ["evaluation.max_false_alarms_per_hour=100000"],
    }.items():
        given = (f"checkpoint={trained_run}", "split=validation", f"output_dir={name}")
        assert sedtf("eval", *given, *asked) == 0
        kept[name] = json.loads(Path(name, "metrics.json").read_text())
    alarms = {name: values["false_alarms_per_hour"] for name, values in kept.items()}
    assert [alarms[name]["bound"] for name in kept] == [None, 0.0, 100_000.0]
    assert alarms["none"]["rate"] == 0.0
    assert alarms["many"]["recall"] >= max(alarms["usual"]["recall"], alarms["none"]["recall"])
    per_class = kept["many"]["per_class"].values()
    assert all("rate" in values["false_alarms_per_hour"] for values in per_class)


def test_without_tuning_there_is_no_bound(
    trained_run: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluation.max_false_alarms_per_hour=1", "evaluation.tune=false")
    assert sedtf("eval", f"checkpoint={trained_run}", *asked, "output_dir=out") == 2
    assert "needs tuning, which evaluation.tune=false turns off" in capfd.readouterr().err
