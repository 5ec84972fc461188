"""How much faster are two processes (gloo, CPU) that share a batch than one with one thread?

The default model on sequences of the default length, for batches of several sizes; an update is
forward, backward, sums over the ranks, clipped gradients, Adam. One process and two are measured in
turn, ``--repeats`` times, each after untimed updates. Wall time is what a user waits, but on a busy
machine it also includes other work; processor time, over all ranks, includes the cost of the sums
and of the ranks waiting for each other. Writes ``distributed.{csv,md}``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import options, write_table
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.data import SoundscapesConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.trainer import TrainerConfig
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.sets import DataSet, Recording
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.system.distributed import summed
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.tasks.train import make_trainer
from sed_cli.training import ranks
from sed_cli.training.losses.bce import BinaryCrossEntropy
from sed_cli.training.optimizers.adam import Adam
from sed_cli.training.state import seed_everything

N_RANKS, N_FRAMES, N_CLASSES = 2, 313, 10
_WARM_UP, _UPDATES = 3, 12


def _data(n_sequences: int) -> DataSet:
    random = np.random.default_rng(0)
    recordings = [
        Recording(
            name=f"{number}.wav",
            path=Path(f"{number}.wav"),
            duration_s=10.0,
            log_mel=random.normal(size=(N_FRAMES, 40)).astype(np.float32),
            activities=(random.random((N_FRAMES, N_CLASSES)) < 0.1).astype(np.uint8),
            events=(),
        )
        for number in range(n_sequences)
    ]
    classes = tuple(map(str, range(N_CLASSES)))
    return DataSet(classes=classes, hop_s=0.032, splits={"train": recordings}, fingerprint="")


def seconds_per_update(batch_size: int, n_updates: int) -> tuple[float, float]:
    """Wall time of an update in seconds, and processor time over all ranks."""
    torch.set_num_threads(1)
    seed_everything(0)
    config = TrainConfig(
        feature=LogMelConfig(),
        model=CRNNConfig(),
        sampler=ScheduledSampler(),
        data=SoundscapesConfig(),
        augment=AugmentConfig(),
        trainer=TrainerConfig(
            batch_size=batch_size, loss=BinaryCrossEntropy(), optimizer=Adam(), min_epoch_updates=1
        ),
        evaluation=EvaluationConfig(),
    )
    data = _data(batch_size * (_WARM_UP + n_updates))
    trainer = make_trainer(config, DetectionTask(config, data, torch.device("cpu")))
    wall = used = 0.0
    for number, (batch, part) in enumerate(trainer.batches(1)):
        if number == _WARM_UP:
            summed(torch.zeros(1))  # all start together
            wall, used = time.perf_counter(), time.process_time()
        trainer.step(batch, part)
    own = torch.tensor([time.process_time() - used], dtype=torch.float64)
    return (time.perf_counter() - wall) / n_updates, float(summed(own)) / n_updates


def together(batch_sizes: list[int], n_updates: int) -> dict[int, tuple[float, float]]:
    """Measure all batch sizes as one rank of several."""
    with ranks.joined(torch.device("cpu")):
        return {size: seconds_per_update(size, n_updates) for size in batch_sizes}


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    sizes = [8, 32] if arguments.quick else [8, 16, 32, 64]
    n_updates = 4 if arguments.quick else _UPDATES
    found: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    loads = [os.getloadavg()[0]]
    for _ in range(min(arguments.repeats, 5)):
        for size in sizes:
            found[1, size].append(seconds_per_update(size, n_updates))
        for size, seconds in ranks.launch(
            together, sizes, n_updates, n_ranks=N_RANKS, go_on="run it again"
        ).items():
            found[N_RANKS, size].append(seconds)
        loads.append(os.getloadavg()[0])
    rows: list[dict[str, object]] = []
    for size in sizes:
        one, two = (
            [1e3 * statistics.median(values) for values in zip(*found[n, size], strict=True)]
            for n in (1, N_RANKS)
        )
        rows.append(
            {
                "sequences a batch": size,
                "one: wall ms": one[0],
                "two: wall ms": two[0],
                "times faster": one[0] / two[0],
                "one: cpu ms": one[1],
                "two: cpu ms, both": two[1],
                "work, times": two[1] / one[1],
            }
        )
    load = f"load {min(loads):.1f} to {max(loads):.1f}"
    title = f"An update by one process and by two ({load}, one thread each)"
    print(write_table(arguments.output / "distributed", title, rows))


if __name__ == "__main__":
    main(options(__doc__ or ""))
