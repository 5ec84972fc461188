"""Every reader of files from untrusted sources, by name: tests give them hostile files.

Each takes the path of a file. It returns, or raises one of :data:`REFUSALS` with a one-line
message: anything else is a defect. Every new reader in sedtf must be added here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sed_cli.audio.facts import inspect_audio
from sed_cli.audio.files import audio_blocks
from sed_cli.audio.networks import Network, NetworkSettings
from sed_cli.audio.recorded import recorded_at
from sed_cli.config.data import EVENT_CLASSES
from sed_cli.data.annotations import FORMATS, read_annotations
from sed_cli.data.cache.digests import file_digest
from sed_cli.data.cache.packs import Pack
from sed_cli.data.pseudo_labels import PseudoLabels
from sed_cli.data.published.parts import read_names
from sed_cli.data.score_tables import ScoreTable, _durations
from sed_cli.data.soundscapes.bank import file_sha256
from sed_cli.data.soundscapes.bank_splits import read_split_table
from sed_cli.data.soundscapes.recipe import read_recipe
from sed_cli.data.soundscapes.transitions import read_transition
from sed_cli.decoding.saved import POSTPROCESSING, read_decoder
from sed_cli.errors import UserError
from sed_cli.reports import figures
from sed_cli.system import hydra_records, records
from sed_cli.system.structured import (
    check_yaml,
    read_json,
    read_json_object,
    read_plain,
    read_settings,
    read_yaml,
)
from sed_cli.tasks.sequence.data.files import read_lines, read_pairs
from sed_cli.training.checkpoint import CONFIG, WEIGHTS, load_weights, read_classes, read_config
from sed_cli.training.initial import digest_of
from sed_cli.training.state import STATE, read_state
from tests.models.making import make_crnn

REFUSALS = (UserError, OSError, ValueError)

Reader = Callable[[Path], Any]


def _as(name: str, read: Reader) -> Reader:
    """A reader of a folder, applied to a file with this name in it."""

    def read_in_folder(path: Path) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                shutil.copyfile(path, place)
            else:
                place.symlink_to(path.absolute())
            return read(Path(folder))

    return read_in_folder


def _config(folder: Path) -> Any:
    (folder / WEIGHTS).write_bytes(b"")
    return read_config(folder)


def _scores(path: Path) -> Any:
    return _as("a.csv", lambda folder: ScoreTable.read(folder / "a.csv"))(path)


READERS: dict[str, Reader] = {
    "json": read_json,
    "json object": read_json_object,
    "yaml": read_yaml,
    "settings": read_settings,
    "a user's yaml": check_yaml,
    "text": read_plain,
    "run.json": _as(records.RUN, records.read_record),
    "sweep.json": _as(records.SWEEP, records.Plan.read),
    "history.csv": records.read_history,
    "history.csv as drawn": figures.read_history,
    ".hydra/config.yaml": _as(".hydra/config.yaml", records.run_settings),
    ".hydra/hydra.yaml": _as(".hydra/hydra.yaml", hydra_records.choices_in),
    ".hydra/overrides.yaml": _as(".hydra/overrides.yaml", hydra_records.given_words),
    "config.yaml": _as(CONFIG, _config),
    "classes.json": _as("classes.json", read_classes),
    "model.safetensors": _as(
        WEIGHTS, lambda folder: load_weights(make_crnn(n_mels=40, n_classes=2), folder)
    ),
    "weights to start from": digest_of,
    "pseudo_labels.safetensors": PseudoLabels.read,
    "training_state.pt": _as(STATE, read_state),
    "postprocessing.json": _as(
        POSTPROCESSING, lambda folder: read_decoder(folder, ["a", "b"], 0.02)
    ),
    "pack": Pack,
    "front_end.onnx": lambda path: Network(path, NetworkSettings(40, None, (), None)),
    "audio": inspect_audio,
    "decoded audio": lambda path: [block.shape for block in audio_blocks(path, 16000)],
    "time of a recording": recorded_at,
    "hash of audio": file_digest,
    "hash of a clip": file_sha256,
    "annotations": read_annotations,
    **{
        f"annotations as {name}": lambda path, name=name: read_annotations(path, format=name)
        for name in FORMATS
    },
    "names of a published set": read_names,
    "scores": _scores,
    "durations": _durations,
    "recipe.json": read_recipe,
    "transitions": lambda path: read_transition(str(path), EVENT_CLASSES),
    "splits of a bank": lambda path: read_split_table(path, ["a.wav", "b.wav"]),
    "lines": read_lines,
    "pairs": lambda path: read_pairs(path, "source", "target"),
}

OF_PIPES = {"audio", "decoded audio"}
"""Which are read to their end: ``predict`` takes them."""


def try_to_read(name: str, path: Path) -> str:
    """Read a file; return the reason for a refusal, or "" if it was read.

    Raises:
        AssertionError: if the message of a refusal is not a single line.
    """
    refusal = None
    try:
        READERS[name](path)
    except REFUSALS as error:
        refusal = error
    if refusal is None:
        return ""
    assert str(refusal).strip(), f"{name}: {type(refusal).__name__} without a word"
    return str(refusal)
