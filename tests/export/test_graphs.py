"""The graphs agree with PyTorch at any length, in any chunks, at both ends of a recording."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession

from sed_cli.export.graphs import recording_graph, state_layout, state_size, stream_graph
from sed_cli.tasks.detection.detector import Detector
from tests.export.lively import VARIANTS, features, lively_detector, session

# Float32 sums in another order; logits of these models stay below 20.
CLOSE = 1e-5


@lru_cache
def exported(variant: str) -> tuple[Detector, InferenceSession, InferenceSession]:
    detector = lively_detector(variant)
    arguments = detector.model, detector.feedback
    return detector, session(stream_graph(*arguments)), session(recording_graph(*arguments))


def expected(detector: Detector, log_mel: np.ndarray) -> np.ndarray:
    return torch.sigmoid(detector.logits(torch.from_numpy(log_mel))).numpy()


def run_stream(
    detector: Detector, stream: InferenceSession, log_mel: np.ndarray, cuts: list[int]
) -> np.ndarray:
    """Push the frames, then as many dummy frames as the lookahead of the model."""
    n_sequences, n_frames = log_mel.shape[:2]
    context = detector.model.context
    frames = np.pad(log_mel, ((0, 0), (0, context), (0, 0)), constant_values=np.nan)
    valid = np.broadcast_to(np.arange(n_frames + context) < n_frames, frames.shape[:2])
    carried = {
        value.name: np.zeros((n_sequences, value.shape[1]), np.float32)
        for value in stream.get_inputs()[2:]
    }
    parts = []
    for first, last in pairwise([0, *cuts, n_frames + context]):
        inputs = {"log_mel": frames[:, first:last], "valid": valid[:, first:last].astype("f")}
        part, *new = stream.run(None, {**inputs, **carried})
        carried = dict(zip(carried, new, strict=True))
        parts.append(part)
    return np.concatenate(parts, axis=1)[:, context:]


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_stream_in_any_chunks_equals_the_whole_sequence_at_every_frame(
    variant: str, data: st.DataObject
) -> None:
    detector, stream, _ = exported(variant)
    n_frames = data.draw(st.integers(1, 40))
    places = st.integers(1, n_frames + detector.model.context - 1)
    more = n_frames + detector.model.context > 1
    cuts = sorted(data.draw(st.sets(places))) if more else []
    log_mel = features(data.draw(st.integers(1, 3)), n_frames, data.draw(st.integers(0, 99)))

    got = run_stream(detector, stream, log_mel, cuts)

    np.testing.assert_allclose(got, expected(detector, log_mel), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("n_sequences", "n_frames"), [(1, 1), (3, 2), (1, 9), (2, 200)])
def test_a_whole_recording_of_any_length_and_number(
    variant: str, n_sequences: int, n_frames: int
) -> None:
    detector, _, recording = exported(variant)
    log_mel = features(n_sequences, n_frames)

    got = recording.run(None, {"log_mel": log_mel})[0]

    np.testing.assert_allclose(got, expected(detector, log_mel), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_models_decide_both_ways_and_hear_what_they_decided(variant: str) -> None:
    """Otherwise the tests above would be meaningless."""
    detector = lively_detector(variant)
    before = expected(detector, features(2, 200))
    assert 0.1 < (before > 0.5).mean() < 0.9
    assert before.std(axis=1).min() > 0.01
    if detector.model.has_feedback:
        with torch.no_grad():
            detector.model.cell.weight_ih[:, -3:] = 0  # ignores the feedback
        assert np.abs(expected(detector, features(2, 200)) - before).max() > 0.1


def test_streams_of_a_batch_may_end_at_different_times() -> None:
    detector, stream, _ = exported("hard")
    context = detector.model.context
    lengths = [3, 11, 7]
    log_mel = features(3, 11)
    valid = (np.arange(11 + context) < np.array(lengths)[:, None]).astype(np.float32)
    inputs = {
        "log_mel": np.pad(log_mel, ((0, 0), (0, context), (0, 0)), constant_values=np.nan),
        "valid": valid,
        "state": np.zeros((3, state_size(detector.model)), np.float32),
        "activities": np.zeros((3, 3), np.float32),
    }

    got = stream.run(["probabilities"], inputs)[0][:, context:]

    for index, length in enumerate(lengths):
        alone = expected(detector, log_mel[index : index + 1, :length])[0]
        np.testing.assert_allclose(got[index, :length], alone, rtol=0, atol=CLOSE)
        assert not got[index, length:].any()


def test_what_comes_before_the_recording_is_marked_and_changes_nothing() -> None:
    detector, stream, _ = exported("hard")
    context = detector.model.context
    log_mel = features(1, context)
    inputs = {
        "log_mel": log_mel,
        "valid": np.ones((1, context), np.float32),
        "state": np.zeros((1, state_size(detector.model)), np.float32),
        "activities": np.ones((1, 3), np.float32),
    }

    probabilities, state, activities = stream.run(None, inputs)

    assert not probabilities.any()
    assert not state[:, : detector.model.cell.hidden_size].any()
    assert activities.all()


def test_the_state_is_as_large_as_in_its_layout() -> None:
    for variant in VARIANTS:
        detector, stream, _ = exported(variant)
        shapes = state_layout(detector.model).values()
        size = sum(int(np.prod(shape)) for shape in shapes)
        state = next(value for value in stream.get_inputs() if value.name == "state")
        assert state.shape == ["B", size]
        assert size == state_size(detector.model)


def test_frames_and_sequences_are_free_in_every_graph() -> None:
    _, stream, recording = exported("hard")
    assert stream.get_inputs()[0].shape == ["B", "n", 8]
    assert recording.get_inputs()[0].shape == ["B", "T", 8]
    assert stream.get_outputs()[0].shape == ["B", "n", 3]


def test_the_baseline_has_no_activities_to_carry() -> None:
    _, stream, _ = exported("baseline")
    assert [value.name for value in stream.get_inputs()] == ["log_mel", "valid", "state"]
    assert [value.name for value in stream.get_outputs()] == ["probabilities", "new_state"]
