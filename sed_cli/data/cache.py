"""What is made once and kept: generated recordings and log-mel features.

Everything in the cache is named by a hash of all that it was made from, written to a temporary
name and moved into place: an interrupted or concurrent run leaves nothing half-made.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from sed_cli.audio import read_audio
from sed_cli.errors import UserError
from sed_cli.schema import FeatureConfig

if TYPE_CHECKING:
    from sed_cli.audio import LogMel

_FEATURE_VERSION = 1  # raise it when the numbers of a feature change


def cache_root(cache_dir: str | None) -> Path:
    """Folder of the cache: ``cache_dir``, else ``$SEDTF_CACHE``, else the user's cache folder.

    Raises:
        UserError: if it cannot be written to.
    """
    root = Path(
        cache_dir or os.environ.get("SEDTF_CACHE") or platformdirs.user_cache_path("sedtf")
    ).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be made for the cache ({error.strerror}); "
            f"set data.cache_dir or SEDTF_CACHE to a folder you may write to"
        ) from error
    return root


def digest(values: Mapping[str, Any]) -> str:
    """Hash of a mapping of plain values, in hexadecimal, independent of the order of its keys."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


class StoredArray:
    """An array on disk that is mapped only while it is read: a map held open costs a file handle.

    Args:
        path: of a ``.npy`` file.
        n_rows: its length.
    """

    def __init__(self, path: Path, n_rows: int) -> None:
        self._path = path
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Read a range of rows."""
        return np.array(np.load(self._path, mmap_mode="r")[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole: what numpy's functions ask for."""
        return np.asarray(np.load(self._path), dtype=dtype)


class FeatureCache:
    """Features of audio files, computed once and memory-mapped after that.

    Args:
        root: folder of the cache.
        feature: settings of the features; with the audio's content they name the entry.
    """

    def __init__(self, root: Path, feature: FeatureConfig) -> None:
        self._folder = root / "features"
        self._settings = asdict(feature)
        self._log_mel: LogMel | None = None

    def load(self, path: Path) -> tuple[StoredArray, str]:
        """Return the features of an audio file (T, M), and the hash of its content.

        Raises:
            DataError: if the file cannot be read as audio.
        """
        content = file_digest(path)
        name = digest({"audio": content, "version": _FEATURE_VERSION, **self._settings})
        entry = self._folder / name[:2] / f"{name}.npy"
        n_frames = _n_rows(entry)
        if n_frames is None:
            features = self._compute(path)
            _save_array(entry, features)
            n_frames = len(features)
        return StoredArray(entry, n_frames), content

    def _compute(self, path: Path) -> NDArray[np.float32]:
        import torch  # what is found in the cache does not wait for it

        from sed_cli.audio import LogMel

        if self._log_mel is None:
            self._log_mel = LogMel(**self._settings)
        waveform = torch.from_numpy(read_audio(path, self._log_mel.sample_rate))
        log_mel: NDArray[np.float32] = self._log_mel(waveform[None])[0, 0].numpy()  # (T, M)
        return log_mel


def _n_rows(entry: Path) -> int | None:
    """Length of an entry; None if there is none, or if it was cut short on its way to the disk."""
    try:
        return len(np.load(entry, mmap_mode="r"))
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _save_array(entry: Path, array: NDArray[np.float32]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=entry.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array)
        Path(temporary).chmod(0o644)  # a cache may be shared, a temporary file never is
        Path(temporary).replace(entry)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
