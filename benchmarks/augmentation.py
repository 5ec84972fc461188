"""What does augmentation add to a training step of the default model?

Milliseconds per batch of 8 sequences of 10 s, drawn and collated, for each option of ``augment``,
compared with the training step that follows. Writes ``augmentation.{csv,md}``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from benchmarks.measure import Task, medians, options, write_table
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.registry import joined
from sed_cli.config.training import AugmentConfig
from sed_cli.data.augment import AugmentedSequences, Augmenter
from sed_cli.data.sequences import SequenceBatch, Sequences, collate
from sed_cli.data.sets import Recording
from sed_cli.models import CRNN
from sed_cli.models.kinds.crnn import CRNNConfig

BATCH, N_FRAMES, N_CLASSES = 8, 313, 10
MASKS: dict[str, Any] = {"time_masks": 2, "frequency_masks": 2}
ACOUSTIC: dict[str, Any] = {"noise": 0.5, "gain_db": [-6.0, 6.0], "filter_db": 6.0}
_augment: Any = joined(AugmentConfig)
SETTINGS: dict[str, AugmentConfig] = {
    "none": _augment(),
    "specaugment": _augment(**MASKS),
    "mixup": _augment(mixup=0.5),
    "acoustic": _augment(**ACOUSTIC),
    "full": _augment(roll=0.5, mixup=0.5, **MASKS, **ACOUSTIC),
}


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    sequences = _sequences()
    tasks: dict[str, Task] = {}
    for name, config in SETTINGS.items():
        augmenter = Augmenter(config, feature=LogMelConfig(), fill=torch.zeros(40), seed=0)
        heard: Dataset[tuple[torch.Tensor, torch.Tensor]] = sequences
        if augmenter.is_active:
            heard = AugmentedSequences(sequences, augmenter, epoch=1)
        tasks[f"batch, augment={name}"] = partial(_batch, heard)
    torch.manual_seed(0)
    model = CRNNConfig().build(n_mels=40, n_classes=N_CLASSES)
    tasks["training step"] = partial(_step, model, _batch(sequences))
    seconds = medians(
        tasks, repeats=arguments.repeats, budget=arguments.budget, clock=arguments.clock
    )
    step = seconds["training step"]
    rows: list[dict[str, object]] = [
        {"part": name, "ms": 1e3 * value, "% of the step": 100 * value / step}
        for name, value in seconds.items()
    ]
    title = f"Augmentation, {arguments.threads} thread(s), {arguments.clock} time"
    print(write_table(arguments.output / "augmentation", title, rows))


def _sequences() -> Sequences:
    random = np.random.default_rng(0)
    return Sequences(
        [
            Recording(
                name=str(number),
                path=Path(str(number)),
                duration_s=10.0,
                log_mel=random.normal(-40, 10, (N_FRAMES, 40)).astype(np.float32),
                activities=random.integers(0, 2, (N_FRAMES, N_CLASSES), dtype=np.uint8),
                events=(),
            )
            for number in range(4 * BATCH)
        ],
        N_FRAMES,
    )


def _batch(sequences: Dataset[tuple[torch.Tensor, torch.Tensor]]) -> SequenceBatch:
    # Every fourth, to include sequences with and without a draw below one half.
    return collate([sequences[number] for number in range(0, 4 * BATCH, 4)])


def _step(model: CRNN, batch: SequenceBatch) -> None:
    mask = torch.rand(BATCH, N_FRAMES) < 0.5
    logits = model(batch.log_mel, batch.targets, mask)
    F.binary_cross_entropy_with_logits(logits, batch.targets).backward()
    model.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main(options(__doc__ or ""))
