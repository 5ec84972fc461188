"""``sedtf listen`` through real pipes: its input, the time of its reports, and its end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.config.tools import ListenConfig
from sed_cli.decoding.tracking import StreamEvent
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.listen import listen, pcm_blocks
from tests.conftest import Sedtf

RATE = 16_000
SCALES = {"s16": ("<i2", 2**15), "s32": ("<i4", 2**31), "f32": ("<f4", 1)}


def sound(n_samples: int = 3 * RATE, seed: int = 0) -> NDArray[np.float64]:
    """Bursts of noise, in steps of 16 bits."""
    random = np.random.default_rng(seed)
    level = np.repeat(random.uniform(0, 0.5, -(-n_samples // 4000)), 4000)[:n_samples]
    samples: NDArray[np.float64] = np.round(level * random.uniform(-1, 1, n_samples) * 2**15)
    return samples / 2**15


def pcm(samples: NDArray[np.float64], dtype: str = "s16") -> bytes:
    kind, scale = SCALES[dtype]
    return (samples * scale).astype(kind).tobytes()


class Dribble:
    """A source that returns a few bytes at a time, as pipes may."""

    def __init__(self, content: bytes, sizes: Sequence[int]) -> None:
        self._source = io.BytesIO(content)
        self._sizes = sizes
        self._n_reads = 0

    def read1(self, size: int) -> bytes:
        self._n_reads += 1
        return self._source.read(min(size, self._sizes[self._n_reads % len(self._sizes)]))


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from(sorted(SCALES)),
    channels=st.integers(1, 6),
    n_samples=st.integers(0, 300),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_samples_come_whole_from_any_number_of_bytes(
    dtype: str, channels: int, n_samples: int, sizes: list[int]
) -> None:
    samples = sound(n_samples * channels).reshape(n_samples, channels)
    config = ListenConfig(dtype=dtype, channels=channels)

    blocks = list(pcm_blocks(Dribble(pcm(samples, dtype), sizes), config))

    assert all(block.shape[1] == channels and block.dtype == np.float32 for block in blocks)
    joined = np.concatenate([np.empty((0, channels)), *blocks])
    np.testing.assert_array_equal(joined, samples)


def test_half_a_sample_at_the_end_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    config = ListenConfig(dtype="s16", channels=2)

    blocks = list(pcm_blocks(io.BytesIO(b"\0\1\0\1\0"), config))

    assert [len(block) for block in blocks] == [1]
    assert caplog.messages == ["the last 1 byte(s) make no full sample: check dtype and channels"]


def test_what_is_no_audio_is_silence_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    values = np.array([0.5, np.nan, np.inf, -np.inf, 1e30, -0.5] * 3, "<f4")

    (block,) = pcm_blocks(io.BytesIO(values.tobytes()), ListenConfig(dtype="f32"))

    assert block[:, 0].tolist() == [0.5, 0, 0, 0, 0, -0.5] * 3
    assert caplog.messages == ["samples out of range are read as silence: check dtype"]


def lines_of(reports: Sequence[StreamEvent]) -> list[dict[str, Any]]:
    """The expected output."""
    lines = []
    for report in reports:
        line: dict[str, Any] = {"event": report.kind, "time": round(report.time_s, 6)}
        line |= {"event_label": report.label, "confidence": round(report.confidence, 4)}
        if report.offset_s is not None:
            line |= {"onset": round(report.onset_s, 6), "offset": round(report.offset_s, 6)}
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("dtype", "channels", "rate"), [("s16", 1, None), ("f32", 2, 44_100), ("s32", 6, 8000)]
)
def test_what_is_printed_is_what_a_stream_reports(
    dtype: str,
    channels: int,
    rate: int | None,
    lively: Path,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    samples = np.stack([sound(2 * (rate or RATE), seed) for seed in range(channels)], axis=1)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcm(samples, dtype))))

    listen(ListenConfig(checkpoint=str(lively), dtype=dtype, channels=channels, sample_rate=rate))

    stream = detector.stream(rate)
    reports = stream.push(samples) + stream.finish()
    printed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(printed) > 3
    # The times and confidences do not depend on the pieces; the order within a piece may.
    assert sorted(map(str, printed)) == sorted(map(str, lines_of(reports)))


@contextmanager
def listening(lively: Path, *overrides: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command and wait until it listens."""
    command = [sys.executable, "-m", "sed_cli", "listen", f"checkpoint={lively}", *overrides]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **options}
    with subprocess.Popen(command, stderr=subprocess.PIPE, **options) as process:
        patience = Timer(100, process.kill)  # whatever is waited for below
        patience.start()
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith(b"listening: ")
            yield process
        finally:
            patience.cancel()
            process.kill()


@pytest.mark.slow
def test_reports_come_through_a_fifo_before_more_samples_than_the_latency_are_in_it(
    lively: Path, detector: Detector, tmp_path: Path
) -> None:
    """Nothing on the way waits for more: each line is read before the next sample is written.

    Finally interrupted, it reports the ends of active events.
    """
    stream = detector.stream()
    samples, hop = sound(), 512
    reader, writer = fifo(tmp_path / "microphone")
    with listening(lively, stdin=reader) as process, writer:
        os.close(reader)
        assert process.stdout is not None
        n_lines, begun = 0, list[str]()
        for first in range(0, len(samples), hop):
            # Odd numbers of bytes: the second write completes a sample.
            content = pcm(samples[first : first + hop])
            for part in (content[:333], content[333:]):
                writer.write(part)
                writer.flush()
            reports = stream.push(samples[first : first + hop])
            for expected in lines_of(reports):
                assert json.loads(process.stdout.readline()) == expected
                lag_s = stream.duration_s - expected["time"]
                assert lag_s <= stream.latency_s == (6 * 512 + 512 + 512) / RATE
                begun += [expected["event_label"]] if expected["event"] == "start" else []
                if expected["event"] == "end":
                    begun.remove(expected["event_label"])
                n_lines += 1
        assert n_lines > 5
        assert begun

        process.send_signal(signal.SIGINT)
        last = [json.loads(line) for line in process.stdout]
        begun += [line["event_label"] for line in last if line["event"] == "start"]
        ended = [line["event_label"] for line in last if line["event"] == "end"]
        assert sorted(ended) == sorted(begun)
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"sedtf: interrupted\n"


def fifo(path: Path) -> tuple[int, BinaryIO]:
    """Open both ends of a new named pipe; opening only one would block."""
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    reader, writer = os.open(path, os.O_RDONLY), path.open("wb")
    os.close(both)
    return reader, writer


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_it_without_a_fault(lively: Path) -> None:
    with listening(lively) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pcm(sound()))
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        try:
            for seed in range(20):
                process.stdin.write(pcm(sound(seed=seed)))
                process.stdin.flush()
        except BrokenPipeError:
            pass  # it has gone already
        assert process.wait() == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["dtype=u8"], "dtype=u8: expected one of s16, s32, f32"),
        (["channels=0"], "channels=0: expected a number from 1 to 256"),
        (["sample_rate=16"], "sample_rate=16: expected a number from 1000 to"),
        (["checkpoint=nowhere"], "checkpoint=nowhere: no such folder"),
    ],
)
def test_faults_are_reported_in_one_line(
    given: list[str],
    message: str,
    lively: Path,
    sedtf: Sedtf,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    assert sedtf("listen", f"checkpoint={lively}", *given) == 2

    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


def test_a_terminal_is_no_audio(
    lively: Path, sedtf: Sedtf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert sedtf("listen", f"checkpoint={lively}") == 2
    os.close(master)
    assert "standard input is a terminal: pipe raw PCM into sedtf" in capfd.readouterr().err


def test_silence_is_no_event_and_no_fault(
    lively: Path, sedtf: Sedtf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(2 * 10 * RATE))))

    assert sedtf("listen", f"checkpoint={lively}") == 0

    printed = capfd.readouterr()
    kinds = [json.loads(line)["event"] for line in printed.out.splitlines()]
    assert kinds.count("start") == kinds.count("end")
    assert printed.err.startswith("listening: s16, 16000 Hz, 1 channel(s); events are reported ")
    assert "within 256 ms of audio" in printed.err
