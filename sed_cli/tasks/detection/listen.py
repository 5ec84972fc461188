"""``sedtf listen``: events in raw PCM from standard input as it arrives."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sed_cli.audio import LOUDEST
from sed_cli.config.provenance import choose_device, set_threads
from sed_cli.config.tools import ListenConfig
from sed_cli.decoding.decoder import StreamEvent
from sed_cli.errors import UserError
from sed_cli.tasks.detection.load import load

log = logging.getLogger(__name__)

_BYTES = 2**16  # the most read at once; less is processed as soon as it arrives
_DTYPES = {"s16": ("<i2", 2.0**-15), "s32": ("<i4", 2.0**-31), "f32": ("<f4", 1.0)}


def listen(config: ListenConfig) -> None:
    """Run ``sedtf listen``: print a JSON line when an event starts, and when it ends.

    If interrupted, it reports the ends of active events before it stops.

    Raises:
        UserError: if standard input is a terminal, or the checkpoint cannot be used.
        KeyboardInterrupt: if it was interrupted.
    """
    if sys.stdin.isatty():
        raise UserError(
            "standard input is a terminal: pipe raw PCM into sedtf, "
            "such as arecord -q -t raw -f S16_LE -r 16000 | sedtf listen checkpoint=..."
        )
    with set_threads(config.threads):
        detector = load(config.checkpoint, choose_device(config.device))
        rate = config.sample_rate or detector.log_mel.sample_rate
        # Compilation and allocation on first use must not hold up the first samples.
        detector.stream(rate).push(np.zeros(rate, np.float32))
        stream = detector.stream(rate)
        log.info(
            "listening: %s, %d Hz, %d channel(s); events are reported within %.0f ms of audio",
            *(config.dtype, rate, config.channels, 1000 * stream.latency_s),
        )
        with _interruptible() as interrupts:
            blocks = pcm_blocks(_ReadHere(sys.stdin.buffer, interrupts), config)
            for samples in blocks:
                _print(stream.push(samples))
            _print(stream.finish())
        if interrupts.happened:
            raise KeyboardInterrupt


def pcm_blocks(source: Any, config: ListenConfig) -> Iterator[NDArray[np.float32]]:
    """Yield the samples as they arrive, (n, n_channels), full scale at -1 and 1.

    Any number of bytes may arrive at a time. Floats that are not audio count as silence: once they
    corrupt a state, it never recovers.

    Args:
        source: has ``read1(n)``: returns the next bytes, at most ``n``, none at the end.
        config: sample type and number of channels.
    """
    dtype, scale = _DTYPES[config.dtype]
    n_bytes = np.dtype(dtype).itemsize * config.channels
    held, warned = b"", False
    while read := source.read1(_BYTES):
        held += read
        usable = len(held) - len(held) % n_bytes
        samples = np.frombuffer(held[:usable], dtype).reshape(-1, config.channels)
        held = held[usable:]
        samples = samples * np.float64(scale)
        is_audio = np.abs(samples) <= LOUDEST  # false for NaN
        if not is_audio.all():
            if not warned:
                log.warning("samples out of range are read as silence: check dtype")
            warned = True
            samples = np.where(is_audio, samples, 0.0)
        yield samples.astype(np.float32)
    if held:
        log.warning("the last %d byte(s) make no full sample: check dtype and channels", len(held))


def _print(reports: Sequence[StreamEvent]) -> None:
    for report in reports:
        values: dict[str, Any] = {
            "event": report.kind,
            "time": round(report.time_s, 6),
            "event_label": report.label,
            "confidence": round(report.confidence, 4),
        }
        if report.kind == "end":
            values |= {"onset": round(report.onset_s, 6), "offset": values["time"]}
        sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
    if reports:
        sys.stdout.flush()


class _Interrupts:
    """Handler of Ctrl-C and SIGTERM: ends the wait for input, but never work in progress."""

    def __init__(self) -> None:
        self.happened = False
        self.waits = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.happened = True
        if self.waits:
            raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, interrupts)
    except ValueError:  # not the main thread, which alone may handle signals
        pass
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _ReadHere:
    """Standard input that ends at an interrupt."""

    def __init__(self, source: Any, interrupts: _Interrupts) -> None:
        self._source = source
        self._interrupts = interrupts

    def read1(self, size: int) -> bytes:
        """Return the next bytes, or none at the end."""
        try:
            self._interrupts.waits = True  # before the check, so that no interrupt is missed
            read: bytes = b"" if self._interrupts.happened else self._source.read1(size)
            return read
        except KeyboardInterrupt:
            return b""
        finally:
            self._interrupts.waits = False
