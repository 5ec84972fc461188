"""A second, teacher-forced run over recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.metrics.detection import TP, count_frames
from sed_cli.models.feedbacks.last_event import LastEvent
from sed_cli.tasks.detection import chunks
from sed_cli.tasks.detection.chunks import forced_logits
from sed_cli.tasks.detection.evaluate import evaluate_split
from tests.models.making import make_crnn
from tests.tasks.detection.test_evaluate import make_data, make_detector

QUICK = EvaluationConfig(bootstrap=0)
ASKED = EvaluationConfig(bootstrap=0, diagnostics=True)
DIAGNOSTICS = {"exposure_gap", "fragmentation", "transitions", "errors_after_error"}


def test_pieces_fed_the_ground_truth_are_the_teacher_forced_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "PIECE_FRAMES", 7)
    torch.manual_seed(0)
    rule = LastEvent(decay_frames=5.0)
    model = make_crnn(n_mels=4, n_classes=2, conv_channels=3, pooling=[2, 2], rnn_hidden=6)
    model.take_feedback(rule)
    log_mel, targets = torch.randn(30, 4), (torch.rand(30, 2) > 0.5).float()
    mask = torch.ones(1, 30, dtype=torch.bool)
    with torch.no_grad():
        whole = model.eval()(log_mel[None], targets[None], mask, feedback=rule)[0]
        free = model(log_mel[None], feedback=rule)[0]
    got = forced_logits(model, log_mel, targets, feedback=rule)
    torch.testing.assert_close(got, whole, rtol=0, atol=1e-5)  # sums of another order in float32
    assert not torch.allclose(free, whole, atol=1e-2)

    targets[10:20, 1] = torch.nan  # unknown: there the model is fed its own output
    known = targets.isfinite()[None]
    with torch.no_grad():
        partly = model(log_mel[None], targets[None].nan_to_num(0.0), known, feedback=rule)[0]
    got = forced_logits(model, log_mel, targets, feedback=rule)
    torch.testing.assert_close(got, partly, rtol=0, atol=1e-5)


def test_where_nothing_is_known_the_model_is_fed_its_own_output() -> None:
    torch.manual_seed(0)
    model = make_crnn(n_mels=4, n_classes=2, conv_channels=3, pooling=[2, 2], rnn_hidden=6).eval()
    log_mel, targets = torch.randn(30, 4), (torch.rand(30, 2) > 0.5).float()
    targets[5:20, 0] = torch.nan
    known = targets.isfinite()
    with torch.no_grad():
        expected = model(log_mel[None], targets.nan_to_num()[None], known[None])[0]
    got = forced_logits(model, log_mel, targets)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)  # sums of another order in float32


def test_the_gap_is_that_between_two_runs_of_the_model() -> None:
    detector, data = make_detector(), make_data()
    metrics = evaluate_split(detector, data, "test", ASKED).metrics
    detector.model.eval()
    counts = np.zeros(4, dtype=np.int64)
    for recording in data.splits["test"]:
        log_mel, targets = map(torch.from_numpy, (recording.log_mel, recording.activities))
        with torch.no_grad():
            logits = detector.model(
                log_mel[None], targets[None].float(), torch.ones(1, len(log_mel)).bool()
            )[0]
        counts += count_frames(recording.activities, (torch.sigmoid(logits) > 0.5).numpy())[0]
    assert metrics["exposure_gap"]["counts"]["forced_tp"] == counts[TP]
    forced_f1 = 2 * counts[0] / (counts[1] + counts[2])
    assert metrics["exposure_gap"]["forced_f1"] == pytest.approx(forced_f1)
    assert metrics["exposure_gap"]["gap"] == pytest.approx(forced_f1 - metrics["frame"]["f1"])
    assert metrics["exposure_gap"]["gap"] != 0


def test_diagnostics_change_no_other_figure_and_are_there_on_request_alone() -> None:
    plain, asked = (
        evaluate_split(make_detector(), make_data(), "test", each).metrics
        for each in (QUICK, ASKED)
    )
    assert asked.keys() - plain.keys() == DIAGNOSTICS
    assert {key: asked[key] for key in plain} == plain


def test_a_model_without_feedback_has_no_exposure_gap() -> None:
    detector = make_detector(feedback=False)
    metrics = evaluate_split(detector, make_data(), "test", ASKED).metrics
    assert metrics.keys() & DIAGNOSTICS == DIAGNOSTICS - {"exposure_gap"}
