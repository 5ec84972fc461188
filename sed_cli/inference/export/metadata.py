"""What a program needs to know to run the graphs: in the ONNX files themselves, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import librosa

from sed_cli import __version__
from sed_cli.audio.features import FLOOR
from sed_cli.inference.detector import THRESHOLD, Detector
from sed_cli.inference.export.graphs import state_layout, state_size
from sed_cli.schema import FeatureConfig

FORMAT = 1  # of what is written here; raised when a reader of an older one would go wrong


def describe(detector: Detector, feature: FeatureConfig) -> dict[str, Any]:
    """Describe the way from samples to events around a detector's graphs."""
    return {
        "sedtf": {"version": __version__, "format": FORMAT},
        "classes": list(detector.classes),
        "features": describe_features(feature),
        "stream": _describe_stream(detector, feature),
        "feedback": _describe_feedback(detector),
        "postprocessing": {
            "thresholds": dict.fromkeys(detector.classes, THRESHOLD),
            "filter_frames": dict.fromkeys(detector.classes, 1),
            "min_gap_s": 0.0,
            "min_duration_s": 0.0,
        },
    }


def describe_features(feature: FeatureConfig) -> dict[str, Any]:
    """Describe the front end so that it can be computed elsewhere; lengths in samples, Hz.

    Frame t is the transform of the ``n_fft`` samples around sample t * hop_length, under the
    window, which lies in their middle.
    """
    f_max = feature.sample_rate / 2 if feature.f_max is None else feature.f_max
    edges = librosa.mel_frequencies(feature.n_mels + 2, fmin=feature.f_min, fmax=f_max)
    return {
        "sample_rate": feature.sample_rate,
        "channels": "mean",
        "window": "hann_periodic",
        "window_length": feature.window_length,
        "hop_length": feature.hop_length,
        "n_fft": feature.n_fft,
        # n_fft // 2 samples at each end; zeros behind a recording that is too short for that
        "padding": "reflect",
        "power": 2,
        "n_mels": feature.n_mels,
        "f_min": feature.f_min,
        "f_max": f_max,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        # Band m is a triangle over the power's bins, from edge m over edge m + 1 to edge m + 2,
        # with an area of 1 Hz.
        "mel_edges_hz": edges.tolist(),
        "floor": FLOOR if feature.is_log else None,
        "log": "10*log10" if feature.is_log else None,
        "normalised": False,  # the graphs do that
    }


def metadata_props(description: Mapping[str, Any]) -> dict[str, str]:
    """Turn a description into ONNX's metadata: each value as JSON, under its key."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in description.items()}


def _describe_stream(detector: Detector, feature: FeatureConfig) -> dict[str, Any]:
    model = detector.model
    # From a frame's centre to the end of its window, and the frames that the convolutions look on.
    window_end = (feature.n_fft - feature.window_length) // 2 + feature.window_length
    samples = model.context * feature.hop_length + window_end - feature.n_fft // 2
    return {
        "context_frames": model.context,
        "hop_s": detector.hop_s,
        "look_ahead_s": samples / feature.sample_rate,
        "state_size": state_size(model),
        "state": {part: list(shape) for part, shape in state_layout(model).items()},
    }


def _describe_feedback(detector: Detector) -> dict[str, Any]:
    if not detector.model.has_feedback:
        return {"kind": None}
    if detector.feedback == "soft":
        return {"kind": "soft"}
    # Inside the graphs, and no matter of taste as those of the post-processing are.
    return {"kind": "hard", "threshold": 0.5}
