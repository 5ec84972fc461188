"""How fast is free-running inference of the default model, from the wave file to events?

One recording of four minutes at 16 kHz; the features by torchaudio (``feature=logmel``, the
default) and by torchlibrosa (``feature=logmel_torchlibrosa``), and the steps in between.
The weights are random: they affect the events, not the cost. Writes ``inference.{csv,md}``.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.measure import Task, medians, options, write_table
from sed_cli.audio import read_audio
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.tasks.detection.detector import Detector

SAMPLE_RATE, DURATION_S, CLASSES = 16_000, 240, ("a", "b", "c", "d", "e", "f")


def detector(backend: str, device: str) -> Detector:
    """Return an untrained detector with the sizes of ``model=crnn``."""
    torch.manual_seed(0)
    model = CRNNConfig().build(n_mels=40, n_classes=len(CLASSES))
    return Detector(
        model, log_mel=LogMelConfig(backend=backend).build(), classes=CLASSES, device=device
    )


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE * DURATION_S)
        soundfile.write(path, noise.astype(np.float32), SAMPLE_RATE)
        seconds = medians(
            _tasks(path, arguments.device),
            repeats=arguments.repeats,
            budget=arguments.budget,
            clock=arguments.clock,
        )
    rows: list[dict[str, object]] = [
        {"part": name, "ms": 1e3 * value, "times real time": DURATION_S / value}
        for name, value in seconds.items()
    ]
    title = f"Inference, {arguments.threads} thread(s), {arguments.clock} time"
    print(write_table(arguments.output / "inference", title, rows))


def _tasks(path: Path, device: str) -> dict[str, Task]:
    detectors = {
        "feature=logmel": detector("torchaudio", device),
        "feature=logmel_torchlibrosa": detector("torchlibrosa", device),
    }
    waveform = torch.from_numpy(read_audio(path, SAMPLE_RATE))[None]
    tasks: dict[str, Task] = {
        f"{name}: file to events": partial(each.predict, path) for name, each in detectors.items()
    }
    tasks["reading the file"] = partial(read_audio, path, SAMPLE_RATE)
    for name, each in detectors.items():
        tasks[f"{name}: features"] = partial(each.log_mel, waveform)
    model = detectors["feature=logmel"].model.eval()
    with torch.no_grad():
        log_mel = detectors["feature=logmel"].log_mel(waveform)[:, 0].to(device)
        features = model.encode(log_mel)
    tasks["convolutions"] = torch.no_grad()(partial(model.encode, log_mel))
    tasks["recurrence"] = torch.no_grad()(partial(model.decode, features))
    return tasks


if __name__ == "__main__":
    main(options(__doc__ or ""))
