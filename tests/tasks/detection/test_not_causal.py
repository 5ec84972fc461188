"""A model that is not causal: recordings are processed as a whole, however they arrive."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.errors import CheckpointError
from sed_cli.models.kinds.conformer import ConformerConfig
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.models.kinds.crnn_bidirectional import BidirectionalCRNNConfig
from sed_cli.models.kinds.crnn_lookahead import LookaheadCRNNConfig
from sed_cli.tasks.detection import chunks
from sed_cli.tasks.detection.detector import Detector
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf


def make_detector(config: CRNNConfig) -> Detector:
    torch.manual_seed(0)
    sizes = {"window_length": 256, "hop_length": 128, "n_fft": 256, "n_mels": 8}
    log_mel = LogMelConfig(sample_rate=8000, **sizes).build()
    model = config.build(n_mels=8, n_classes=3)
    return Detector(model, log_mel=log_mel, classes=["a", "b", "c"])


SMALL: dict[str, Any] = {"conv_channels": 4, "pooling": [2, 2]}
GRU = BidirectionalCRNNConfig(**SMALL, rnn_hidden=5)
LOOKAHEAD = LookaheadCRNNConfig(**SMALL, rnn_hidden=5)
CONFORMER = ConformerConfig(**SMALL, rnn_hidden=16, n_heads=2, time_kernel=3)


@pytest.fixture(params=[GRU, CONFORMER, LOOKAHEAD], ids=lambda config: config.kind)
def detector(request: pytest.FixtureRequest) -> Detector:
    return make_detector(request.param)


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
    with pytest.raises(CheckpointError, match=f"{type(detector.model).__name__} is not causal"):
        detector.stream()


def test_it_is_a_gru_forwards_and_one_backwards() -> None:
    detector = make_detector(GRU)
    features = torch.randn(2, 9, detector.model.n_features)
    gru, readout = detector.model.gru, detector.model.readout
    ways = []
    for ending, x in (("", features), ("_reverse", features.flip(1))):
        one = nn.GRU(x.shape[2], 5, batch_first=True)
        names = one.state_dict()
        one.load_state_dict({name: getattr(gru, name + ending) for name in names})
        ways.append(one(x)[0])
    expected = readout(torch.cat([ways[0], ways[1].flip(1)], dim=2))
    logits, state = detector.model.decode(features)
    assert state is None
    torch.testing.assert_close(logits, expected)


def test_half_precision_of_the_convolutions_stays_out_of_the_recurrence(
    detector: Detector,
) -> None:
    detector.model.eval()
    features = torch.randn(1, 9, detector.model.n_features)
    expected, _ = detector.model.decode(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, _ = detector.model.decode(features)
    assert torch.equal(got, expected)


def test_no_setting_claims_that_it_is_fed_back_to(
    sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    for word, fault in (
        ("model.feedback=true", "there is no key model.feedback"),
        ("sampler.gamma=1", "this model has no feedback"),
    ):
        assert sedtf("train", "model=crnn_bidirectional", word, "output_dir=run") == 2
        assert fault in capfd.readouterr().err


@torch.no_grad()
def test_a_conformer_reads_long_recordings_in_windows() -> None:
    model = make_detector(replace(CONFORMER, window=16)).model.eval()
    features = torch.randn(2, 43, model.n_features)
    logits, _ = model.decode(features)
    # windows from 0, 8, 16, 24 and, the last one, 27 on; a quarter of each is not kept
    for start, first, end in ((0, 0, 12), (8, 12, 20), (24, 28, 31), (27, 31, 43)):
        window, _ = model.decode(features[:, start : start + 16])
        torch.testing.assert_close(logits[:, first:end], window[:, first - start : end - start])


def test_a_conformer_is_about_as_large_as_the_crnn_of_its_settings() -> None:
    for rnn_hidden in (64, 96, 256):
        crnn, conformer = (
            sum(weights.numel() for weights in model.parameters())
            for model in (
                kind(rnn_hidden=rnn_hidden).build(n_mels=40, n_classes=10)
                for kind in (CRNNConfig, ConformerConfig)
            )
        )
        assert 0.9 < conformer / crnn < 1.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rnn_hidden": 20}, "rnn_hidden=20 is not a multiple of 8.*set rnn_hidden=16"),
        ({"time_kernel": 4}, "time_kernel=4: expected an odd number"),
        ({"window": 3}, "window=3: expected at least 4"),
    ],
)
def test_sizes_that_no_conformer_has_are_refused(settings: dict[str, int], words: str) -> None:
    (fault,) = ConformerConfig(**settings).faults()
    assert re.search(words, fault)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("crnn_bidirectional", "BidirectionalCRNN"),
        ("conformer", "ConformerDetector"),
        ("crnn_lookahead", "LookaheadCRNN"),
    ],
)
def test_verbs_that_wait_for_the_end_take_it_and_the_others_say_why(
    model: str, name: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [f"model={model}", *TINY, *TINY_SOUNDSCAPES]
    assert sedtf("train", *settings, "trainer.epochs=1", "output_dir=run") == 0
    assert sedtf("train", "resume=run", "trainer.epochs=2") == 0
    assert sedtf("eval", "checkpoint=run", "output_dir=again") == 0
    capfd.readouterr()
    for words, fault in (
        (["listen"], f"{name} is not causal"),
        (["export", "output_dir=graphs"], "the graphs implement model=crnn"),
    ):
        assert sedtf(words[0], "checkpoint=run", *words[1:]) == 2
        assert fault in capfd.readouterr().err
