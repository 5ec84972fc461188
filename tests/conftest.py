"""Shared fixtures: a separate cache, real audio files, quick training runs."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hydra.types import RunMode
from numpy.typing import NDArray
from omegaconf import read_write

from sed_cli.cli import hydra
from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.config.files import conf_dir
from sed_cli.config.registry import plugin_components
from sed_cli.config.trainer import TrainerConfig
from sed_cli.data.annotations import Event, write_annotations
from sed_cli.reports import style
from sed_cli.tasks.detection import evaluate, task
from sed_cli.training.losses.bce import BinaryCrossEntropy
from sed_cli.training.optimizers.adam import Adam

Sedtf = Callable[..., int]

# Minimal sizes, so that training takes a second or two.
TINY = (
    "trainer=smoke",
    "model.conv_channels=4",
    "model.rnn_hidden=8",
    "device=cpu",  # runs are bit-identical there
)
ANNOTATED = (
    *TINY,
    "data=annotated",
    "data.leak_check=copies",  # the recordings share their noise, which would count as copies
    "data.sequence_length=50",
)
# Settings of `trained_run`: long enough that both classes are detected.
TRAINED = (
    *ANNOTATED,
    "trainer.min_epoch_updates=20",
    "trainer.lr=0.01",
)
TINY_SOUNDSCAPES = (
    "data.n_train=6",
    "data.n_validation=3",
    "data.n_test=3",
    "data.duration_s=4.0",
    "data.sequence_length=64",
)


def trainer_config(**settings: Any) -> TrainerConfig:
    """Training settings with the default loss and optimiser, and one pass per epoch."""
    chosen = {"loss": BinaryCrossEntropy(), "optimizer": Adam(), "min_epoch_updates": 1}
    return TrainerConfig(**{**chosen, **settings})


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary cache, shared by the tests of a session, instead of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEDTF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("SEDTF_DEBUG", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small models are faster on one thread, above all if tests run in parallel."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """Skip flushing to disk: training flushes about sixty files; separate tests cover it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _options_are_composed_once() -> Iterator[None]:
    """Cache the composed group options, which every process of a user composes anew.

    That takes a third of the time of a small training run, and is the same in hundreds of tests.
    If plugins or folders of configs are named, nothing is cached: the result may differ.
    """
    compose, known = hydra.ConfigLoaderImpl._load_configuration_impl, {}
    ours = {str(conf_dir()), "pkg://hydra.conf", "structured://"}

    def composed(self: Any, name: str, choices: list[str], *more: Any, **options: Any) -> Any:
        places = {place.path for place in self.config_search_path.get_path()}
        is_special = places - ours or plugin_components() or "searchpath" in "".join(choices)
        if is_special or options or more != (RunMode.RUN,):
            return compose(self, name, choices, *more, **options)
        key = (name, *choices)
        if key not in known:
            known[key] = compose(self, name, choices, *more)
        found = known[key] if self.resumed is None else copy.deepcopy(known[key])
        with read_write(found):
            found.hydra.runtime.cwd = str(Path.cwd())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra.ConfigLoaderImpl, "_load_configuration_impl", composed)
        yield


@pytest.fixture(autouse=True)
def _no_old_log_handlers() -> None:
    """Handlers of an earlier Hydra job would write to the standard error of that time."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip figures, including those of training: they take more than half of its time.

    A test that looks at the files uses the fixture ``drawn``, one that needs the content of
    figures uses ``made``. Fixtures of a module or of the session, and separate processes, draw as
    usual.
    """
    if "drawn" in request.fixturenames:
        return
    monkeypatch.setattr(style, "save_figure", lambda figure, path: None)
    monkeypatch.setattr(style, "save_png", lambda figure, path: None)
    if "made" not in request.fixturenames:
        monkeypatch.setattr(task, "learning_curves", lambda *history, **options: None)
        monkeypatch.setattr(evaluate, "piano_rolls", lambda *items: None)


@pytest.fixture
def made() -> None:
    """Compute the figures of training and evaluation, without writing them."""


@pytest.fixture
def drawn() -> None:
    """Write figures, as for a user."""


@pytest.fixture
def sedtf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sedtf:
    """Run a verb like the command line, in an empty working folder; return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(verb: str, *overrides: str, **flags: object) -> int:
        return run_verb(verb, overrides, Flags(**flags))  # type: ignore[arg-type]

    return run


def what_it_imports(arguments: Sequence[str], packages: set[str]) -> set[str]:
    """Run the command in a separate process; return which of the packages it imported."""
    script = f"""
import sys
from sed_cli.app import main
sys.argv = ["sedtf", *{list(arguments)!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.stderr.write("imported: " + " ".join({packages!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rsplit("imported: ", 1)[1].split())


def tone(
    frequency: float, duration_s: float, sample_rate: int, events: list[Event]
) -> NDArray[np.float64]:
    """Quiet noise, with a tone during each event: (n_samples,)."""
    n_samples = int(duration_s * sample_rate)
    time = np.arange(n_samples) / sample_rate
    waveform = 0.005 * np.random.default_rng(int(frequency)).standard_normal(n_samples)
    for event in events:
        pitch = frequency * (1.0 if event.label == "low" else 2.7)
        active = (time >= event.onset_s) & (time < event.offset_s)
        waveform += 0.3 * active * np.sin(2 * np.pi * pitch * time)
    return waveform


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of tones as wav, flac and ogg at three rates, with one or two channels."""
    root = tmp_path_factory.mktemp("recordings")
    (root / "audio").mkdir()
    random = np.random.default_rng(7)
    formats = [("wav", 8000, 1), ("flac", 44100, 2), ("ogg", 22050, 1)]
    for split, n_files in (("train", 6), ("validation", 3), ("test", 3)):
        table: dict[str, list[Event]] = {}
        for index in range(n_files):
            ending, rate, n_channels = formats[index % 3]
            name = f"{split}_{index}.{ending}"
            starts = np.sort(random.uniform(0.1, 2.4, 3)).round(3)
            events = [
                Event(float(start), float(start) + 0.4, str(random.choice(["low", "high"])))
                for start in starts
            ]
            events = [] if split == "test" and index == 2 else sorted(set(events))
            mono = tone(500.0, 3.0, rate, events)
            audio = np.stack([mono] * n_channels, axis=1)
            soundfile.write(root / "audio" / name, audio, rate)
            table[name] = events
        write_annotations(root / f"{split}.tsv", table)
    return root


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """Run folder of a short training run on the recordings; must not be changed."""
    run_dir = tmp_path_factory.mktemp("run") / "trained"
    settings = [*TRAINED, f"data.root={recordings}", f"output_dir={run_dir}"]
    code = run_verb("train", settings, Flags())
    assert code == 0
    return run_dir


@pytest.fixture
def real_data() -> Path:
    """Folder of real recordings; the test is skipped if it is not available."""
    folder = os.environ.get("SEDTF_REAL_DATA")
    if not folder:
        pytest.skip("SEDTF_REAL_DATA is not set")
    return Path(folder)
