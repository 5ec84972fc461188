"""How long do soundscapes from a bank take? 100 minutes of 16 classes, up to four events at a time.

The bank has 40 clips of 5 s per class, 44.1 kHz in Ogg Vorbis like those of ESC-10: synthetic
events with silence around them, six of the classes played slower. Clips are examined, decoded again
where they are used, resampled to 16 kHz, mixed and written as FLAC. Wall time and the processor
time of all processes, for one and for two workers. Writes ``synthesis.{csv,md}``.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measure import options, write_table
from sed_cli.config.data import SoundscapesConfig
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.data.soundscapes.voices import VOICES, synthesise

N_CLASSES, N_CLIPS, RATE, CLIP_S = 16, 40, 44_100, 5.0


def write_bank(folder: Path) -> None:
    """Write the clips, in five folds."""
    voices = sorted(VOICES)
    for number in range(N_CLASSES):
        voice, slow = voices[number % len(voices)], number >= len(voices)
        label = f"slow_{voice}" if slow else voice
        (folder / label).mkdir()
        for clip in range(N_CLIPS):
            rng = np.random.default_rng([number, clip])
            event = synthesise(voice, rng, round(RATE * 1.4) if slow else RATE)
            waveform = 1e-4 * rng.standard_normal(round(CLIP_S * RATE))
            heard = event[: len(waveform)]
            start = int(rng.integers(0, len(waveform) - len(heard) + 1))
            waveform[start : start + len(heard)] += 0.5 * heard
            path = folder / label / f"{1 + clip % 5}-{1000 * number + clip}-A.ogg"
            soundfile.write(path, waveform, RATE)


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    n_recordings = 60 if arguments.quick else 600
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bank").mkdir()
        write_bank(folder / "bank")
        sixth = n_recordings // 6
        config = SoundscapesConfig(
            bank=str(folder / "bank"),
            n_train=4 * sixth,
            n_validation=sixth,
            n_test=sixth,
            polyphony=4,
        )
        minutes = n_recordings * config.duration_s / 60
        for n_workers in (1, 2):
            wall, processor = time.perf_counter(), _processor_s()
            generate_soundscapes(folder / "set", plan_soundscapes(config), n_workers=n_workers)
            wall, processor = time.perf_counter() - wall, _processor_s() - processor
            shutil.rmtree(folder / "set")
            rows.append(
                {
                    "workers": n_workers,
                    "minutes of audio": minutes,
                    "wall s": wall,
                    "processor s": processor,
                    "times real time": 60 * minutes / wall,
                }
            )
    print(write_table(arguments.output / "synthesis", "Soundscapes from a bank", rows))


def _processor_s() -> float:
    """Processor time in seconds of this process and of all its child processes that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(options(__doc__ or ""))
