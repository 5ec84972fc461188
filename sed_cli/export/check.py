"""Checks of the exported graphs against PyTorch, in the runtime, at various lengths."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sed_cli.audio import LogMel
from sed_cli.models import CRNN
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import RecurrentState

Floats = NDArray[np.float32]

# Sequences, frames, frames per chunk: shorter than the context; chunks with and without remainder.
_STREAMS = ((1, 1, 1), (32, 2, 1), (3, 5, 2), (1, 50, 50), (2, 107, 16), (1, 313, 31))
_RECORDINGS = ((1, 1), (3, 2), (1, 13), (2, 107), (1, 313))
_WAVEFORMS = ((1, 1), (2, 777), (1, 16_000), (1, 33_333))


class Session(Protocol):
    """The used interface of ``onnxruntime.InferenceSession``."""

    def run(self, outputs: list[str] | None, inputs: dict[str, Floats], /) -> list[Floats]:
        """Run the graph."""
        ...

    def get_inputs(self) -> list[Any]:
        """Describe its inputs: ``name``, ``shape``."""
        ...


@dataclass(frozen=True)
class Difference:
    """Differences between a graph and PyTorch.

    Attributes:
        greatest: greatest difference of all probabilities.
        n_frames: number of frames compared.
        n_tied: number of frames excluded, since they follow a tied decision of the feedback.
        features: greatest difference of the features, in dB or relative to the strongest power;
            None if the graph computes none.
    """

    greatest: float = 0.0
    n_frames: int = 0
    n_tied: int = 0
    features: float | None = None

    def __add__(self, other: Difference) -> Difference:
        pair = [value for value in (self.features, other.features) if value is not None]
        return Difference(
            max(self.greatest, other.greatest),
            self.n_frames + other.n_frames,
            self.n_tied + other.n_tied,
            max(pair, default=None),
        )


def check_stream(session: Session, model: CRNN, rule: FeedbackRule, tolerance: float) -> Difference:
    """Compare chunked streams with PyTorch on the whole sequence, at every frame.

    Streams start at rest, and midway: with random hidden states and activities.
    """
    reach = _reach_of_ties(model, rule)
    random = np.random.default_rng(0)
    total = Difference()
    for n_sequences, n_frames, chunk in _STREAMS:
        log_mel = _features(model, random, n_sequences, n_frames)
        for state in (None, _any_state(model, rule, random, n_sequences)):
            got = stream(session, log_mel, chunk, model.context, state)
            total += _compare(got, _reference(model, rule, log_mel, state), tolerance, reach)
    return total


def check_recording(
    session: Session, model: CRNN, rule: FeedbackRule, tolerance: float
) -> Difference:
    """Compare whole sequences with PyTorch."""
    reach = _reach_of_ties(model, rule)
    random = np.random.default_rng(1)
    total = Difference()
    for n_sequences, n_frames in _RECORDINGS:
        log_mel = _features(model, random, n_sequences, n_frames)
        got = session.run(["probabilities"], {"log_mel": log_mel})[0]
        total += _compare(got, _reference(model, rule, log_mel), tolerance, reach)
    return total


def check_waveform(
    session: Session, model: CRNN, rule: FeedbackRule, log_mel: LogMel, tolerance: float
) -> Difference:
    """Compare features with those of PyTorch, and probabilities from the graph's own features."""
    reach = _reach_of_ties(model, rule)
    random = np.random.default_rng(2)
    total = Difference()
    for n_sequences, n_samples in _WAVEFORMS:
        waveform = _sound(random, n_sequences, n_samples)
        got, features = session.run(["probabilities", "log_mel"], {"waveform": waveform})
        expected = log_mel(torch.from_numpy(waveform))[:, 0].numpy()
        scale = 1.0 if log_mel.is_log else max(float(expected.max()), 1e-30)
        difference = _compare(got, _reference(model, rule, features), tolerance, reach)
        apart = float(np.abs(features - expected).max()) / scale
        total += replace(difference, features=apart)
    return total


def stream(
    session: Session,
    log_mel: Floats,
    chunk: int,
    context: int,
    state: RecurrentState | None = None,
) -> Floats:
    """Run a stream's graph over sequences (B, T, M) chunk by chunk: probabilities (B, T, C)."""
    n_sequences, n_frames, _ = log_mel.shape
    after = np.full((n_sequences, context, log_mel.shape[2]), np.nan, np.float32)
    frames = np.concatenate([log_mel, after], axis=1)  # data after the end must not matter
    valid = np.zeros(frames.shape[:2], np.float32)
    valid[:, :n_frames] = 1
    carried = {
        value.name: np.zeros((n_sequences, *value.shape[1:]), np.float32)
        for value in session.get_inputs()[2:]
    }
    if state is not None:
        carried["state"][:, : state.hidden.shape[1]] = state.hidden.numpy()
        if "activities" in carried:
            carried["activities"][:] = state.feedback.numpy()
    parts = []
    for first in range(0, frames.shape[1], chunk):
        part = slice(first, first + chunk)
        inputs = {"log_mel": frames[:, part], "valid": valid[:, part], **carried}
        probabilities, *new = session.run(None, inputs)
        carried = dict(zip(carried, new, strict=True))
        parts.append(probabilities)
    return np.concatenate(parts, axis=1)[:, context:]


@torch.no_grad()
def _reference(
    model: CRNN, rule: FeedbackRule, log_mel: Floats, state: RecurrentState | None = None
) -> Floats:
    """Logits (B, T, C) of PyTorch; the model is in evaluation mode on the CPU."""
    features = model.encode(torch.from_numpy(log_mel))
    logits = model.decode(features, feedback=rule, initial_state=state)[0]
    return np.asarray(logits.numpy())


def _reach_of_ties(model: CRNN, rule: FeedbackRule) -> int:
    """Number of frames until a threshold's decision has an effect; 0: there is none."""
    if not model.has_feedback or not rule.decides:
        return 0
    return sys.maxsize if rule.remembers else 1


def _compare(got: Floats, logits: Floats, tolerance: float, reach: int) -> Difference:
    """Compare probabilities with logits, (B, T, C) each, up to a tie where they diverge.

    Ties occur if a threshold decides the feedback, up to ``reach`` frames before.
    """
    expected = torch.sigmoid(torch.from_numpy(logits)).numpy()
    if got.shape != expected.shape:
        return Difference(float("inf"), 0)
    # NaN is the greatest possible difference.
    apart = np.nan_to_num(np.abs(got - expected), nan=np.inf).max(axis=2)  # (B, T)
    total = Difference()
    for of_frames, of_logits in zip(apart, logits, strict=True):
        stop = len(of_frames)
        beyond = np.flatnonzero(of_frames > tolerance)
        if reach and len(beyond) and beyond[0] > 0:
            # Either decision is correct there, see sed_cli.models.recurrence: 4 * tolerance is what
            # logits differ by at the threshold where probabilities differ by the tolerance.
            before = of_logits[max(beyond[0] - reach, 0) : beyond[0]]
            is_tie = np.abs(before).min() < 4 * tolerance
            stop = int(beyond[0]) if is_tie else stop
        total += Difference(float(of_frames[:stop].max()), stop, len(of_frames) - stop)
    return total


def _features(model: CRNN, random: np.random.Generator, n_sequences: int, n_frames: int) -> Floats:
    """Draw features (B, T, M) like those of the training: bands that rise and fall slowly."""
    steps = random.standard_normal((n_sequences, n_frames, model.n_mels))
    level = random.standard_normal((n_sequences, 1, 1)) + 0.5 * np.cumsum(steps, axis=1)
    wave = 2 * np.sin(level) + 0.5 * random.standard_normal(steps.shape)
    mean, std = (t.cpu().numpy() for t in (model.normalisation.mean, model.normalisation.std))
    return (mean + std * wave).astype(np.float32)


def _any_state(
    model: CRNN, rule: FeedbackRule, random: np.random.Generator, n_sequences: int
) -> RecurrentState:
    hidden = random.uniform(-1, 1, (n_sequences, model.cell.hidden_size))
    activities = random.integers(0, 2, (n_sequences, rule.carried * model.n_fed_outputs))
    return RecurrentState(_tensor(hidden), _tensor(activities))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _sound(random: np.random.Generator, n_sequences: int, n_samples: int) -> Floats:
    """Draw noise of varying level: (B, n_samples), in every band."""
    swell = 0.3 + 0.2 * np.sin(np.arange(n_samples) / 2000)
    return (swell * random.uniform(-1, 1, (n_sequences, n_samples))).astype(np.float32)
