"""Record of a run: config hash, seed, commit, versions, device, data, times and outcome."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sed_cli import __version__
from sed_cli.config.identity import config_hash
from sed_cli.config.plugins import keep_sources, warn_of_changes
from sed_cli.errors import UserError
from sed_cli.system.files import flush_tree, remove_leftovers, write_json
from sed_cli.system.records import RUN, beating, read_record, this_process

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_CLOCKS_DIFFER_S = 3600.0  # for a file server and this machine, with a wide margin
_PACKAGES = ("torch", "torchaudio", "torchlibrosa", "numpy", "hydra-core", "sed_eval")


class RunRecord:
    """Maintains ``run.json`` of a run folder, from ``running`` to the outcome.

    Used as a context manager: leaving it writes ``completed``, ``interrupted`` (Ctrl-C or SIGTERM)
    or ``failed`` with the reason. ``completed`` is written when all other files are on the
    disk. On entry, half-written files of a killed process are removed from the folder.

    Args:
        run_dir: the run folder; it must exist.
        verb: the verb that runs.
        config: its typed configuration.
        seed: of the run; None if nothing is random.
    """

    def __init__(self, run_dir: Path, verb: str, config: Any, *, seed: int | None) -> None:
        self._path = run_dir / RUN
        self._config = config
        self._since = time.time()
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
        self._earlier = self._of_resumed()

    @property
    def earlier(self) -> Mapping[str, Any]:
        """Earlier record of a resumed run, if any."""
        return self._earlier

    def update(self, **values: Any) -> None:
        """Add facts and write the file."""
        self._values.update(values)
        write_json(self._path, self._values)

    def __enter__(self) -> Self:
        run_dir = self._path.parent
        remove_leftovers(run_dir, ["checkpoints"])
        remove_leftovers(run_dir / "checkpoints", ["best", "last"])
        for folder in ("checkpoints/best", "checkpoints/last", "figures"):
            remove_leftovers(run_dir / folder)
        if (run_dir / ".hydra").is_dir():
            flush_tree(run_dir / ".hydra")  # resume= depends on it
        self._keep_plugins(run_dir)
        self.update()
        self._life.__enter__()
        return self

    def _keep_plugins(self, run_dir: Path) -> None:
        """Save the input of the command beside the record, and its digest in it."""
        if not self._config.plugins:
            return
        self._values["plugins"] = keep_sources(self._config.plugins, run_dir)
        if self._earlier:
            warn_of_changes(self._earlier.get("plugins"), self._values["plugins"])

    def _of_resumed(self) -> Mapping[str, Any]:
        resumed = getattr(self._config, "resume", None)
        if resumed is not None:
            with suppress(OSError, ValueError):  # its contents are unknown
                return read_record(Path(resumed)) or {}
        return {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._life.__exit__(None, None, None)
        if error is None:
            self._complete()
        elif isinstance(error, KeyboardInterrupt):
            self.update(status="interrupted", ended=_now())
        else:
            self._fail(error)

    def _complete(self) -> None:
        try:
            is_set_back = time.time() < self._since  # then what is new looks old
            since = None if is_set_back else self._since - _CLOCKS_DIFFER_S
            flush_tree(self._path.parent, since=since)
        except OSError as error:
            self._fail(error)
            raise
        self.update(status="completed", ended=_now())

    def _fail(self, error: BaseException) -> None:
        try:
            reason = f"{type(error).__name__}: {error}"
            self.update(status="failed", ended=_now(), error=reason)
        except OSError as fault:  # the user should see why the run ended, not this
            log.warning("%s: how the run ended cannot be written (%s)", self._path, fault)


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises:
        UserError: if CUDA is requested and not available.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise UserError("device=cuda, but torch sees no CUDA device: use device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and has_cuda else "cpu")


@contextmanager
def set_threads(threads: int | None) -> Iterator[None]:
    """Limit torch to so many CPU threads inside the block; ``None``: torch's default."""
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
