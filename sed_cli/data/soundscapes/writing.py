"""Soundscapes on disk: every recording from its own seed, in parallel, all or nothing."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sed_cli.data.soundscapes.mixing import Mixture, mix_scene
from sed_cli.data.soundscapes.scenes import Scene, Syntax, compose_scene, draw_syntax
from sed_cli.data.soundscapes.settings import GENERATOR_VERSION, SPLITS, SoundscapeSettings
from sed_cli.data.soundscapes.sources import ProceduralEvents
from sed_cli.errors import DataError, SedtfError, UserError

HEADER = "filename\tonset\toffset\tevent_label"
SETTINGS_FILE = "settings.json"

RECORDINGS_PER_WORKER = 10
"""Fewer than this a worker, and starting it takes longer than it saves."""

# First numbers of the spawn keys. Splits have streams of their own, so they share no event, and
# a larger split begins with the recordings of a smaller one.
_SYNTAX_KEY = 0
_SPLIT_KEYS = {split: 1 + number for number, split in enumerate(SPLITS)}
_SCENE_KEY, _MIX_KEY = 0, 1

Progress = Callable[[int, int], None]
_Rows = list[str]


def write_soundscapes(
    folder: Path,
    settings: SoundscapeSettings,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a set of soundscapes, unless it is already there.

    Writes ``audio/SPLIT/SPLIT_0000.flac`` (one channel, 16 bit), ``SPLIT.tsv`` (filename, relative
    to ``audio/SPLIT``, onset and offset in seconds, event_label; a file without events is a row
    with empty fields) for train, validation and test, and ``settings.json`` (settings, generator
    version and the syntax that was drawn). The same settings give the same bytes, whatever
    ``n_workers``.

    The folder appears complete or not at all: it is written under another name beside it and then
    renamed. Of two processes that write the same set at once, the slower one finds it done.

    Args:
        folder: where to; its parents are made.
        settings: what to write.
        n_workers: processes; 1 stays in this one, ``None`` takes one for each available core. A
            script that asks for several needs an ``if __name__ == "__main__"`` guard.
        progress: called with (recordings done, recordings in all) after each one.

    Raises:
        DataError: if the folder holds something else, or soundscapes of other settings.
        UserError: if ``n_workers`` is below 1.
    """
    folder = Path(folder)
    if n_workers is not None and n_workers < 1:
        raise UserError(f"n_workers={n_workers}: expected at least 1, or none for every core")
    if _is_written(folder, settings):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _write_all(partial, settings, n_workers, progress)
        _publish(partial, folder, settings)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def compose_recording(
    settings: SoundscapeSettings, split: str, number: int
) -> tuple[Scene, Mixture]:
    """Return what recording ``number`` of ``split`` consists of, without writing anything."""
    scene = compose_scene(
        ProceduralEvents(classes=settings.classes, sample_rate=settings.sample_rate),
        syntax_of(settings),
        split=split,
        n_samples=settings.n_samples,
        sample_rate=settings.sample_rate,
        polyphony=settings.polyphony,
        snr_db=settings.snr_db,
        empty_fraction=settings.empty_fraction,
        stream=_stream(settings, _SPLIT_KEYS[split], number, _SCENE_KEY),
    )
    rng = np.random.default_rng(_stream(settings, _SPLIT_KEYS[split], number, _MIX_KEY))
    return scene, mix_scene(scene, noise_slope=settings.noise_slope, rng=rng)


@lru_cache(maxsize=8)
def syntax_of(settings: SoundscapeSettings) -> Syntax:
    """Return the class syntax of a set: drawn from its seed, the same for all splits."""
    return draw_syntax(
        settings.classes,
        strength=settings.syntax_strength,
        gap_s=settings.gap_s,
        rng=np.random.default_rng(_stream(settings, _SYNTAX_KEY)),
    )


def _stream(settings: SoundscapeSettings, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(settings.seed, spawn_key=key)


def _description(settings: SoundscapeSettings) -> dict[str, Any]:
    return {
        "generator": GENERATOR_VERSION,
        "settings": settings.as_json(),
        "syntax": syntax_of(settings).as_json(),
    }


def _is_written(folder: Path, settings: SoundscapeSettings) -> bool:
    """Tell whether the folder holds this very set.

    Raises:
        DataError: if it holds anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        found = {"generator": found["generator"], **found["settings"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} exists and holds no generated soundscapes: expected a new or an empty "
            "folder; name another one"
        ) from error
    expected = {"generator": GENERATOR_VERSION, **settings.as_json()}
    differing = [
        f"{name}={found.get(name)} instead of {value}"
        for name, value in expected.items()
        if found.get(name) != value
    ]
    if differing:
        raise DataError(
            f"{folder} holds soundscapes of other settings ({', '.join(differing)}): name another "
            "folder, or delete this one to have it written anew"
        )
    return True


def _publish(partial: Path, folder: Path, settings: SoundscapeSettings) -> None:
    try:
        partial.rename(folder)
    except OSError:
        # Another process was faster: fine if it wrote the same.
        if not _is_written(folder, settings):
            raise


def _write_all(
    root: Path, settings: SoundscapeSettings, n_workers: int | None, progress: Progress | None
) -> None:
    """Write the whole set under ``root``, which must not exist."""
    for split in SPLITS:
        (root / "audio" / split).mkdir(parents=True)
    tasks = [(split, number) for split in SPLITS for number in range(settings.n_recordings(split))]
    rows: dict[tuple[str, int], _Rows] = {}
    # Closed before the folder is cleared: no worker may still be writing into it then.
    with contextlib.closing(
        _run(tasks, root, settings, _n_workers(n_workers, len(tasks)))
    ) as written:
        for task, its_rows in written:
            rows[task] = its_rows
            if progress is not None:
                progress(len(rows), len(tasks))
    for split in SPLITS:
        lines = [HEADER]
        for number in range(settings.n_recordings(split)):
            lines += rows[split, number]
        _write_text(root / f"{split}.tsv", "\n".join(lines) + "\n")
    _write_text(root / SETTINGS_FILE, json.dumps(_description(settings), indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    # The same bytes everywhere: no translation of line ends.
    path.write_text(text, encoding="utf-8", newline="\n")


def _n_workers(asked: int | None, n_recordings: int) -> int:
    if asked is not None:
        return asked
    n_cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    return max(1, min(n_cores, n_recordings // RECORDINGS_PER_WORKER))


def _run(
    tasks: list[tuple[str, int]], root: Path, settings: SoundscapeSettings, n_workers: int
) -> Generator[tuple[tuple[str, int], _Rows], None, None]:
    """Write every recording and yield (task, its annotation rows) in the order of completion."""
    if n_workers == 1:
        for split, number in tasks:
            yield (split, number), _write_recording(root, settings, split, number)
        return
    # Spawned, not forked: the calling process may hold the threads of a numeric library.
    pool = ProcessPoolExecutor(n_workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        with _without_interrupts():
            futures = {pool.submit(_write_recording, root, settings, *task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise SedtfError(
            "a process that writes soundscapes ended abruptly: it ran out of memory, or the "
            'calling script lacks an `if __name__ == "__main__"` guard; n_workers=1 needs neither'
        ) from error
    finally:
        # Reached on Ctrl-C too: what has begun takes milliseconds, the rest is dropped.
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while workers start: they inherit the mask, so that it reaches only us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write_recording(root: Path, settings: SoundscapeSettings, split: str, number: int) -> _Rows:
    """Write one recording's audio and return its rows of the annotation table."""
    scene, mixture = compose_recording(settings, split, number)
    name = f"{split}_{number:04d}.flac"
    samples = np.round(mixture.waveform * 32767).astype(np.int16)
    soundfile.write(root / "audio" / split / name, samples, settings.sample_rate, subtype="PCM_16")
    if not scene.events:
        return [f"{name}\t\t\t"]
    return [
        f"{name}\t{_seconds(event.onset, scene)}\t{_seconds(event.offset, scene)}"
        f"\t{event.source.label}"
        for event in scene.events
    ]


def _seconds(sample: int, scene: Scene) -> str:
    # Rounded down, so that no offset lies beyond the end of the file.
    return f"{math.floor(sample / scene.sample_rate * 10_000) / 10_000:.4f}"
