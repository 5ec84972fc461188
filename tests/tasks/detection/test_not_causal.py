"""A model that is not causal: recordings are run whole, however they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.errors import CheckpointError
from sed_cli.models import CRNN
from sed_cli.tasks.detection import chunks
from sed_cli.tasks.detection.detector import Detector


class BothWays(CRNN):
    is_causal = False

    def __init__(self) -> None:
        super().__init__(
            n_mels=8, n_classes=3, conv_channels=4, pooling=(2, 2), rnn_hidden=5, feedback=False
        )
        del self.cell
        self.gru = nn.GRU(self.n_features, 5, batch_first=True, bidirectional=True)
        self.readout = nn.Linear(10, 3)

    def decode(self, features: Tensor, *args: Any, lengths: Any = None, **kwargs: Any) -> Any:
        if lengths is None:
            return self.readout(self.gru(features)[0]), None
        packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=features.shape[1]
        )
        return self.readout(hidden), None


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    sizes = {"window_length": 256, "hop_length": 128, "n_fft": 256, "n_mels": 8}
    log_mel = LogMelConfig(sample_rate=8000, **sizes).build()
    return Detector(BothWays(), log_mel=log_mel, classes=["a", "b", "c"])


@pytest.mark.parametrize("n_frames", [1, 2, 15, 16, 17, 47])
def test_pieces_give_what_the_whole_gives(
    n_frames: int, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "PIECE_FRAMES", 16)
    log_mel = torch.randn(n_frames, 8)
    whole = detector.logits(log_mel[None])[0]
    for sizes in ([n_frames], [1] * n_frames):
        pieces = torch.cat(list(detector.logits_of_blocks(log_mel.split(sizes))))
        torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)  # other sums in float32


def test_a_frame_depends_on_all_that_come_after_it(detector: Detector) -> None:
    log_mel = torch.randn(40, 8, requires_grad=True)
    detector.model.eval()
    detector.model(log_mel[None])[0, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert log_mel.grad is not None
    assert bool(log_mel.grad[-1].abs().sum() > 0)


def test_padding_changes_nothing(detector: Detector) -> None:
    sequences = [torch.randn(n, 8) for n in (20, 13)]
    batch = nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=9.0)
    together = detector.logits(batch, torch.tensor([20, 13]))
    for of_batch, sequence in zip(together, sequences, strict=True):
        alone = detector.logits(sequence[None])[0]
        torch.testing.assert_close(of_batch[: len(sequence)], alone, atol=1e-5, rtol=1e-5)


def test_events_are_those_of_the_whole_recording(detector: Detector) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 9000).astype(np.float32)
    probabilities = detector.probabilities(audio)
    assert probabilities.shape == (1 + 9000 // 128, 3)
    assert all(event.offset_s <= 9000 / 8000 for event in detector.predict(audio))


def test_a_stream_is_refused(detector: Detector) -> None:
    with pytest.raises(CheckpointError, match="BothWays is not causal"):
        detector.stream()
