"""What does it cost to read the features of thousands of short recordings, epoch after epoch?

A data set of one-second files, from pack files as in the cache, compared with the alternatives: a
file per recording, mapped at each access (one handle at a time) or kept mapped (one handle each),
and everything in memory. Also the cost of a second run before its first epoch: hashes of the audio
remembered, or computed again. Writes ``reading.{csv,md}``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.measure import Task, medians, options, write_table
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.cache.digests import Digests, file_digest
from sed_cli.data.cache.features import FeatureCache
from sed_cli.data.sequences import Sequences, collate
from sed_cli.data.sets import Recording

RATE = 16_000


class MappedAtEachAccess:
    """An array in its own file, mapped anew for each range that is read."""

    def __init__(self, path: Path, n_rows: int) -> None:
        self.path, self.n_rows = path, n_rows

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        return np.array(np.load(self.path, mmap_mode="r")[rows])


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    n_files = 500 if arguments.quick else 3000
    with tempfile.TemporaryDirectory() as folder:
        tasks = _tasks(Path(folder), n_files)
        seconds = medians(
            tasks, repeats=arguments.repeats, budget=arguments.budget, clock=arguments.clock
        )
    rows: list[dict[str, object]] = [
        {"way": name, "s": value, "µs a file": 1e6 * value / n_files}
        for name, value in seconds.items()
    ]
    title = f"{n_files} files of a second, {arguments.clock} time"
    print(write_table(arguments.output / "reading", title, rows))


def _tasks(folder: Path, n_files: int) -> dict[str, Task]:
    random = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.wav" for number in range(n_files)]
    for path in paths:
        soundfile.write(path, random.uniform(-0.1, 0.1, RATE), RATE)
    cache = FeatureCache(folder / "cache", LogMelConfig())
    packed = [stored.log_mel for stored in cache.load(paths)]
    single: list[MappedAtEachAccess] = []
    mapped: list[NDArray[np.float32]] = []
    for path, log_mel in zip(paths, packed, strict=True):
        np.save(path.with_suffix(".npy"), np.asarray(log_mel))
        single.append(MappedAtEachAccess(path.with_suffix(".npy"), len(log_mel)))
        if len(mapped) < 900:  # more handles are not available everywhere
            mapped.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
    mapped = [mapped[number % len(mapped)] for number in range(n_files)]
    memory = [np.asarray(log_mel) for log_mel in packed]
    digests = Digests(folder / "digests.sqlite")
    digests.of(paths)
    return {
        "epoch, packs": partial(_epoch, packed),
        "epoch, a file each, mapped at each access": partial(_epoch, single),
        "epoch, a file each, kept mapped": partial(_epoch, mapped),
        "epoch, all in memory": partial(_epoch, memory),
        "start: map the packs of a second run": partial(_open, folder, paths),
        "start: hashes remembered": partial(digests.of, paths),
        "start: hashes computed": lambda: [file_digest(path) for path in paths],
    }


def _epoch(log_mels: Sequence[Any]) -> None:
    recordings = [
        Recording(
            name=str(number),
            path=Path(str(number)),
            duration_s=1.0,
            log_mel=log_mel,
            activities=np.zeros((len(log_mel), 10), np.uint8),
            events=(),
        )
        for number, log_mel in enumerate(log_mels)
    ]
    loader = DataLoader(Sequences(recordings, 313), batch_size=8, shuffle=True, collate_fn=collate)
    for _ in loader:
        pass


def _open(folder: Path, paths: Sequence[Path]) -> None:
    FeatureCache(folder / "cache", LogMelConfig()).load(paths)


if __name__ == "__main__":
    main(options(__doc__ or ""))
