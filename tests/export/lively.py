"""Models whose every weight matters, and which find many events, so that tests can fail."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.export.builder import make_model
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import repeatable
from sed_cli.models.feedbacks.delayed import Delayed
from sed_cli.models.feedbacks.last_event import LastEvent
from sed_cli.tasks.detection.detector import Detector
from tests.models.making import make_crnn

# The shape of the model, and its feedback; 8 mel bands keep it small.
VARIANTS: dict[str, tuple[dict[str, Any], str | FeedbackRule]] = {
    "hard": ({}, "hard"),
    "sampled": ({}, "sampled"),
    "soft": ({}, "soft"),
    "baseline": ({"feedback": False}, "hard"),
    "one block": ({"pooling": (8,), "kernel_size": 3}, "hard"),
    "no context": ({"kernel_size": 1}, "hard"),
    "uneven": ({"pooling": (2, 1, 2, 2), "kernel_size": 7}, "soft"),
    "trace": ({}, "trace"),
    "last event": ({}, LastEvent(decay_frames=10.0, running=False)),
    "delayed onsets": ({"onsets": True, "fed_outputs": "onsets"}, Delayed(frames=3)),
}


def lively_detector(variant: str) -> Detector:
    """Create a detector of 3 classes; its batch norms turn zero padding into other values."""
    sizes, feedback = VARIANTS[variant]
    torch.manual_seed(list(VARIANTS).index(variant))
    shape = {"pooling": (2, 2), "kernel_size": 5, **sizes}
    model = make_crnn(n_mels=8, n_classes=3, conv_channels=4, rnn_hidden=6, **shape)
    rule = repeatable(feedback)
    model.take_feedback(rule)
    with torch.no_grad():
        model.normalisation.mean.normal_()
        model.normalisation.std.uniform_(0.5, 2.0)
        for block in model.blocks:
            block.norm.bias.uniform_(0.1, 0.5)
            block.norm.weight.uniform_(0.5, 1.5)
        run = partial(model, feedback=rule)
        for _ in range(30):  # suitable running statistics, so that no unit is dead
            run(torch.from_numpy(features(2, 100)))
        for weight in (*model.cell.parameters(), *model.readout.parameters()):
            weight.mul_(2.5)
        model.eval()
        logits = run(torch.from_numpy(features(2, 100)))
        model.readout.bias -= logits.flatten(0, 1).median(dim=0).values
    log_mel = LogMelConfig(n_mels=8, backend="torchaudio").build()
    return Detector(model, log_mel=log_mel, classes=("a", "b", "c"), feedback=feedback)


def features(n_sequences: int, n_frames: int, seed: int = 0) -> np.ndarray:
    """Draw features (B, T, 8) at the scale of the models' normalisation."""
    random = np.random.default_rng(seed)
    return (2 * random.standard_normal((n_sequences, n_frames, 8))).astype(np.float32)


def session(graph: Any) -> InferenceSession:
    """Run a graph in the runtime."""
    content = make_model(graph, {}, "0").SerializeToString()
    return InferenceSession(content, providers=["CPUExecutionProvider"])
