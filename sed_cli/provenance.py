"""What a run was: config hash, seed, commit, versions, device, data, times and how it ended."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sed_cli import __version__
from sed_cli.config.identity import config_hash
from sed_cli.errors import UserError
from sed_cli.records import RUN, beating, this_process, write_json

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "torchaudio", "torchlibrosa", "numpy", "hydra-core", "sed_eval")


class RunRecord:
    """Keeps ``run.json`` of a run folder, from ``running`` to how the run ended.

    Used as a context manager: leaving it writes ``completed``, ``interrupted`` (Ctrl-C or SIGTERM)
    or ``failed`` with the reason.

    Args:
        run_dir: the run folder, which exists.
        verb: what is run.
        config: its typed configuration.
        seed: of the run; None where nothing is drawn.
    """

    def __init__(self, run_dir: Path, verb: str, config: Any, *, seed: int | None) -> None:
        self._path = run_dir / RUN
        self._values: dict[str, Any] = {
            "status": "running",
            "verb": verb,
            "config_hash": config_hash(config),
            "seed": seed,
            "commit": _commit(),
            "versions": _versions(),
            "started": _now(),
            "ended": None,
            "process": this_process(),
        }
        self._life = beating(self._path)

    def update(self, **values: Any) -> None:
        """Add facts and write the file."""
        self._values.update(values)
        write_json(self._path, self._values)

    def __enter__(self) -> Self:
        self.update()
        self._life.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._life.__exit__(None, None, None)
        if error is None:
            self.update(status="completed", ended=_now())
        elif isinstance(error, KeyboardInterrupt):
            self.update(status="interrupted", ended=_now())
        else:
            self.update(status="failed", ended=_now(), error=f"{type(error).__name__}: {error}")


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises:
        UserError: if CUDA is asked for and not there.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise UserError("device=cuda, but torch sees no CUDA device: use device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and has_cuda else "cpu")


@contextmanager
def set_threads(threads: int | None) -> Iterator[None]:
    """Let torch use so many CPU threads inside the block; ``None`` leaves its choice."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _versions() -> dict[str, str]:
    versions = {"sedtf": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    """Commit of the source this runs from; ``None`` for an installed wheel."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", os.fspath(root)]
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if changed else head


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
