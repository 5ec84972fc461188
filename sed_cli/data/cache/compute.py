"""Audio files to packs of features: in this process, or in several if that is faster."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import sed_cli.config.plugins  # noqa: F401  a worker unpickles the settings of its front ends
from sed_cli.audio import AudioReader, FrontEnd, feature_blocks, signature
from sed_cli.config.provenance import set_threads
from sed_cli.config.training import FeatureConfig
from sed_cli.data.cache.digests import Hashed
from sed_cli.data.cache.packs import Heard, PackWriter
from sed_cli.errors import DataError
from sed_cli.system import pool

log = logging.getLogger(__name__)

_TRIED_S = 1.0
"""Seconds of computing in this process before the total time is estimated."""

_WORTH_A_WORKER_S = 6.0
"""With less work than this for each, workers take longer to start (1 to 4 s) than they save."""

_MOST_WORKERS = 8  # each of them loads torch: 0.3 GB
_UNITS_PER_WORKER = 8
_UNIT_BYTES = 1 << 20, 64 << 20  # of audio files: the least and the most,
_MOST_UNITS = 256  # unless that gives more packs than this, each of which needs a file handle


class Unit(NamedTuple):
    """The contents of one pack."""

    folder: Path  # of the packs
    feature: FeatureConfig
    files: tuple[Hashed, ...]
    salvages: bool = False  # use the decodable part of damaged recordings

    @property
    def n_bytes(self) -> int:
        """Size of the audio files: the only free estimate of the work."""
        return sum(file.signature.size for file in self.files)


class _StoppedError(Exception):
    """Stopped within a file, which others will compute, or nobody waits for any more."""


@dataclass
class Computed:
    """Progress of a unit: files done, and faults in some of them."""

    n_files: int = 0
    n_bytes: int = 0
    faults: tuple[str, ...] = ()


def compute(unit: Unit, progress: Callable[[int], None], *, alone: bool = False) -> list[str]:
    """Compute the features of many files, in packs of whole recordings.

    The numbers do not depend on where they are computed: always file by file, on one thread.

    Args:
        unit: all of them.
        progress: called with the number of files done since the last call.
        alone: start no workers, however much there is to do.

    Returns:
        One line per unreadable file. After a warning that workers ended abruptly, some of the files
        may be missing.
    """
    _front_end(unit.feature)  # imports are not part of the timing
    started = time.perf_counter()
    # The smallest first, so that the time per byte is known early.
    unit = unit._replace(files=tuple(sorted(unit.files, key=lambda file: file.signature.size)))
    many = len(unit.files) > 1 and not alone
    here = _compute_here(unit, progress, lambda: many and time.perf_counter() - started > _TRIED_S)
    faults = list(here.faults)
    rest = unit._replace(files=unit.files[here.n_files :])
    if not rest.files:
        return faults
    seconds = time.perf_counter() - started
    left_s = math.inf if not here.n_bytes else rest.n_bytes * seconds / here.n_bytes
    most = min(pool.n_cores(), len(rest.files), _MOST_WORKERS)
    n_workers = int(min(most, left_s / _WORTH_A_WORKER_S))
    if n_workers < 2:
        return faults + list(_compute_here(rest, progress).faults)
    try:
        with closing(
            pool.run_in_processes(compute_unit, _divide(rest, n_workers), n_workers)
        ) as results:
            for done in results:
                progress(done.n_files)
                faults += done.faults
    except BrokenProcessPool:
        log.warning(
            "processes that compute features ended abruptly: out of memory, or the calling script "
            'lacks an `if __name__ == "__main__"` guard; continuing without them'
        )
    return faults


def compute_unit(unit: Unit) -> Computed:
    """Do the work of a worker."""
    return _compute_here(unit, until=pool.is_stopping)


def _compute_here(
    unit: Unit,
    progress: Callable[[int], None] = lambda n_files: None,
    until: Callable[[], bool] = lambda: False,
) -> Computed:
    """Compute a pack in this process; stop early, with whole recordings, if ``until`` is true."""
    done = Computed()
    log_mel = _front_end(unit.feature)
    source = os.path.commonpath([file.path.parent for file in unit.files])
    with (
        set_threads(1),
        PackWriter(
            unit.folder, n_mels=log_mel.n_features, hop_s=unit.feature.hop_s, source=source
        ) as writer,
    ):
        for file in unit.files:
            if until():
                break
            try:
                _append(writer, file, unit, log_mel, until)
            except _StoppedError:
                break
            except DataError as error:
                done.faults += (str(error),)
            done.n_files += 1
            done.n_bytes += file.signature.size
            progress(1)
    return done


def _append(
    writer: PackWriter, file: Hashed, unit: Unit, log_mel: FrontEnd, until: Callable[[], bool]
) -> None:
    # The decodable part of a damaged one is kept, and reported on each use.
    with AudioReader(file.path, salvage=_say_later if unit.salvages else None) as reader:
        writer.append(
            file.content,
            _blocks(reader, file, log_mel, until),
            lambda: Heard(reader.duration_s, reader.loss),
        )


def _say_later(what: str) -> None:
    log.debug("%s", what)


def _blocks(
    reader: AudioReader, file: Hashed, log_mel: FrontEnd, until: Callable[[], bool]
) -> Iterator[NDArray[np.float32]]:
    """Features (t, M) of a file, after which it must still be the one that was hashed."""
    for block in feature_blocks(reader, log_mel):
        if until():
            raise _StoppedError
        if not np.isfinite(block).all():
            raise DataError(f"{file.path}: its features are not finite; exclude it")
        yield block
    if signature(file.path) != file.signature:
        raise DataError(f"{file.path}: changed while being read; try again")


def _front_end(feature: FeatureConfig) -> FrontEnd:
    if not _built or _built[0][0] != feature:
        _built[:] = [(feature, feature.build())]
    return _built[0][1]


_built: list[tuple[FeatureConfig, FrontEnd]] = []


def _divide(unit: Unit, n_workers: int) -> list[Unit]:
    """Units of about the same size, the largest first, so that workers end together."""
    least, most = _UNIT_BYTES
    most = max(most, unit.n_bytes // _MOST_UNITS)
    size = min(most, max(least, unit.n_bytes // (n_workers * _UNITS_PER_WORKER)))
    units: list[Unit] = []
    files: list[Hashed] = []
    n_bytes = 0
    for file in unit.files:
        if files and n_bytes + file.signature.size > size:
            units.append(unit._replace(files=tuple(files)))
            files, n_bytes = [], 0
        files.append(file)
        n_bytes += file.signature.size
    units.append(unit._replace(files=tuple(files)))
    return sorted(units, key=lambda part: part.n_bytes, reverse=True)
