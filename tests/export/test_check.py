"""The check of an export finds errors, and tolerates only ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.export import check
from sed_cli.export.frontend import waveform_graph
from sed_cli.export.graphs import recording_graph, stream_graph
from sed_cli.models.feedbacks import rule_named
from sed_cli.tasks.detection.detector import Detector
from tests.export.lively import VARIANTS, lively_detector, session


@pytest.mark.parametrize("variant", VARIANTS)
def test_right_graphs_pass(variant: str) -> None:
    detector = lively_detector(variant)
    arguments = detector.model, detector.feedback
    stream = check.check_stream(session(stream_graph(*arguments)), *arguments, 1e-5)
    recording = check.check_recording(session(recording_graph(*arguments)), *arguments, 1e-5)
    heard = *arguments, detector.log_mel
    waveform = check.check_waveform(session(waveform_graph(*heard)), *heard, 1e-5)

    assert max(d.greatest for d in (stream, recording, waveform)) < 1e-5
    assert waveform.features is not None
    assert waveform.features < 1e-4
    # A tie is rare: nearly all frames are compared.
    assert stream.n_frames > 1300 - 30
    assert recording.n_frames > 540 - 10
    assert stream.n_tied < 30


@pytest.mark.parametrize(
    "weight",
    [
        "normalisation.mean",
        "blocks.0.conv.weight",
        "blocks.1.norm.running_var",
        "cell.weight_ih",
        "cell.bias_hh",
        "readout.bias",
    ],
)
def test_a_weight_that_is_off_is_found(weight: str) -> None:
    detector = lively_detector("hard")
    graphs = stream_graph, recording_graph
    stream, recording = (session(graph(detector.model, detector.feedback)) for graph in graphs)
    with torch.no_grad():
        tensor = detector.model.state_dict()[weight]
        # Only the feedback inputs of the cell: the hardest to notice, as they are often zero.
        (tensor[:, -3:] if weight == "cell.weight_ih" else tensor).add_(0.01)

    assert check.check_stream(stream, detector.model, detector.feedback, 1e-5).greatest > 1e-5
    assert check.check_recording(recording, detector.model, detector.feedback, 1e-5).greatest > 1e-5


def test_another_kind_of_feedback_is_found() -> None:
    detector = lively_detector("hard")
    for graph, compare in (
        (stream_graph, check.check_stream),
        (recording_graph, check.check_recording),
    ):
        other = session(graph(detector.model, rule_named("soft")))
        assert compare(other, detector.model, detector.feedback, 1e-5).greatest > 1e-3


def test_other_features_are_found() -> None:
    detector = lively_detector("hard")
    other = LogMelConfig(n_mels=8, window_length=1000, backend="torchaudio").build()
    graph = session(waveform_graph(detector.model, detector.feedback, other))

    own = detector.model, detector.feedback, detector.log_mel
    assert (check.check_waveform(graph, *own, 1e-5).features or 0) > 0.01


class Parted:
    """A runtime that agrees with PyTorch up to a frame, and is completely wrong afterwards."""

    def __init__(self, detector: Detector, frame: int) -> None:
        self.detector, self.frame = detector, frame

    def run(self, outputs: object, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        logits = self.detector.logits(torch.from_numpy(inputs["log_mel"]))
        probabilities = torch.sigmoid(logits).numpy()
        probabilities[:, self.frame :] = 0
        return [probabilities]


@pytest.mark.parametrize("feedback", ["hard", "soft"])
@pytest.mark.parametrize("is_tie", [True, False])
def test_only_what_follows_a_tie_is_forgiven(
    feedback: str, is_tie: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = lively_detector(feedback)
    monkeypatch.setattr(check, "_RECORDINGS", ((1, 20),))
    with torch.no_grad():
        detector.model.readout.weight.zero_()
        detector.model.readout.bias.fill_(1e-6 if is_tie else 1.0)

    own = detector.model, detector.feedback
    difference = check.check_recording(Parted(detector, 8), *own, 1e-6)  # type: ignore[arg-type]

    forgiven = is_tie and feedback == "hard"
    assert (difference.n_frames, difference.n_tied) == ((8, 12) if forgiven else (20, 0))
    assert (difference.greatest < 1e-6) == forgiven


def test_no_number_is_the_greatest_difference() -> None:
    detector = lively_detector("hard")

    class Broken(Parted):
        def run(self, outputs: object, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full_like(super().run(outputs, inputs)[0], np.nan)]

    own = detector.model, detector.feedback
    difference = check.check_recording(Broken(detector, 0), *own, 1e-5)  # type: ignore[arg-type]
    assert difference.greatest > 1e30
