"""Time and memory for 100,000 files, a day of audio, 500 classes and 16 trainings on one cache.

Each part creates its data in a temporary folder and runs commands on it. ``--parts`` selects:
``files`` (``data``, ``train`` for a few updates, ``predict`` of all files, and once more),
``day`` (``predict`` of one recording), ``classes`` (``train``, ``eval``, ``report`` and ``compare``
with 500 classes) and ``cache`` (trainings started together on an empty cache). With --quick, a
hundredth of each. Time and memory as in :mod:`benchmarks.long_sets`. The reference is the row above
with half the size: a time or memory that more than doubles is a fault. Writes ``load.{csv,md}``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.long_sets import measured
from benchmarks.measure import write_table
from sed_cli.data.annotations import Event, write_annotations

RATE = 8000
_SMALL = (
    *("model.conv_channels=4", "model.rnn_hidden=8", "device=cpu", "trainer.threads=1"),
    *("feature.sample_rate=8000", "trainer.epochs=1", "trainer.max_updates=4"),
)
Row = dict[str, object]


def main(arguments: argparse.Namespace) -> None:
    """Run the parts, and write the table after each."""
    parts: dict[str, Callable[[Path, float], Iterator[Row]]] = {
        "files": _files,
        "day": _day,
        "classes": _classes,
        "cache": _cache,
    }
    rows: list[Row] = []
    for part in arguments.parts.split(","):
        with tempfile.TemporaryDirectory() as name:
            os.environ["SEDTF_CACHE"] = str(Path(name, "cache"))
            for row in parts[part](Path(name), arguments.scale / (100 if arguments.quick else 1)):
                rows.append(row)
                print(write_table(arguments.output / "load", "load", rows), flush=True)


def _files(folder: Path, scale: float) -> Iterator[Row]:
    for n_files in (round(50_000 * scale), round(100_000 * scale)):
        root, run = folder / str(n_files), folder / f"run{n_files}"
        title = f"{n_files:,} files"
        _write_set(root, n_files, 0.3, 5)
        split = [f"data.root={root}", "data=annotated", "data.leak_check=none"]
        yield {"load": title, "what": "data", **measured(_sedtf("data", *split))}
        train = _sedtf("train", *split, *_SMALL, f"output_dir={run}", "data.sequence_length=8")
        yield {"load": title, "what": "train", **measured(train)}
        words = [f"checkpoint={run}", f"input={root}/audio", f"output_dir={root}/found"]
        predict = _sedtf("predict", *words, "joined=true", "summary=true", "device=cpu")
        yield {"load": title, "what": "predict", **measured(predict)}
        yield {"load": title, "what": "predict again", **measured(predict)}


def _day(folder: Path, scale: float) -> Iterator[Row]:
    root, run = folder / "set", folder / "run"
    _write_set(root, 40, 2.0, 2)
    split = [f"data.root={root}", "data=annotated", "data.leak_check=none"]
    train = _sedtf("train", *split, *_SMALL, f"output_dir={run}", "data.sequence_length=50")
    measured(train)
    for hours in (12 * scale, 24 * scale):
        path = folder / "long.flac"
        block = np.random.default_rng(0).normal(0, 0.1, 60 * RATE).astype(np.float32)
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for _ in range(round(hours * 60)):
                file.write(np.roll(block, 17))
        words = [f"checkpoint={run}", f"input={path}", f"output_dir={folder}/found", "device=cpu"]
        yield {"load": f"{hours:g} h", "what": "predict", **measured(_sedtf("predict", *words))}


def _classes(folder: Path, scale: float) -> Iterator[Row]:
    for n_classes in (max(2, round(250 * scale)), max(4, round(500 * scale))):
        root, run = folder / str(n_classes), folder / f"run{n_classes}"
        _write_set(root, n_classes // 2, 2.0, n_classes, n_events=5)
        split = [f"data.root={root}", "data=annotated", "data.leak_check=none"]
        commands = {
            "train": ("train", *split, *_SMALL, f"output_dir={run}", "data.sequence_length=50"),
            "eval": ("eval", f"checkpoint={run}", f"output_dir={folder}/eval{n_classes}"),
            "report": ("report", str(run)),
            "compare": ("compare", str(run), str(run), f"output_dir={folder}/both{n_classes}"),
        }
        for what, words in commands.items():
            row = measured(_sedtf(*words))
            yield {"load": f"{n_classes} classes", "what": what, **row}


def _cache(folder: Path, scale: float) -> Iterator[Row]:
    root = folder / "set"
    _write_set(root, max(40, round(2000 * scale)), 1.0, 5)
    split = [f"data.root={root}", "data=annotated", "data.leak_check=none"]
    for n_runs in (8, 16):
        os.environ["SEDTF_CACHE"] = str(folder / f"cache{n_runs}")
        start = time.perf_counter()
        running = [
            subprocess.Popen(
                _sedtf("train", *split, *_SMALL, f"output_dir={folder}/run{n_runs}_{number}"),
                stdout=subprocess.DEVNULL,
            )
            for number in range(n_runs)
        ]
        failed = sum(process.wait() != 0 for process in running)
        if failed:
            raise SystemExit(f"{failed} of {n_runs} trainings failed")
        seconds = time.perf_counter() - start
        packs = list(Path(os.environ["SEDTF_CACHE"]).rglob("*.pack"))
        what = f"train, {len(packs)} packs"
        yield {"load": f"{n_runs} trainings on one cache", "what": what, "wall s": seconds}


def _sedtf(*words: str) -> list[str]:
    return [sys.executable, "-m", "sed_cli", *words]


def _write_set(
    root: Path, n_files: int, length_s: float, n_classes: int, n_events: int = 1
) -> None:
    """Write recordings that all differ, each with some events, every class in every split."""
    (root / "audio").mkdir(parents=True)
    random = np.random.default_rng(0)
    n_samples, each_s = round(length_s * RATE), length_s / n_events
    held_out = max(-(-n_classes // n_events), n_files // 100)
    number = 0
    for split, count in {"train": n_files, "validation": held_out, "test": held_out}.items():
        table: dict[str, list[Event]] = {}
        for _ in range(count):
            samples, name = random.normal(0, 0.01, n_samples), f"{number:06}.wav"
            table[name] = []
            for place in range(n_events):
                label = (number * n_events + place) % n_classes
                onset_s, offset_s = each_s * (place + 0.15), each_s * (place + 0.85)
                at = np.arange(round(onset_s * RATE), round(offset_s * RATE))
                samples[at] += 0.3 * np.sin(
                    2 * np.pi * (100 + 3700 * label / n_classes) / RATE * at
                )
                table[name].append(Event(onset_s, offset_s, f"class_{label:03}"))
            soundfile.write(root / "audio" / name, samples, RATE, subtype="PCM_16")
            number += 1
        write_annotations(root / f"{split}.tsv", table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"))
    parser.add_argument("--parts", default="files,day,classes,cache")
    parser.add_argument("--quick", action="store_true", help="a hundredth of each size")
    parser.add_argument("--scale", type=float, default=1.0, help="times each size")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    main(_arguments())
