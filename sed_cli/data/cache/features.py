"""Features of audio files: computed once, then memory-mapped."""

from __future__ import annotations

import errno
import hashlib
import inspect
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sed_cli.audio.files import ADVICE
from sed_cli.config.identity import identity, paths_of
from sed_cli.config.registry import is_ours
from sed_cli.config.training import FeatureConfig
from sed_cli.data.cache import upkeep
from sed_cli.data.cache.compute import Unit, compute
from sed_cli.data.cache.digests import Digests, Hashed, digest
from sed_cli.data.cache.packs import ENDING, Pack, StoredArray
from sed_cli.errors import DataError, SedtfError, UserError
from sed_cli.system import locks
from sed_cli.system.pool import n_cores
from sed_cli.system.text import cut_short

log = logging.getLogger(__name__)

_FEATURE_VERSION = 3  # increase it when the numbers of a feature change
_ATTEMPTS = 3
_SHOWN_FAULTS = 10


class Stored(NamedTuple):
    """A cached audio file."""

    log_mel: StoredArray  # (T, M)
    content: str  # hash of the file


class FeatureCache:
    """Features of audio files, computed once, then memory-mapped.

    An entry is named by the hash of the audio file's content and of the feature's settings. Runs
    may share the cache at any time: results of one appear to the others completely or not at all,
    and entries in use are not deleted until their features are released.

    Args:
        root: folder of the cache.
        feature: settings of the features.
        limit_gb: see :func:`.upkeep.limit_bytes`.
    """

    def __init__(self, root: Path, feature: FeatureConfig, limit_gb: float | None = None) -> None:
        self._root = root
        self._feature = feature
        self._limit_gb = limit_gb
        settings = _identity(feature)
        self._folder = root / "features" / digest({"version": _FEATURE_VERSION, **settings})
        self._digests = Digests(upkeep.digests_path(root))
        self._checked: dict[Path, dict[str, bool]] = {}  # whether an entry of a pack is intact

    def load(self, paths: Iterable[Path], *, salvages: bool = False) -> list[Stored]:
        """Return the features of audio files, in their order.

        Each is compared with its checksum: entries damaged on disk are recomputed.

        Args:
            paths: of the files.
            salvages: use the decodable part of damaged recordings; ``heard`` of the features is its
                length.

        Raises:
            DataError: if files cannot be read as audio, or not to their end; up to ten are named.
            UserError: if the cache cannot be written to.
        """
        files = self._digests.of(paths)
        with _clear_errors(self._root):
            found = self._open({file.content for file in files})
            if any(file.content not in found for file in files):
                found = self._complete(files, salvages=salvages)
                upkeep.trim(self._root, self._limit_gb)
        if not salvages:
            _refuse_losses(files, found)
        return [Stored(found[file.content], file.content) for file in files]

    def _complete(self, files: Sequence[Hashed], *, salvages: bool) -> dict[str, StoredArray]:
        """Compute missing features, or wait for another run that computes them."""
        wanted = {file.content: file for file in files}
        upkeep.sweep(self._root)
        self._folder.mkdir(parents=True, exist_ok=True)
        turn = self._folder / f"{digest({'wanted': sorted(wanted)})}.lock"
        if locks.is_taken(turn):
            log.info("another run computes these features: waiting for it")
        with locks.exclusive(turn):
            for attempt in range(_ATTEMPTS):
                found = self._open(wanted.keys())
                missing = tuple(file for key, file in wanted.items() if key not in found)
                if not missing:
                    return found
                unit = Unit(self._folder, self._feature, missing, salvages)
                self._say_damaged(missing)
                with _progress(len(missing)) as progress:
                    _refuse_faults(sorted(compute(unit, progress, alone=attempt > 0)))
        raise SedtfError(
            f"{self._folder}: features vanish as soon as they are computed; is something else "
            f"deleting them? set data.cache_dir or SEDTF_CACHE to another folder"
        )

    def _open(self, wanted: Iterable[str]) -> dict[str, StoredArray]:
        """Map the packs with requested entries; record their use."""
        left = set(wanted)
        found: dict[str, StoredArray] = {}
        for path in sorted(self._folder.glob(f"*{ENDING}")):
            if not left:
                break
            try:
                pack = Pack(path)
            except FileNotFoundError:  # deleted in the meantime
                continue
            except ValueError as error:
                # Its text: the error itself would keep references to packs.
                log.warning("%s: skipped, %s", path, str(error))
                locks.remove_unused(path)
                continue
            except OSError as error:  # a folder, another user's, or a failing disk
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise
                log.warning("%s: skipped, %s", path, error.strerror)
                continue
            here = self._intact(pack, left & pack.index.recordings.keys())
            if here:
                found |= {key: StoredArray(pack, key) for key in here}
                left -= here
                with suppress(OSError):  # another user's
                    os.utime(path)
        return found

    def _intact(self, pack: Pack, wanted: Set[str]) -> set[str]:
        """Return the intact entries of a pack, each verified once."""
        known = self._checked.setdefault(pack.path, {})
        new = [key for key in wanted if key not in known]
        with ThreadPoolExecutor(n_cores()) as threads:  # a checksum releases the interpreter
            known.update(zip(new, threads.map(pack.is_intact, new), strict=True))
        return {key for key in wanted if known[key]}

    def _say_damaged(self, missing: Sequence[Hashed]) -> None:
        keys = {file.content for file in missing}
        for path, checked in self._checked.items():
            damaged = sum(key in keys and not is_intact for key, is_intact in checked.items())
            if damaged:
                log.warning(
                    "%s: the features of %d of %d recordings are damaged, so they are computed "
                    "again: is the disk failing?",
                    *(path, damaged, len(checked)),
                )


def _refuse_losses(files: Sequence[Hashed], found: Mapping[str, StoredArray]) -> None:
    """Reject partly decoded recordings from runs that allowed them."""
    heard = [(file.path, found[file.content].heard) for file in files]
    _refuse_faults([f"{path}: {one.loss}; {ADVICE}" for path, one in heard if one.loss])


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    with tqdm(total=total, desc="features", unit="file", leave=False, disable=None) as bar:

        def progress(n_files: int) -> None:
            bar.update(n_files)

        yield progress


@contextmanager
def _clear_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "the disk is full: free some space (sedtf cache clear=all), or"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = f"{error.strerror}: the cache cannot be written to;"
        else:
            raise
        raise UserError(f"{root}: {advice} set data.cache_dir or SEDTF_CACHE elsewhere") from error


def _refuse_faults(faults: Sequence[str]) -> None:
    if len(faults) > 1:
        shown = cut_short(faults, _SHOWN_FAULTS, "; ")
        raise DataError(f"{len(faults)} recordings cannot be used: {shown}")
    if faults:
        raise DataError(faults[0])


def _identity(feature: FeatureConfig) -> dict[str, Any]:
    """Settings, and the source of a plugin's front end, which may change at any time.

    A file that computes the features counts by its content, not its location.
    """
    settings = identity(feature)
    if content := feature.content():
        settings = {k: v for k, v in settings.items() if k not in paths_of(feature)}
        settings["content"] = content
    if is_ours(type(feature)):
        return settings
    source = Path(inspect.getfile(type(feature))).read_bytes()
    return {**settings, "source": hashlib.sha256(source).hexdigest()}
