"""Samples as input: the graph's features are those of the detector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.export.frontend import waveform_graph
from sed_cli.models.feedbacks import rule_named
from tests.export.lively import session
from tests.models.making import make_crnn

# With torchlibrosa, which is more exact.
FEATURES: dict[str, dict[str, Any]] = {
    "default": {},
    "no power of two": {"n_fft": 1000, "window_length": 801, "hop_length": 250, "n_mels": 16},
    "odd": {"n_fft": 1001, "window_length": 1001, "hop_length": 250, "n_mels": 16},
    "power, bands cut": {"is_log": False, "f_min": 50.0, "f_max": 7000.0, "n_mels": 24},
    "full window": {"sample_rate": 32000, "n_fft": 1024, "window_length": 1024, "hop_length": 320},
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_of_the_graph_are_those_of_the_detector(name: str) -> None:
    log_mel = LogMelConfig(**FEATURES[name], backend="torchlibrosa").build()
    torch.manual_seed(0)
    model = make_crnn(
        n_mels=log_mel.n_mels, n_classes=2, conv_channels=2, rnn_hidden=3, pooling=(2, 2)
    ).eval()
    run = session(waveform_graph(model, rule_named("hard"), log_mel)).run
    random = np.random.default_rng(0)
    for n_sequences, n_samples in [(1, 1), (2, 511), (1, 512), (1, 1024), (1, 1025), (2, 20_001)]:
        waveform = random.uniform(-0.5, 0.5, (n_sequences, n_samples)).astype(np.float32)

        probabilities, features = run(None, {"waveform": waveform})

        expected = log_mel(torch.from_numpy(waveform))[:, 0].numpy()
        # Two float32 transforms, summed in another order: 1e-4 dB, or of the highest power.
        scale = 1.0 if log_mel.is_log else expected.max()
        np.testing.assert_allclose(features / scale, expected / scale, rtol=0, atol=1e-4)
        with torch.no_grad():
            alone = torch.sigmoid(model(torch.from_numpy(features))).numpy()
        np.testing.assert_allclose(probabilities, alone, rtol=0, atol=1e-5)
