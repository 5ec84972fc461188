"""``sedtf predict``: events in your own recordings, from a file or folders."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import cast

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sed_cli.audio import Channels
from sed_cli.audio.rates import band_faults
from sed_cli.config.provenance import set_threads
from sed_cli.config.tools import JSONL, PredictConfig
from sed_cli.data.annotations import WRITTEN
from sed_cli.errors import DataError, SedtfError, UserError
from sed_cli.system.files import write_text
from sed_cli.system.pool import n_cores, run_in_processes
from sed_cli.system.text import counted, cut_short
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.items import AudioInput, find_items, sweep, unwritable
from sed_cli.tasks.detection.predicting.ledger import Done, Ledger, settings_digest
from sed_cli.tasks.detection.predicting.summary import write_summary
from sed_cli.tasks.detection.predicting.work import (
    FileOutcome,
    FilePredictor,
    FileTask,
    Progress,
    renamed,
    table_ending,
)
from sed_cli.tasks.detection.recording import dump_events

log = logging.getLogger(__name__)

FOLDER = "predictions"
"""Folder of the files about all recordings, and of the record of completed ones."""

_SHOWN = 10
_TOLD_EVERY_S = 60.0  # if no bar is shown


def predict(config: PredictConfig) -> None:
    """Find the events in the input of ``sedtf predict``.

    Raises:
        UserError: if there is no input, the checkpoint cannot be used, the only recording cannot be
            read, or a result cannot be written.
        SedtfError: if some recordings of a folder could not be read, or their output not be
            written; all others are done.
    """
    output_dir = None if config.output_dir is None else Path(config.output_dir).expanduser()
    source = Path(config.input).expanduser()
    _check_joined(config)
    with set_threads(config.threads), logging_redirect_tqdm():
        if config.input != "-" and source.is_dir():
            _predict_folder(source, output_dir, config)
        else:
            _predict_one(_single(config, source, output_dir), output_dir, config)


def _check_joined(config: PredictConfig) -> None:
    known = WRITTEN.get(config.format)
    if config.joined and known is not None and not known.names_files:
        fitting = [name for name, one in WRITTEN.items() if one.names_files]
        raise UserError(
            f"joined=true format={config.format}: a file of that format holds only one recording; "
            f"choose one of {', '.join([*fitting, JSONL])}"
        )


# -------------------------------------------------------------------------- one recording


def _single(config: PredictConfig, source: Path, output_dir: Path | None) -> AudioInput:
    is_pipe = config.input == "-" or (source.exists() and not source.is_file())
    if is_pipe and config.clips:
        raise UserError(
            f"input={config.input} clips=true: clips need a second pass over the recording, which "
            f"a pipe cannot provide; save it to a file"
        )
    if config.input == "-":
        if sys.stdin.isatty():
            raise UserError("input=-: standard input is a terminal; pipe a recording into sedtf")
        base = (output_dir or Path()) / "stdin"
        return AudioInput(path=Path("standard input"), base=base, pipe_is_stdin=True)
    if not source.exists():
        raise DataError(
            f"input={config.input}: no such file or folder: name a recording, a folder, "
            f"or - for standard input"
        )
    return AudioInput(path=source, base=(output_dir or source.parent) / source.stem)


def _predict_one(item: AudioInput, output_dir: Path | None, config: PredictConfig) -> None:
    folder = item.base.parent / FOLDER
    predictor = FilePredictor(config, folder / "clips")
    detector = predictor.detector  # report problems of the checkpoint first
    task = FileTask(item=item, name=item.name)
    with ExitStack() as stack:
        if config.joined or config.summary or config.clips:
            # It marks the folder as written by sedtf.
            stack.enter_context(closing(Ledger(folder, "")))
        progress = stack.enter_context(_progress_of(item))
        if output_dir is None:
            done = predictor.find(task, progress, log.warning)
            predictor.cut_clips(task, done)
        else:
            done = predictor.do(task, progress, log.warning)
        _write_of_all(folder, [done], detector, config)
    _warn_of_bands(detector, [done])
    if output_dir is None:
        sys.stdout.write(dump_events(done.found, config.format))


# -------------------------------------------------------------------------------- a folder


def _predict_folder(source: Path, output_dir: Path | None, config: PredictConfig) -> None:
    items, unsearched = find_items(source, output_dir, cast(Channels, config.channels))
    sweep(items)
    place = (output_dir or source) / FOLDER
    predictor = FilePredictor(config, place / "clips", hashes=True)
    detector = predictor.detector
    tasks = [FileTask(item=item, name=item.path.relative_to(source).as_posix()) for item in items]
    with closing(Ledger(place, settings_digest(config))) as ledger:
        outcomes = _outcomes(tasks, predictor, ledger)
        dones = [one.done for one in outcomes if one.done is not None]
        _warn_of_bands(detector, dones)
        _write_of_all(place, dones, detector, config, ledger)
    n_before = sum(one.task.known is not None for one in outcomes)
    log.info(
        "%d of %d recordings done%s, %d events",
        len(dones),
        len(items),
        f" ({n_before} before)" if n_before else "",
        sum(done.n_events for done in dones),
    )
    _report_failures(outcomes, unsearched)


def _outcomes(
    tasks: Sequence[FileTask], predictor: FilePredictor, ledger: Ledger
) -> list[FileOutcome]:
    """Process the remaining recordings; return the outcomes of all, in their order."""
    outcomes: dict[str, FileOutcome] = {}
    waiting: list[FileTask] = []
    for task in tasks:
        known = None if predictor.config.redo else ledger.known(task.name, task.item.path)
        task = FileTask(item=task.item, name=task.name, known=known)
        if known is not None and predictor.is_complete(task.item, known):
            outcomes[task.name] = FileOutcome(task=task, done=known)
        else:
            waiting.append(task)
    with _told(len(tasks), len(outcomes)) as tell, closing(_work(waiting, predictor)) as work:
        for outcome in work:
            for line in outcome.said:
                log.warning("%s", line)
            if outcome.done is not None:
                ledger.add(outcome.done)
            outcomes[outcome.task.name] = outcome
            tell()
    return [outcomes[task.name] for task in tasks]


def _work(
    tasks: Sequence[FileTask], predictor: FilePredictor
) -> Generator[FileOutcome, None, None]:
    """Yield the outcomes of recordings, processed here or by several processes."""
    n_workers = min(predictor.config.workers or n_cores(), len(tasks))
    if n_workers <= 1:
        for task in tasks:
            with _progress_of(task.item) as progress:
                yield predictor.outcome(task, progress)
        return
    try:
        with closing(run_in_processes(predictor, tasks, n_workers)) as outcomes:
            yield from outcomes
    except BrokenProcessPool as error:
        raise SedtfError(
            f"one of {n_workers} processes died, most likely because memory ran out; finished "
            "recordings are kept: run it again with fewer workers"
        ) from error


def _report_failures(outcomes: Iterable[FileOutcome], unsearched: Sequence[Path]) -> None:
    failed = [one for one in outcomes if one.done is None]
    unread = [str(one.task.item.path) for one in failed if one.is_unread]
    unwritten = [str(one.task.item.path) for one in failed if not one.is_unread]
    parts = [
        f"{len(paths)} could not be {what}, for the reasons above: {cut_short(paths, _SHOWN)}"
        for what, paths in (
            ("read", [*map(str, unsearched), *unread]),
            ("written", unwritten),
        )
        if paths
    ]
    if parts:
        raise SedtfError("; ".join(parts))


# --------------------------------------------------------------------------- of all together


def _write_of_all(
    folder: Path,
    dones: Sequence[Done],
    detector: Detector,
    config: PredictConfig,
    ledger: Ledger | None = None,
) -> None:
    """Write one table of all events, and the summary, if requested.

    A table that was corrected by hand, by the ``ledger``, is kept, unless everything is redone.
    """
    try:
        path = folder / table_ending(config.format).removeprefix(".")
        if config.joined and ledger is not None and not config.redo and ledger.is_corrected(path):
            log.warning(
                "%s was corrected after it was written and is kept: rename it, or give another "
                "output_dir, to get a table of all recordings (redo=true replaces it)",
                path,
            )
        elif config.joined:
            found = {name: one for done in dones for name, one in renamed(done).items()}
            write_text(path, dump_events(found, config.format))
            if ledger is not None:
                ledger.add_table(path)
            log.info("all events: %s", path)
        if config.summary:
            paths = write_summary(folder, dones, detector.classes)
            log.info("summary: %s", ", ".join(map(str, paths)))
    except OSError as error:
        raise UserError(unwritable(folder, error)) from error


def _warn_of_bands(detector: Detector, dones: Iterable[Done]) -> None:
    rates = [done.sample_rate for done in dones]
    log_mel, trained_hz = detector.log_mel, detector.trained_hz
    for fault in band_faults(rates, log_mel.sample_rate, log_mel.band_hz[1], trained_hz=trained_hz):
        log.warning("%s", fault)


# --------------------------------------------------------------------------------- progress


@contextmanager
def _told(n_all: int, n_done: int) -> Iterator[Callable[[], None]]:
    """Show the number of completed recordings: as a bar, or as a log line now and then."""
    with tqdm(total=n_all, initial=n_done, desc="predict", unit="file", disable=None) as bar:
        last = time.monotonic()

        def tell() -> None:
            nonlocal n_done, last
            n_done += 1
            bar.update()
            if bar.disable and time.monotonic() - last > _TOLD_EVERY_S:
                last = time.monotonic()
                log.info("%d of %s", n_done, counted(n_all, "recording"))

        yield tell


@contextmanager
def _progress_of(item: AudioInput) -> Iterator[Progress]:
    """Show the progress within a long recording."""
    with tqdm(
        desc=item.name,
        unit=" s of audio",
        leave=False,
        delay=2,  # a short recording needs no bar
        disable=None,
    ) as bar:

        def show(done_s: float, of_s: float | None) -> None:
            bar.total = None if of_s is None else round(of_s)
            bar.update(round(done_s) - bar.n)

        yield show
