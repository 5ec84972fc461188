"""``sedtf synth``: soundscapes with annotations and a recipe, in a run folder."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from rich.table import Table

from sed_cli.audio import read_audio
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import SoundscapesConfig
from sed_cli.config.provenance import RunRecord
from sed_cli.config.tools import SynthConfig
from sed_cli.data.annotations import FORMATS
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.data.soundscapes.recipe import RECIPE_FILE, Recipe, check_bank, read_recipe
from sed_cli.data.soundscapes.writing import Written
from sed_cli.errors import SedtfError
from sed_cli.reports.figures import RollItem, piano_rolls
from sed_cli.reports.tables import results_console

_HYDRA_WORDS = ("null", "true", "false", "nan", "inf")
_PICTURED_OF = 20  # the busiest of the first so many recordings is drawn


def synthesise(config: SynthConfig, run_dir: Path) -> None:
    """Run ``sedtf synth``.

    Raises:
        DataError: for faults of the bank, the syntax, the recipe or the format.
        SedtfError: if a recipe gives different bytes from before.
    """
    assert isinstance(config.data, SoundscapesConfig)
    with RunRecord(run_dir, "synth", config, seed=config.data.seed) as record:
        recipe = _recipe(config, config.data)
        partial = run_dir / f".{uuid.uuid4().hex[:8]}.partial"
        try:
            recordings = generate_soundscapes(
                partial, recipe, strict=config.data.strict, n_workers=config.workers
            )
            # The recipe comes last: if it exists, the data set is complete.
            for path in sorted(partial.iterdir(), key=lambda path: path.name == RECIPE_FILE):
                path.rename(run_dir / path.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        written = read_recipe(run_dir / RECIPE_FILE)
        record.update(data_fingerprint=written.sha256)
        if config.figure:
            _draw(run_dir, written, recordings)
        _print(run_dir, written, recordings)
        _refuse_other_bytes(recipe, written)


def _recipe(config: SynthConfig, data: SoundscapesConfig) -> Recipe:
    if config.recipe is None:
        return plan_soundscapes(data, format=config.format)
    recipe = read_recipe(Path(config.recipe).expanduser())
    if recipe.bank is not None and data.bank is not None:
        moved = replace(recipe.bank, folder=Path(data.bank).expanduser())
        recipe = replace(recipe, bank=moved)
    check_bank(recipe)
    return recipe


def _refuse_other_bytes(before: Recipe, now: Recipe) -> None:
    if before.sha256 in (None, now.sha256):
        return
    libraries = [
        f"{name} {now.versions.get(name)} instead of {version}"
        for name, version in before.versions.items()
        if now.versions.get(name) != version
    ]
    raise SedtfError(
        "the recipe produced different bytes this time: "
        + (", ".join(libraries) or "the libraries are the same, so the processor differs")
        + "; the data set is written, but it is not bit-identical"
    )


# --------------------------------------------------------------------------------- results

_Recordings = Mapping[tuple[str, int], Written]


def _draw(run_dir: Path, recipe: Recipe, recordings: _Recordings) -> None:
    """Draw the recording with the most events among the first few."""
    settings = recipe.settings
    task = max(list(recordings)[:_PICTURED_OF], key=lambda task: len(recordings[task].events))
    path = run_dir / "audio" / task[0] / recordings[task].name
    hop = settings.sample_rate // 50
    log_mel = LogMelConfig(
        sample_rate=settings.sample_rate,
        window_length=2 * hop,
        hop_length=hop,
        n_fft=1 << (2 * hop - 1).bit_length(),
        n_mels=40,
    ).build()
    waveform = torch.from_numpy(read_audio(path, settings.sample_rate))
    item = RollItem(
        name=path.name,
        log_mel=log_mel(waveform[None])[0, 0].numpy(),
        hop_s=hop / settings.sample_rate,
        reference=[placed.event for placed in recordings[task].events],
        predicted=None,
        classes=settings.classes,
        centres_hz=log_mel.centres_hz,
    )
    piano_rolls(run_dir / "figures" / "scene.png", [item])


def _print(run_dir: Path, recipe: Recipe, recordings: _Recordings) -> None:
    """Print a summary: recordings, minutes, events and, for a bank, sources per class."""
    minutes = len(recordings) * recipe.settings.duration_s / 60
    splits = ", ".join(f"{recipe.settings.n_recordings(split)} {split}" for split in SPLITS)
    title = f"{len(recordings)} soundscapes ({splits}), {minutes:.1f} minutes"
    table = Table(title=title, caption=_caption(recipe))
    table.add_column("class", no_wrap=True)
    columns = _count(recipe, recordings)
    for split, counted in columns:
        table.add_column(f"{split}\n{counted}", justify="right")
    for label in recipe.settings.classes:
        table.add_row(label, *(str(len(found[label])) for found in columns.values()))
    table.add_section()
    totals = (len(set().union(*found.values())) for found in columns.values())
    table.add_row("all", *map(str, totals), style="bold")
    console = results_console()
    console.print(table)
    command = _train_command(run_dir, recipe, recordings)
    for line in (f"run folder: {run_dir}", f"train on it: {command}"):
        console.print(line, highlight=False, soft_wrap=True)


def _count(
    recipe: Recipe, recordings: _Recordings
) -> dict[tuple[str, str], dict[str, set[object]]]:
    """Return the events and the sources of each class, by split and kind."""
    splits = [split for split in SPLITS if recipe.settings.n_recordings(split)]
    counted = ("events", "sources") if recipe.bank else ("events",)
    columns: dict[tuple[str, str], dict[str, set[object]]] = {
        (split, what): defaultdict(set) for split in splits for what in counted
    }
    source_of = {clip.file: clip.source for clip in recipe.bank.clips} if recipe.bank else {}
    for (split, number), recording in recordings.items():
        for index, placed in enumerate(recording.events):
            label = placed.event.label
            columns[split, "events"][label].add((number, index))
            if recipe.bank:
                clip = placed.source.rsplit("[", 1)[0]
                columns[split, "sources"][label].add(source_of[clip])
    return columns


def _caption(recipe: Recipe) -> str | None:
    if recipe.bank is None:
        return None
    if recipe.bank.split_by == "sources":
        return "bank split by randomly drawn sources"
    return f"bank split by its {recipe.bank.split_by}"


def _train_command(run_dir: Path, recipe: Recipe, recordings: _Recordings) -> str:
    known = FORMATS[recipe.format]
    words = ["sedtf", "train", "data=annotated", f"data.root={run_dir}"]
    for split in SPLITS:
        name = f"{split}{known.ending}" if known.names_files else f"annotations/{split}"
        if not recipe.settings.n_recordings(split):
            words.append(f"data.{split}=null")
        elif name != f"{split}.tsv":
            words.append(f"data.{split}.annotations={name}")
    learnt = {
        placed.event.label
        for (split, _), recording in recordings.items()
        for placed in recording.events
        if split == "train"
    }
    if not learnt.issuperset(recipe.settings.classes):  # otherwise the annotations name them all
        words.append(f"data.classes=[{','.join(map(_quoted, recipe.settings.classes))}]")
    return shlex.join(words)


def _quoted(label: str) -> str:
    """Quote a label so that Hydra reads it as text."""
    is_plain = re.fullmatch(r"[A-Za-z]\w*", label) and label.casefold() not in _HYDRA_WORDS
    return label if is_plain else json.dumps(label, ensure_ascii=False)
