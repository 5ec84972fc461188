"""What do long recordings and live audio cost: memory, time, latency? Does chunking matter?

``python -m benchmarks.long_files --checkpoint RUN [--audio FOLDER] [--hours 24]`` writes a
recording by repeating the audio in a folder (bursts of noise without one), runs ``sedtf predict``
on it and measures that process: peak memory, processor time, multiples of real time. Then it pushes
live audio hop by hop, and compares chunks with the whole at every frame of the first ``--whole``
minutes. Writes ``long_files.{csv,md}``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.measure import write_table
from sed_cli.audio import FeatureStream, Resampler, audio_blocks
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.load import load

Row = dict[str, object]


def main() -> None:
    """Measure and write the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    detector = load(arguments.checkpoint)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        path = Path(folder) / f"long.{arguments.format}"
        _write_long(path, arguments)
        rows = [
            *_predict_rows(path, arguments),
            *_live_rows(detector, path),
            *_seam_rows(detector, path, arguments.whole),
        ]
    title = f"{arguments.hours:g} h of {arguments.rate} Hz {arguments.format}, one thread, cpu time"
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(write_table(arguments.output / "long_files", title, rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint", required=True, help="a run, such as outputs/train/DATE/TIME"
    )
    parser.add_argument("--audio", type=Path, help="folder of recordings to repeat")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rate", type=int, default=16_000, help="of the long recording, in Hz")
    parser.add_argument("--format", choices=["wav", "flac"], default="flac")
    parser.add_argument("--whole", type=float, default=30.0, help="minutes compared with the whole")
    parser.add_argument("--scratch", help="folder with room for the recording")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"))
    return parser.parse_args()


def _write_long(path: Path, arguments: argparse.Namespace) -> None:
    n_left = round(arguments.hours * 3600 * arguments.rate)
    with soundfile.SoundFile(path, "w", arguments.rate, 1, "PCM_16") as file:
        while n_left > 0:
            for block in _material(arguments):
                file.write(block[:n_left])
                n_left = max(0, n_left - len(block))


def _material(arguments: argparse.Namespace) -> Iterator[NDArray[np.float32]]:
    if arguments.audio is None:
        random = np.random.default_rng(0)
        for level in random.uniform(0, 0.5, 300):
            yield np.asarray(level * random.uniform(-1, 1, arguments.rate), np.float32)
        return
    paths = sorted(p for p in arguments.audio.rglob("*") if p.suffix in (".ogg", ".wav", ".flac"))
    for path in paths:
        yield from audio_blocks(path, arguments.rate)


def _predict_rows(path: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Run the command and ask the kernel for its resource usage."""
    command = [sys.executable, "-m", "sed_cli", "predict", "device=cpu"]
    command += [f"checkpoint={arguments.checkpoint}", f"input={path}", "format=jsonl"]
    for settings in ([], ["probabilities=true", "timeline=true"]):
        with tempfile.TemporaryFile() as printed:
            given = [*settings, f"output_dir={path.parent / 'out'}"] if settings else []
            process = subprocess.Popen(
                [*command, *given],
                stdout=printed,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, process.returncode
        seconds = usage.ru_utime + usage.ru_stime
        name = " ".join(["predict", *settings])
        yield {"what": f"{name}: peak memory", "figure": usage.ru_maxrss / 1024, "unit": "MiB"}
        yield {"what": f"{name}: processor", "figure": seconds, "unit": "s"}
        speed = arguments.hours * 3600 / seconds
        yield {"what": f"{name}: start included", "figure": speed, "unit": "times real time"}


def _live_rows(detector: Detector, path: Path) -> Iterator[Row]:
    """Push a minute hop by hop, like live audio."""
    rate, hop = detector.log_mel.sample_rate, detector.log_mel.hop_length
    samples = np.concatenate(list(islice(_seconds(path, rate), 60)))
    stream = detector.stream()
    stream.push(samples[: 10 * rate])
    milliseconds = []
    for first in range(10 * rate, len(samples) - hop, hop):
        start = time.process_time()
        stream.push(samples[first : first + hop])
        milliseconds.append(1e3 * (time.process_time() - start))
    yield {"what": "live: one hop of audio", "figure": 1e3 * detector.hop_s, "unit": "ms"}
    yield {
        "what": "live: its cost, median",
        "figure": statistics.median(milliseconds),
        "unit": "ms",
    }
    worst = statistics.quantiles(milliseconds, n=100)[-1]
    yield {"what": "live: its cost, 99 of 100", "figure": worst, "unit": "ms"}
    for rate in (detector.log_mel.sample_rate, 8000, 44_100, 48_000):
        latency = 1e3 * detector.stream(rate).latency_s
        yield {"what": f"live: latency at {rate} Hz", "figure": latency, "unit": "ms"}


def _seam_rows(detector: Detector, path: Path, minutes: float) -> Iterator[Row]:
    """Compare chunks with a single pass of features and model, frame by frame."""
    rate = detector.log_mel.sample_rate
    samples = np.concatenate(list(islice(_seconds(path, rate), round(60 * minutes))))
    with torch.no_grad():
        log_mel = detector.log_mel(torch.from_numpy(samples)[None])[:, 0]
        logits = detector.model.eval()(log_mel, feedback=detector.feedback)
    whole = torch.sigmoid(logits)[0].numpy()
    stream = FeatureStream(detector.log_mel)
    sizes = np.random.default_rng(0).integers(1, 200_000, len(samples)).cumsum()
    pieces = np.split(samples, sizes[sizes < len(samples)])
    blocks = chain((stream.push(piece) for piece in pieces), (stream.finish() for _ in range(1)))
    chunks = [
        torch.sigmoid(chunk).numpy()
        for chunk in detector.logits_of_blocks(torch.from_numpy(block) for block in blocks)
    ]
    difference = float(np.abs(np.concatenate(chunks) - whole).max())
    what = f"chunks against the whole: largest difference in {len(whole)} frames"
    yield {"what": what, "figure": difference, "unit": "of a probability"}


def _seconds(path: Path, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield the recording in blocks of one second at another rate."""
    with soundfile.SoundFile(path) as file:
        resampler = Resampler(file.samplerate, rate)
        while len(block := file.read(file.samplerate, dtype="float32")):
            yield resampler.push(block)


if __name__ == "__main__":
    main()
