"""``sedtf predict``: events in one's own recordings, a file or folders of them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sed_cli.audio import AudioReader, Channels
from sed_cli.audio.rates import band_faults
from sed_cli.config.provenance import choose_device, set_threads
from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import FORMATS
from sed_cli.data.endings import SCORES_ENDING
from sed_cli.decoding.holding import held_against
from sed_cli.errors import DataError, SedtfError, UserError
from sed_cli.system.files import replacing
from sed_cli.system.text import cut_short
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.items import AudioInput, find_items, sweep
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.recording import Found, Outputs, dump_events, find_events

log = logging.getLogger(__name__)

_SHOWN = 10


def predict(config: PredictConfig) -> None:
    """Find the events in what ``sedtf predict`` is given.

    Raises:
        UserError: if there is nothing to go through, the checkpoint cannot be used, the one
            recording cannot be read, or a result cannot be written.
        SedtfError: if any recording of a folder could not be read: all that could be are done.
    """
    output_dir = None if config.output_dir is None else Path(config.output_dir).expanduser()
    source = Path(config.input).expanduser()
    with set_threads(config.threads), logging_redirect_tqdm():
        if config.input != "-" and source.is_dir():
            items, unsearched = find_items(source, output_dir, cast(Channels, config.channels))
            sweep(items)
            detector = _load(config)
            _predict_all(detector, items, unsearched, config)
            return
        item = _single(config.input, source, output_dir)
        detector = _load(config)
        rates: list[int] = []
        found = _predict_one(detector, item, config, rates)
        _warn_of_bands(detector, rates)
        if output_dir is None:
            sys.stdout.write(dump_events(found, config.format))
        else:
            _write_events(item, found, config.format)


def _load(config: PredictConfig) -> Detector:
    """Load the detector, with thresholds and minimum lengths that the settings name."""
    detector = load(config.checkpoint, choose_device(config.device))
    decoder = detector.decoder.with_least(
        min_gap_s=config.min_gap_s, min_duration_s=config.min_duration_s
    )
    if config.threshold is not None:
        decoder = held_against(decoder, config.threshold)
    detector.decoder = decoder
    return detector


def _single(given: str, source: Path, output_dir: Path | None) -> AudioInput:
    if given == "-":
        if sys.stdin.isatty():
            raise UserError("input=-: standard input is a terminal; pipe a recording into sedtf")
        base = (output_dir or Path()) / "stdin"
        return AudioInput(path=Path("standard input"), base=base, pipe_is_stdin=True)
    if not source.exists():
        raise DataError(f"input={given}: no such file or folder")
    return AudioInput(path=source, base=(output_dir or source.parent) / source.stem)


def _predict_all(
    detector: Detector, items: list[AudioInput], unsearched: list[Path], config: PredictConfig
) -> None:
    n_done = n_events = 0
    rates: list[int] = []
    failed = [str(path) for path in unsearched]
    for item in tqdm(items, desc="predict", unit="file", disable=None):
        try:
            found = _predict_one(detector, item, config, rates)
            _write_events(item, found, config.format)
        except DataError as error:
            log.warning("%s", error)
            failed.append(str(item.path))
            continue
        n_done += 1
        n_events += sum(len(one.detections) for one in found.values())
    _warn_of_bands(detector, rates)
    log.info("%d of %d recordings done, %d events", n_done, len(items), n_events)
    if failed:
        raise SedtfError(
            f"{len(failed)} could not be read, for the reasons above: {cut_short(failed, _SHOWN)}"
        )


def _warn_of_bands(detector: Detector, rates: Sequence[int]) -> None:
    f_max = getattr(detector.log_mel, "f_max", None)  # of a front end that has one
    for fault in band_faults(rates, detector.log_mel.sample_rate, f_max):
        log.warning("%s", fault)


def _predict_one(
    detector: Detector, item: AudioInput, config: PredictConfig, rates: list[int]
) -> Found:
    """Find the events of a recording, and add its sample rate to ``rates``."""
    outputs = Outputs(
        scores=partial(item.written, SCORES_ENDING) if config.probabilities else None,
        timeline=partial(item.written, ".timeline.png") if config.timeline else None,
    )
    with item.open() as reader, _progress(item, reader) as progress, _writing(item):
        rates.append(reader.sample_rate)
        return find_events(
            detector,
            reader,
            name=item.name,
            path=item.absolute,
            channels=cast(Channels, config.channels),
            outputs=outputs,
            progress=progress,
        )


def _write_events(item: AudioInput, found: Found, format: str) -> None:
    """Write one file, or one a channel where the format holds one recording only."""
    known = FORMATS.get(format)
    ending = f".events{'.jsonl' if known is None else known.ending}"
    parts = {item.written(ending): found}
    if known is not None and not known.names_files and len(found) > 1:
        parts = {item.written(ending, name): {name: one} for name, one in found.items()}
    for path, part in parts.items():
        text = dump_events(part, format)
        with _writing(item), replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _writing(item: AudioInput) -> Iterator[None]:
    """Say where results could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{item.base.parent}: cannot be written to ({error.strerror}); "
            f"name another folder with output_dir="
        ) from error


@contextmanager
def _progress(item: AudioInput, reader: AudioReader) -> Iterator[Callable[[float], None]]:
    """Show how much of a long recording is done."""
    with tqdm(
        total=None if reader.header_s is None else round(reader.header_s),
        desc=item.name,
        unit=" s of audio",
        leave=False,
        delay=2,  # a short one needs no bar
        disable=None,
    ) as bar:

        def show(done_s: float) -> None:
            bar.update(round(done_s) - bar.n)

        yield show
