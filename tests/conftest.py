"""The small worlds that tests live in: a cache of their own, real audio files, quick trainings."""

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

# The least of everything, so that a training takes a second or two.
TINY = (
    "trainer=smoke",
    "model.conv_channels=4",
    "model.rnn_hidden=8",
    "device=cpu",  # where runs repeat to the last bit
)
ANNOTATED = (
    *TINY,
    "data=annotated",
    "data.leak_check=copies",  # the recordings share their noise: excerpts would be compared
    "data.sequence_length=50",
)
# As `trained_run` is trained: until both classes are detected.
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
    """Settings of a training with the default loss and optimiser, and a pass an epoch."""
    chosen = {"loss": BinaryCrossEntropy(), "optimizer": Adam(), "min_epoch_updates": 1}
    return TrainerConfig(**{**chosen, **settings})


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests, and share one between the tests of a session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEDTF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("SEDTF_DEBUG", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small models are faster on one thread, above all where tests run side by side."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """A training flushes some sixty files: that is held by tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _options_are_composed_once() -> Iterator[None]:
    """The options of groups that a command chooses are composed anew by each process of a user.

    That is a third of the time of a small training, for what is the same in hundreds of tests.
    Where plugins or folders of configs are named it is done each time: it may come out otherwise.
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
    """Hydra's handlers of an earlier job would write to what stood for standard error then."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures, and make none of trainings: it takes more than half the time of small ones.

    A test that looks at the files asks for the fixture ``drawn``, one of whatever figures are made
    of for ``made``. Fixtures of a module or of the session, and processes of their own, draw as
    ever.
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
    """Have figures of trainings and evaluations made, if not written."""


@pytest.fixture
def drawn() -> None:
    """Have figures written as a user gets them."""


@pytest.fixture
def sedtf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sedtf:
    """Run a verb as the command line does, in an empty working folder; return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(verb: str, *overrides: str, **flags: object) -> int:
        return run_verb(verb, overrides, Flags(**flags))  # type: ignore[arg-type]

    return run


def what_it_imports(arguments: Sequence[str], packages: set[str]) -> set[str]:
    """Run the command in a process of its own; return which of the packages it has imported."""
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
    """Quiet noise with a tone wherever an event is: (n_samples,)."""
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
    """Two kinds of tones in wav, flac and ogg at three rates, one or two channels."""
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
    """A run folder of a short training on the recordings; not to be changed."""
    run_dir = tmp_path_factory.mktemp("run") / "trained"
    settings = [*TRAINED, f"data.root={recordings}", f"output_dir={run_dir}"]
    code = run_verb("train", settings, Flags())
    assert code == 0
    return run_dir


@pytest.fixture
def real_data() -> Path:
    """Folder of real recordings; the test is skipped where it is not at hand."""
    folder = os.environ.get("SEDTF_REAL_DATA")
    if not folder:
        pytest.skip("SEDTF_REAL_DATA is not set")
    return Path(folder)
