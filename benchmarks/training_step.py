"""What does a whole training step cost, compared with the published step?

The tutorial's step: 16 sequences of 54,400 samples at 16 kHz, (16, 107, 40) as features, 128
channels. As published: features computed within the step, float32, torch's default memory layout,
the loop over samples. Here: features cached, in float32 and in bfloat16. Writes
``training_step.{csv,md}``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import Task, medians, options, write_table
from benchmarks.published import PublishedCRNN
from sed_cli.models import CRNN
from sed_cli.models.kinds.crnn import CRNNConfig

N_SEQUENCES, N_SAMPLES, N_FRAMES, N_MELS, N_CLASSES, N_CHANNELS = 16, 54_400, 107, 40, 6, 128


class Batch:
    """One batch, seeded: waveforms, features, targets, teacher mask."""

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        self.waveforms = 0.1 * torch.randn(N_SEQUENCES, N_SAMPLES, device=device)
        self.log_mel = torch.randn(N_SEQUENCES, N_FRAMES, N_MELS, device=device)
        self.targets = (torch.rand(N_SEQUENCES, N_FRAMES, N_CLASSES, device=device) > 0.8).float()
        self.mask = torch.rand(N_SEQUENCES, N_FRAMES) < 0.5


class Step:
    """A training step: forward, loss, backward, clipped gradients, Adam."""

    def __init__(self, model: nn.Module, logits: Callable[[], Tensor], batch: Batch) -> None:
        self.model = model.train()
        self.logits = logits
        self.batch = batch
        self.optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def __call__(self) -> None:
        """Run it."""
        self.optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(self.logits().float(), self.batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimiser.step()


def published(batch: Batch, with_features: bool, device: str) -> Step:
    """Return the published step, with or without computing its features."""
    torch.manual_seed(0)
    model = PublishedCRNN(n_channels=N_CHANNELS, n_classes=N_CLASSES).to(device)
    extract = _feature_extractor().to(device) if with_features else None

    def logits() -> Tensor:
        log_mel = batch.log_mel if extract is None else extract(batch.waveforms)[:, 0]
        result: Tensor = model(log_mel, batch.targets, batch.mask)
        return result

    return Step(model, logits, batch)


def _feature_extractor() -> nn.Module:
    """Return the tutorial's features, as it computes them."""
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    spectrogram: Any = Spectrogram(n_fft=2048, hop_length=512, win_length=1024)
    log_mel: Any = LogmelFilterBank(sr=16_000, n_fft=2048, n_mels=N_MELS)
    return nn.Sequential(spectrogram, log_mel)


def ours(batch: Batch, precision: str, device: str) -> Step:
    """Return sedtf's step on cached features."""
    torch.manual_seed(0)
    sizes = CRNNConfig(conv_channels=N_CHANNELS, rnn_hidden=N_CHANNELS)
    model = sizes.build(n_mels=N_MELS, n_classes=N_CLASSES).to(device)

    def logits() -> Tensor:
        reduced = precision == "bf16"
        with torch.autocast(device, dtype=torch.bfloat16) if reduced else nullcontext():
            result: Tensor = model(batch.log_mel, batch.targets, batch.mask)
            return result

    return Step(model, logits, batch)


def parts(step: Step, precision: str, device: str) -> dict[str, Task]:
    """Return the convolutions and the recurrence of a step separately, forward and backward."""
    model, batch = step.model, step.batch
    assert isinstance(model, CRNN)
    encode, decode = model.encode, model.decode
    features = torch.randn(N_SEQUENCES, N_FRAMES, N_CHANNELS, device=device).requires_grad_()

    def convolutions() -> None:
        reduced = precision == "bf16"
        with torch.autocast(device, dtype=torch.bfloat16) if reduced else nullcontext():
            result = encode(batch.log_mel)
        result.sum().backward()

    def recurrence() -> None:
        decode(features, batch.targets, batch.mask)[0].sum().backward()

    return {"convolutions": convolutions, "recurrence": recurrence}


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    device = arguments.device
    batch = Batch(device)
    make = partial(ours, batch, device=device)
    steps = {
        "as published": published(batch, True, device),
        "as published, features cached": published(batch, False, device),
        "sedtf, float32": make("fp32"),
        "sedtf, bfloat16": make("bf16"),
    }
    tasks: dict[str, Task] = dict(steps)
    for name, precision in (("sedtf, float32", "fp32"), ("sedtf, bfloat16", "bf16")):
        for part, task in parts(steps[name], precision, device).items():
            tasks[f"{name}: {part}"] = task
    seconds = medians(
        tasks, repeats=arguments.repeats, budget=arguments.budget, clock=arguments.clock
    )
    rows: list[dict[str, object]] = [
        {"step": name, "ms": 1e3 * value, "times faster": seconds["as published"] / value}
        for name, value in seconds.items()
    ]
    title = f"The tutorial's training step, {arguments.threads} thread(s), {arguments.clock} time"
    print(write_table(arguments.output / "training_step", title, rows))


if __name__ == "__main__":
    main(options(__doc__ or ""))
