"""A job: the work of a verb with one configuration, picklable for launchers, and its outcome."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sed_cli.cli import verbs
from sed_cli.cli.hydra import register_schemas
from sed_cli.cli.messages import log_to_stderr
from sed_cli.cli.verbs import VERBS, Flags, Verb
from sed_cli.errors import SedtfError, UserError
from sed_cli.system import torchrun
from sed_cli.system.queue import TimeIsUpError, ends_as_interrupted
from sed_cli.system.records import RUN, InUseError, at_work
from sed_cli.system.shortage import shortage
from sed_cli.system.text import one_line

DONE, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
WAITING = -1  # of a job of a sweep that never started


@dataclass(frozen=True)
class Outcome:
    """Outcome of one job; launchers return it, so it must be picklable."""

    status: int
    folder: str
    objective: float | None = None
    error: str = ""


@dataclass
class Prepared:
    """Preparation of a run before its folder is touched, and its log messages."""

    values: dict[str, Any] = field(default_factory=dict)  # more arguments of the verb's function
    records: list[logging.LogRecord] = field(default_factory=list)

    def log_to_files(self) -> None:
        """Copy the messages into the log of the run."""
        files = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
        for record in self.records:
            for handler in files:
                handler.handle(record)


def prepare(verb: Verb, config: Any) -> Prepared:
    """Run checks that may refuse, before a resumed run is touched.

    Each rank of torchrun checks by itself, once it has the folder.
    """
    prepared = Prepared()
    if verb.prepare is None or not config.resume or torchrun.n_ranks() > 1:
        return prepared
    noting = logging.Handler()
    noting.emit = prepared.records.append  # type: ignore[assignment,method-assign]
    logging.getLogger().addHandler(noting)
    try:
        with log_to_stderr():
            prepared.values = verbs.load(verb.prepare)(config)
    finally:
        logging.getLogger().removeHandler(noting)
    return prepared


class HydraTask:
    """The function that Hydra calls for each job; picklable for launchers."""

    def __init__(self, verb_name: str, flags: Flags, prepared: Prepared | None = None) -> None:
        self.verb_name, self.flags = verb_name, flags
        self.prepared = prepared or Prepared()

    def __call__(self, raw: DictConfig) -> Outcome:
        """Do the work of the verb; any error is part of the outcome."""
        register_schemas()
        run_dir = Path(HydraConfig.get().runtime.output_dir)
        raw.output_dir = str(run_dir)
        with suppress(OmegaConfBaseException):  # values that cannot be resolved are reported below
            # Hydra writes unresolved references, which resuming must not follow.
            if (recorded := run_dir / ".hydra" / "config.yaml").exists():
                OmegaConf.save(raw, recorded, resolve=True)
        if self.flags.multirun and "resume" in raw and (run_dir / RUN).exists():
            raw.resume = str(run_dir)  # of a resumed or requeued sweep
        try:
            with ends_as_interrupted(), self._own(run_dir):
                return self._outcome(raw, run_dir)
        except InUseError as error:
            return Outcome(USER_ERROR, str(run_dir), error=f"{run_dir}: {error}")
        except TimeIsUpError as error:
            return Outcome(INTERRUPTED, str(run_dir), error=one_line(error))

    def _own(self, run_dir: Path) -> AbstractContextManager[None]:
        """Reserve the folder of a job of a sweep; that of a run is reserved before Hydra writes."""
        return at_work(run_dir) if self.flags.multirun else nullcontext()

    def _outcome(self, raw: DictConfig, run_dir: Path) -> Outcome:
        try:
            config: Any = OmegaConf.to_object(raw)
            work = verbs.load(VERBS[self.verb_name].function)
            self.prepared.log_to_files()
            objective = work(config, run_dir, **self.prepared.values)
            return Outcome(DONE, str(run_dir), objective=objective)
        except (Exception, SystemExit) as error:
            return self._failed(error, run_dir)

    def _failed(self, error: BaseException, run_dir: Path) -> Outcome:
        text = "".join(traceback.format_exception(error))
        written = run_dir / f"{self.verb_name}.log"
        with suppress(OSError), written.open("a", encoding="utf-8") as file:
            file.write(text)
        if os.environ.get("SEDTF_DEBUG"):
            sys.stderr.write(text)
        if isinstance(error, UserError):
            return Outcome(USER_ERROR, str(run_dir), error=one_line(error))
        if lack := shortage(error, self.verb_name, run_dir):
            go_on = f", then: sedtf train resume={run_dir}" if self.verb_name == "train" else ""
            return Outcome(USER_ERROR, str(run_dir), error=f"{lack}{go_on}")
        if gone := _vanished(error, run_dir):
            go_on = f": sedtf train resume={run_dir}" if self.verb_name == "train" else ""
            told = f"{gone}: deleted or moved while the run was at work; start it again{go_on}"
            return Outcome(USER_ERROR, str(run_dir), error=told)
        hint = f"; full traceback in {written}"
        name = "" if isinstance(error, SedtfError) else f"{type(error).__name__}: "
        return Outcome(FAILED, str(run_dir), error=f"{name}{one_line(error)}{hint}")


def _vanished(error: BaseException, run_dir: Path) -> Path | None:
    """Return the path of something in the run folder that was there before, and is no more."""
    if not isinstance(error, FileNotFoundError) or not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename)).absolute()
    return path if run_dir.absolute() in path.parents else None
