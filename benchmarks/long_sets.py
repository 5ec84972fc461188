"""How much memory and time does training on a data set of ten hours take?

Ten stereo recordings of an hour at 44.1 kHz, and 36,000 of one second (with --quick, a fortieth of
each): repeated clips of ESC-10 if ``SEDTF_REAL_DATA`` names a folder that contains it, otherwise
noise. ``sedtf train`` runs on each twice, for 30 updates: the first run computes the features, the
second finds them. For comparison, one of the hours is decoded and transformed as a whole, as
earlier versions did. Memory is the maximum of one process (RSS), and the maximum of all of them
together, with shared memory counted once (PSS; Linux only). Run it alone, as it writes 9 GB to the
temporary folder. Writes ``long_sets.{csv,md}``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.measure import options, write_table
from sed_cli.data.annotations import Event, write_annotations

RATE = 44_100
Clip = tuple[str, NDArray[np.int16]]
WHOLE = """
import sys
import soundfile, soxr, torch
from sed_cli.audio import LogMel
torch.set_num_threads(1)
samples, rate = soundfile.read(sys.argv[1], dtype="float32")
waveform = soxr.resample(samples.mean(axis=1), rate, 16000)
LogMelConfig().build()(torch.from_numpy(waveform)[None])
"""


def main(arguments: argparse.Namespace) -> None:
    """Build the data sets, train on them, and write the table."""
    hours = 0.25 if arguments.quick else 10.0
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SEDTF_CACHE"] = str(folder / "cache")
        clips = _clips()
        n_long = max(1, int(hours))
        sets = {
            f"{n_long} of {hours / n_long:g} h": (n_long, hours / n_long * 3600, 2),
            f"{int(hours * 3600):,} of a second": (int(hours * 3600), 1.0, 1),
        }
        for number, (title, sizes) in enumerate(sets.items()):
            root = folder / str(number)
            _write_set(root, clips, *sizes)
            for run in ("first run", "second run"):
                output = folder / f"run {number} {run}"
                rows.append({"set": title, "what": run, **measured(_train(root, output))})
        whole = [sys.executable, "-c", WHOLE, str(folder / "0" / "audio" / "train_0.wav")]
        rows.append({"set": "one of the hours", "what": "decoded as a whole", **measured(whole)})
    print(write_table(arguments.output / "long_sets", f"{hours:g} hours of audio", rows))


def _train(root: Path, output: Path) -> list[str]:
    settings = [
        "data=annotated",
        f"data.root={root}",
        "trainer.epochs=1",
        "trainer.max_updates=30",
        f"output_dir='{output}'",
        "device=cpu",
    ]
    return [sys.executable, "-m", "sed_cli", "train", *settings]


def _clips() -> list[Clip]:
    """Clips of five seconds with their labels."""
    real = os.environ.get("SEDTF_REAL_DATA")
    if real:
        paths = sorted(Path(real, "esc10").rglob("*.ogg"))[::4]
        return [(path.parent.name, soundfile.read(path, dtype="int16")[0]) for path in paths]
    random = np.random.default_rng(0)
    levels = 10.0 ** np.linspace(1.5, 4, 20)
    return [
        (f"level_{number % 5}", random.normal(0, level, 5 * RATE).clip(-32767, 32767).astype("i2"))
        for number, level in enumerate(levels)
    ]


def _write_set(
    root: Path, clips: Sequence[Clip], n_files: int, length_s: float, n_channels: int
) -> None:
    (root / "audio").mkdir(parents=True)
    random = np.random.default_rng(0)
    n_others = max(1, n_files // 100)
    for split, count in {"train": n_files, "validation": n_others, "test": n_others}.items():
        table = {}
        for number in range(count):
            name = f"{split}_{number}.wav"
            duration_s = length_s if split == "train" else min(length_s, 300.0)
            table[name] = _write_recording(
                root / "audio" / name, clips, duration_s, n_channels, random
            )
        write_annotations(root / f"{split}.tsv", table)


def _write_recording(
    path: Path,
    clips: Sequence[Clip],
    length_s: float,
    n_channels: int,
    random: np.random.Generator,
) -> list[Event]:
    """Write consecutive clips, each an event except for its ends."""
    events = []
    left = round(length_s * RATE)
    with soundfile.SoundFile(path, "w", RATE, n_channels, subtype="PCM_16") as file:
        while left:
            label, samples = clips[int(random.integers(len(clips)))]
            samples = samples[random.integers(len(samples) // 2) :][:left].copy()
            samples[:8] = random.integers(-9, 9, len(samples[:8]))  # so that no two files are equal
            onset_s = length_s - left / RATE
            if len(samples) > RATE // 2:
                events.append(Event(onset_s + 0.1, onset_s + len(samples) / RATE - 0.1, label))
            file.write(np.repeat(samples[:, None], n_channels, axis=1))
            left -= len(samples)
    return events


def measured(command: Sequence[str]) -> dict[str, object]:
    """Run a command; return its times and its memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    together, single = 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        family = _family(process.pid)
        together = max(together, sum(_held(pid, "smaps_rollup", "Pss") for pid in family))
        single = max(single, *(_held(pid, "status", "VmHWM") for pid in family))
        time.sleep(0.3)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall s": time.perf_counter() - start,
        "cpu s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "MiB, one process": single / 2**20,
        "MiB, all": together / 2**20,
    }


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _family(int(child)))]


def _held(pid: int, file: str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:  # the process has ended
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{key}:")), 0)


if __name__ == "__main__":
    main(options(__doc__ or ""))
