"""Third-party front end, augmentation, logger, format and rule: a class each, no change of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sed_cli.audio import FeatureStream
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config import plugins, training
from sed_cli.config.identity import identity
from sed_cli.config.registry import component_named, joined
from sed_cli.config.values import build
from sed_cli.data.annotations import FORMATS, Event, read_annotations, write_annotations
from sed_cli.data.augment import Augmenter
from sed_cli.data.cache.features import FeatureCache
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf

PLUGIN = '''
from pathlib import Path
from typing import ClassVar

import torch

from sed_cli.audio.features import FrontEnd
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config.registry import component
from sed_cli.config.settings import setting
from sed_cli.config.training import FeatureConfig
from sed_cli.data.annotations.events import Event
from sed_cli.data.annotations.format import AnnotationFormat
from sed_cli.data.annotations.rows import RowCollector
from sed_cli.data.augmentation import Augmentation
from sed_cli.training.logger import Logger


class _Smoothed(FrontEnd):
    def __init__(self, config):
        super().__init__(
            sample_rate=config.sample_rate, window_length=1024, hop_length=config.hop_length,
            n_fft=2048, n_features=config.n_kept,
        )
        own = {"sample_rate": config.sample_rate, "hop_length": config.hop_length}
        self._mel = [LogMelConfig(**own).build()]

    def frames(self, samples):
        return self._mel[0].frames(samples)[..., : self.n_features]

    def follow(self, frames, state):
        out = []
        for frame in frames.unbind(1):
            state = frame if state is None else 0.5 * (state + frame)
            out.append(state)
        return torch.stack(out, 1), state


@component("front_end", "smoothed")
class Smoothed(FeatureConfig):
    """Each frame with some of those before it."""

    n_kept: int = setting(8, "bands that are kept", at_least=1)

    @property
    def n_features(self):
        return self.n_kept

    def build(self):
        return _Smoothed(self)


@component("augmentation", "frequency_shift")
class FrequencyShift(Augmentation):
    """Move all bands."""

    frequency_shift: int = setting(0, "greatest shift", unit="bands", at_least=0)

    @property
    def is_active(self):
        return self.frequency_shift > 0

    def apply(self, item, draws, others, prepared):
        draw = draws.generator("frequency_shift")
        shift = int(draw.integers(-self.frequency_shift, self.frequency_shift + 1))
        return item._replace(log_mel=item.log_mel.roll(shift, 1))


@component("logger", "lines")
class Lines(Logger):
    """A line of JSON an epoch."""

    @classmethod
    def faults(cls):
        return ["it takes a pen"] if Path("no_pen").exists() else []

    def start(self, run):
        self._path = run.folder / "lines.txt"
        self._write(f"from {run.n_epochs} seed {run.config['seed']}")

    def log(self, epoch):
        self._write(f"epoch {epoch.epoch}")

    def close(self):
        self._write("closed" + self.has_failed * " after an exception")

    def _write(self, line):
        with self._path.open("a") as file:
            print(line, file=file)


@component("format", "words")
class Words(AnnotationFormat):
    """Lines such as: a bell from 1 to 2."""

    ending: ClassVar[str] = ".words"
    names_files: ClassVar[bool] = False

    def fits(self, text, options):
        return text.path.suffix == self.ending

    def read(self, text, options):
        collector = RowCollector(text, options)
        for number, line in enumerate(filter(None, text.lines), start=1):
            _, label, _, onset, _, offset = line.split()
            collector.add(number, text.path.stem, onset, offset, label)
        return collector.finish(self.name, names_files=False)

    def dump(self, events, durations_s):
        ((_, of_file),) = events.items()
        return "".join(f"a {e.label} from {e.onset_s:.6f} to {e.offset_s:.6f}\\n" for e in of_file)
'''

RULE = '''
from sed_cli.config.registry import component
from sed_cli.models.feedback import FeedbackRule


@component("feedback", "faint")
class Faint(FeedbackRule):
    """Half of a draw."""

    draws = True

    def activities(self, logits, noise):
        return 0.5 * (noise < logits.sigmoid())

    def fed(self, chosen, before):
        assert chosen.shape == before.shape
        return chosen.maximum(0.5 * before)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    plugins.use([path])
    yield path
    plugins.use([])


def test_a_front_end_streams_and_has_a_cache_of_its_own(plugin: Path, tmp_path: Path) -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 60_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", waveform, 16000, subtype="FLOAT")
    feature = component_named("front_end", "smoothed")()
    features = feature.build()
    whole = features(torch.from_numpy(waveform)[None])[0, 0].numpy()

    stream = FeatureStream(features)
    pieces = [stream.push(piece) for piece in np.array_split(waveform, 7)] + [stream.finish()]
    caches = [FeatureCache(tmp_path / "cache", each) for each in (feature, LogMelConfig())]
    stored, log_mel = (cache.load([tmp_path / "a.wav"])[0].log_mel for cache in caches)

    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(stored[:], whole)
    assert log_mel[:].shape == (len(whole), 40)
    n_caches = len(list((tmp_path / "cache" / "features").iterdir()))
    plugin.write_text(PLUGIN.replace("0.5 *", "0.25 *"))  # different numbers with the same settings
    FeatureCache(tmp_path / "cache", feature).load([tmp_path / "a.wav"])
    assert len(list((tmp_path / "cache" / "features").iterdir())) == n_caches + 1


def test_an_augmentation_adds_its_keys_and_leaves_runs_without_it_as_they_are(
    plugin: Path,
) -> None:
    before = identity(training.AugmentConfig())
    config = joined(training.AugmentConfig)
    assert [each.name for each in fields(config)][-1] == "frequency_shift"
    assert not {"frequency_shift", "band_shift"} & set(identity(config()))  # added later
    assert {"roll", "frequency_masks"} <= set(identity(config()))
    assert before == {}
    augmenter = Augmenter(
        build(config, {"frequency_shift": 3}), feature=LogMelConfig(), fill=torch.zeros(40), seed=0
    )
    item = torch.arange(40.0).expand(5, 40), torch.zeros(5, 1)
    shifts = {int(augmenter([item], 1, 0, epoch).log_mel[0, 0]) for epoch in range(40)}
    assert shifts == {37, 38, 39, 0, 1, 2, 3}


def test_a_format_is_written_detected_and_read(plugin: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.words"
    write_annotations(path, {"a.wav": [Event(1.0, 2.5, "bell")]}, "words")
    assert path.read_text() == "a bell from 1.000000 to 2.500000\n"
    found = read_annotations(path)
    assert [(e.onset_s, e.offset_s, e.label) for e in found.events[path.stem]] == [
        (1.0, 2.5, "bell")
    ]
    assert [*FORMATS][:2] == ["words", "desed"]


def test_a_front_end_and_a_logger_work_from_the_command_line(
    plugin: Path, tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [
        f"plugins=[{plugin}]",
        *("feature=smoothed", "trainer.loggers=[lines,csv]", "augment.frequency_shift=1"),
        *("trainer.batch_size=2", "trainer.epochs=1", "trainer.min_epoch_updates=1"),
        *("model.conv_channels=2", "model.rnn_hidden=3", "model.pooling=[2,2,2]"),
        *("data.n_train=2", "data.n_validation=1", "data.n_test=1", "data.duration_s=2.0"),
        *("data.sequence_length=40", "output_dir=run"),
    ]
    assert sedtf("train", *settings) == 0
    assert not Path("run/tensorboard").exists()
    resumed = sedtf("train", "resume=run", f"plugins=[{plugin}]", "trainer.epochs=2")
    assert resumed == 0
    lines = Path("run/lines.txt").read_text().splitlines()
    assert lines == ["from 0 seed 0", "epoch 1", "closed", "from 1 seed 0", "epoch 2", "closed"]
    assert len(Path("run/history.csv").read_text().splitlines()) == 3
    capfd.readouterr()

    audio = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write("a.wav", audio, 16000)
    options = ("checkpoint=run", "input=a.wav", "format=jsonl", f"plugins=[{plugin}]")
    assert sedtf("predict", *options) == 0
    assert all(json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert sedtf("export", "checkpoint=run", "output_dir=out", f"plugins=[{plugin}]") == 2
    assert "feature.kind=logmel only" in capfd.readouterr().err
    assert sedtf("train", *settings, "augment=mixup") == 2
    assert "augment.mixup needs the power of bands" in capfd.readouterr().err
    assert sedtf("train", *settings, "trainer.loggers=[lines]") == 2
    assert "trainer.loggers=['lines']: expected csv" in capfd.readouterr().err
    Path("no_pen").touch()
    assert sedtf("train", *settings) == 2
    assert "trainer.loggers=['lines', 'csv']: it takes a pen" in capfd.readouterr().err
    Path("no_pen").unlink()
    diverging = ("trainer.lr=1e30", "trainer.grad_norm=null", "trainer.max_updates=3")
    assert sedtf("train", *settings, *diverging, "output_dir=bad") == 1
    assert Path("bad/lines.txt").read_text().splitlines()[-1] == "closed after an exception"


def test_a_rule_of_feedback_works_from_the_command_line(
    tmp_path: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "rule.py"
    plugin.write_text(RULE)
    own = f"plugins=[{plugin}]"
    settings = ["sampler.feedback=faint", *TINY, *TINY_SOUNDSCAPES]
    assert sedtf("train", own, *settings, "trainer.epochs=1", "output_dir=run") == 0
    assert sedtf("train", own, "resume=run", "trainer.epochs=2") == 0
    assert sedtf("train", own, *settings, "trainer.epochs=2", "output_dir=at_once") == 0
    of_epochs = [pd.read_csv(f"{run}/history.csv")["train_loss"].tolist() for run in RUNS]
    assert of_epochs[0] == of_epochs[1]  # its random draws are resumed too
    assert sedtf("eval", own, "checkpoint=run", "output_dir=again") == 0
    metrics = [json.loads(Path(run, "metrics.json").read_text()) for run in ("run", "again")]
    assert metrics[0]["frame"] == metrics[1]["frame"]
    capfd.readouterr()

    assert sedtf("eval", "checkpoint=run", "output_dir=no") == 2
    fault = capfd.readouterr().err
    assert "feedback 'faint' is unknown: expected one of hard, sampled, soft, delayed" in fault
    assert f"it was trained with plugins=[{plugin}]: add that to the command" in fault
    assert sedtf("train", *settings, "output_dir=no") == 2
    assert "feedback=faint: no such option; expected one of delayed, hard" in capfd.readouterr().err
    assert sedtf("train", own, "task=sequence", "sampler.feedback=faint", "output_dir=no") == 2
    assert "sampler.feedback=faint feeds back activities" in capfd.readouterr().err


RUNS = ("run", "at_once")
