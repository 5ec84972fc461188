"""Metadata for running the graphs, in the ONNX files themselves and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import librosa

from sed_cli import __version__
from sed_cli.audio import LogMel
from sed_cli.audio.limits import FLOOR
from sed_cli.export.graphs import state_layout, state_size
from sed_cli.models import CRNN
from sed_cli.models.feedback import FeedbackRule


def describe(
    model: CRNN,
    log_mel: LogMel,
    *,
    rule: FeedbackRule,
    classes: Sequence[str],
    postprocessing: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe the steps from samples to events around a detector's graphs.

    Args:
        model: of the graphs.
        log_mel: its front end.
        rule: its feedback rule.
        classes: labels in the order of the outputs.
        postprocessing: steps from probabilities to events.
    """
    outputs = [f"{label}{kind}" for kind in ("", " onset") for label in classes]
    return {
        "sedtf": {"version": __version__, "format": 2 if model.has_onsets else 1},
        "classes": list(classes),
        **({"outputs": outputs} if model.has_onsets else {}),
        "features": describe_features(log_mel),
        "stream": _describe_stream(model, log_mel),
        "feedback": _describe_feedback(model, rule),
        "postprocessing": dict(postprocessing),
    }


def describe_features(log_mel: LogMel) -> dict[str, Any]:
    """Describe the front end so that it can be computed elsewhere; lengths in samples, Hz.

    Frame t is the transform of the ``n_fft`` samples around sample t * hop_length, with the window
    in their middle.
    """
    edges = librosa.mel_frequencies(log_mel.n_mels + 2, fmin=log_mel.f_min, fmax=log_mel.f_max)
    return {
        "sample_rate": log_mel.sample_rate,
        "channels": "mean",
        "window": "hann_periodic",
        "window_length": log_mel.window_length,
        "hop_length": log_mel.hop_length,
        "n_fft": log_mel.n_fft,
        # n_fft // 2 samples at each end; zeros after a recording that is too short for that
        "padding": "reflect",
        "power": 2,
        "n_mels": log_mel.n_mels,
        "f_min": log_mel.f_min,
        "f_max": log_mel.f_max,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        # Band m is a triangle over the power's bins, from edge m over edge m + 1 to edge m + 2,
        # with an area of 1 Hz.
        "mel_edges_hz": edges.tolist(),
        "floor": FLOOR if log_mel.is_log else None,
        "log": "10*log10" if log_mel.is_log else None,
        "normalised": False,  # done in the graphs
    }


def metadata_props(description: Mapping[str, Any]) -> dict[str, str]:
    """Convert a description to ONNX metadata: each value as JSON, under its key."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in description.items()}


def _describe_stream(model: CRNN, log_mel: LogMel) -> dict[str, Any]:
    # From a frame's centre to the end of its window, and the frames that the convolutions look
    # ahead.
    window_end = (log_mel.n_fft - log_mel.window_length) // 2 + log_mel.window_length
    samples = model.context * log_mel.hop_length + window_end - log_mel.n_fft // 2
    return {
        "context_frames": model.context,
        "hop_s": log_mel.hop_length / log_mel.sample_rate,
        "look_ahead_s": samples / log_mel.sample_rate,
        "state_size": state_size(model),
        "state": {part: list(shape) for part, shape in state_layout(model).items()},
    }


def _describe_feedback(model: CRNN, rule: FeedbackRule) -> dict[str, Any]:
    if not model.has_feedback:
        return {"kind": None}
    described: dict[str, Any] = {"kind": rule.name}
    if rule.remembers:
        described |= {key: value for key, value in asdict(rule).items() if key != "name"}
    if rule.name == "hard":
        # Inside the graphs, and not adjustable, unlike those of the post-processing.
        described["threshold"] = 0.5
    return described
