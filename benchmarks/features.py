"""How long do the features of a data set take, in this process and in several?

Recordings of ten seconds at 44.1 kHz (FLAC). "as decided" does as ``sedtf train``: it starts
workers if it expects them to save time; "alone" forbids them. Wall time is what workers reduce, but
means little on a busy machine; processor time shows their cost. Writes ``features.{csv,md}``.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measure import options, write_table
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.cache import compute
from sed_cli.data.cache.features import FeatureCache

RATE, FILE_S = 44_100, 10


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    logging.basicConfig(level=logging.WARNING)
    minutes = (5, 20) if arguments.quick else (5, 20, 60, 180)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = _write_recordings(folder, max(minutes) * 60 // FILE_S)
        for backend in ("torchaudio", "torchlibrosa"):
            feature = LogMelConfig(backend=backend)
            for length in minutes:
                part = paths[: length * 60 // FILE_S]
                row: dict[str, object] = {"transform": backend, "minutes": length}
                for way in ("alone", "as decided"):
                    wall, cpu = _seconds(folder, feature, part, alone=way == "alone")
                    row |= {f"{way}: wall s": wall, f"{way}: cpu s": cpu}
                rows.append(row)
    print(write_table(arguments.output / "features", "Features of a set, wall time", rows))


def _seconds(
    folder: Path, feature: LogMelConfig, paths: Sequence[Path], *, alone: bool
) -> tuple[float, float]:
    """Compute the features in a separate cache, with libraries loaded: wall and processor time."""
    cache = FeatureCache(folder / "cache", feature)
    cache.load(paths[:1])
    before = compute._WORTH_A_WORKER_S
    compute._WORTH_A_WORKER_S = float("inf") if alone else before
    try:
        start, before_cpu = time.perf_counter(), _processor_s()
        cache.load(paths)
        return time.perf_counter() - start, _processor_s() - before_cpu
    finally:
        compute._WORTH_A_WORKER_S = before
        shutil.rmtree(folder / "cache")


def _processor_s() -> float:
    """Processor time in seconds of this process and of those it has waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(one) for one in who]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _write_recordings(folder: Path, n_files: int) -> list[Path]:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.1, 2 * FILE_S * RATE).clip(-1, 1)
    paths = []
    for number in range(n_files):
        first = int(random.integers(FILE_S * RATE))
        paths.append(folder / f"{number:05d}.flac")
        soundfile.write(paths[-1], noise[first : first + FILE_S * RATE], RATE)
    return paths


if __name__ == "__main__":
    main(options(__doc__ or ""))
