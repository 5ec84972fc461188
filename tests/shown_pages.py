"""What single pages need beyond the workshop: songs, a sweep under way, names in programs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sed_cli.data.annotations import Event, read_annotations, write_annotations
from sed_cli.system.files import write_json
from sed_cli.system.records import Plan, Planned, this_process

NOTES = tuple(f"note_{number}" for number in range(9))
_RATE_HZ = 32000
_ANNOTATED, _NEW = 40, 5  # songs of the tutorial


def has_real_songs() -> bool:
    """Whether the recordings are at hand from which the tutorial was written."""
    return "SEDTF_REAL_DATA" in os.environ


def prepare(page: str, folder: Path) -> None:
    """Make what the commands and programs of a page need."""
    if page in _PREPARED:
        _PREPARED[page](folder)


# ------------------------------------------------------------------------------------ recordings


def _add_songs(folder: Path) -> None:
    """The 40 songs with Audacity's labels, and five without, as the tutorial describes them."""
    songs = list(_real_songs() if has_real_songs() else _drawn_songs(_ANNOTATED + _NEW, NOTES))
    shutil.rmtree(folder / "recordings")
    shutil.rmtree(folder / "new")
    for index, (samples, events) in enumerate(songs):
        place = folder / ("recordings" if index < _ANNOTATED else "new")
        place.mkdir(exist_ok=True)
        soundfile.write(place / f"song_{index:03}.wav", samples, _RATE_HZ, subtype="PCM_16")
        if index < _ANNOTATED:
            write_annotations(
                place / f"song_{index:03}.txt", {f"song_{index:03}.wav": events}, "audacity"
            )


def _real_songs() -> list[tuple[Any, list[Event]]]:
    root = Path(os.environ["SEDTF_REAL_DATA"]) / "birdsong"
    tables = [read_annotations(root / f"{split}.tsv") for split in ("train", "validation", "test")]
    every = {name: events for table in tables for name, events in table.events.items()}
    names = sorted(every)[: _ANNOTATED + _NEW]
    return [(soundfile.read(root / "audio" / name)[0], every[name]) for name in names]


def _drawn_songs(n_songs: int, notes: Sequence[str]) -> list[tuple[Any, list[Event]]]:
    """Songs of two seconds: each note 80 ms of a tone of its own, in a fixed order."""
    random = np.random.default_rng(3)
    songs = []
    for first in range(n_songs):
        samples = random.normal(0, 0.01, 2 * _RATE_HZ)
        events = []
        for step in range(12):
            note = (first + step) % len(notes)
            onset_s = 0.1 + 0.15 * step
            times_s = np.arange(int(0.08 * _RATE_HZ)) / _RATE_HZ
            start = int(onset_s * _RATE_HZ)
            tone = 0.3 * np.sin(2 * np.pi * (1000 + 500 * note) * times_s)
            samples[start : start + len(tone)] += tone
            events.append(Event(onset_s, onset_s + 0.08, notes[note]))
        songs.append((samples, events))
    return songs


def _add_birds(folder: Path) -> None:
    """Two birds that share five notes."""
    for name, notes in (
        ("bird0", NOTES),
        ("bird1", (*NOTES[:5], *(f"b_{number}" for number in range(4)))),
    ):
        shutil.rmtree(folder / name)
        (folder / name).mkdir()
        for index, (samples, events) in enumerate(_drawn_songs(9, notes)):
            soundfile.write(folder / name / f"{index}.wav", samples, _RATE_HZ)
            write_annotations(folder / name / f"{index}.txt", {f"{index}.wav": events}, "audacity")


# ------------------------------------------------------------------------------------------ runs


def _add_sweep_under_way(folder: Path) -> None:
    """A sweep with a job of each status; `made_small` names it to ``sedtf status``."""
    sweep = folder / UNDER_WAY
    jobs = {
        "sampler=scheduled,seed=0": ("completed", 25, 0.863),
        "sampler=scheduled,seed=1": ("running", 11, 0.791),
        "sampler=scheduled,seed=2": ("failed", 3, 0.112),
    }
    for name, (status, epochs, best) in jobs.items():
        record: dict[str, Any] = {"status": status, "verb": "train"}
        record |= {"process": this_process()} if status == "running" else {}
        if status == "failed":
            record["error"] = (
                "SedtfError: the loss of update 81 became nan: lower trainer.lr or set "
                "trainer.grad_norm; the last good epoch is kept"
            )
        (sweep / name / ".hydra").mkdir(parents=True)
        write_json(sweep / name / "run.json", record)
        rows = [f"{epoch},{best * epoch / epochs},17.0" for epoch in range(1, epochs + 1)]
        history = "\n".join(["epoch,validation_f1,seconds", *rows])
        (sweep / name / "history.csv").write_text(history)
        config = "trainer: {epochs: 25, monitor: validation_f1}"
        (sweep / name / ".hydra" / "config.yaml").write_text(config)
    planned = [Planned(name, [], "", epochs=25) for name in (*jobs, "sampler=free_running,seed=0")]
    Plan("train", [], planned, parallel=2, process=this_process()).write(sweep)


UNDER_WAY = "SWEEP_UNDER_WAY"


def _hear_everything(folder: Path) -> None:
    """Thresholds so low that the hardly trained detector finds events."""
    path = folder / "RUN" / "checkpoints" / "best" / "postprocessing.json"
    values = json.loads(path.read_text())
    values["thresholds"] = dict.fromkeys(values["thresholds"], 0.01)
    path.write_text(json.dumps(values))


_PREPARED: dict[str, Callable[[Path], None]] = {
    "own_audio.md": _hear_everything,
    "sweeps.md": _add_sweep_under_way,
    "transfer.md": _add_birds,
    "tutorial_own_recordings.md": _add_songs,
    "tutorial_teacher_forcing.md": _add_songs,
}


def names_of(page: str) -> dict[str, Any]:
    """Names that a program on a page takes for granted."""
    random = np.random.default_rng(0)
    if page == "own_audio.md":
        return {"microphone": list(random.normal(0, 0.1, (4, 48000)).astype(np.float32))}
    if page == "export.md":
        return {"chunks": list(random.normal(-40, 9, (3, 1, 5, 40)).astype(np.float32))}
    return {}
