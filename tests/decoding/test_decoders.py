"""A third-party decoder through the command line, and properties of every decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sed_cli.decoding.saved import read_decoder
from sed_cli.errors import CheckpointError
from sed_cli.tasks.detection.load import load
from tests.conftest import TRAINED, Sedtf

PLUGIN = '''
from dataclasses import dataclass

import numpy as np

from sed_cli.config import DecoderConfig, component, setting
from sed_cli.decoding.decoder import Decoder, Detection, StreamEvent, Tracker


@dataclass(frozen=True, kw_only=True)
class Loudest(Decoder):
    """One event a class: from its first frame above a level to its last."""

    NAME = "{NAME}"
    level: float
    n_training_events: int

    def decode(self, probabilities, duration_s=None):
        self.check(probabilities)
        found = []
        for label, column in zip(self.classes, probabilities.T):
            frames = np.flatnonzero(column >= self.level * column.max())
            onset_s, offset_s = frames[0] * self.hop_s, (frames[-1] + 1) * self.hop_s
            found.append(Detection(onset_s, offset_s, label, float(column.max())))
        return sorted(found)

    def tracker(self):
        return AtTheEnd(self)

    def as_json(self):
        note = {"kept": "tuned", "reason": "", "validation_events": 1, "gain": {"frame": 0.0}}
        return {
            "level": self.level,
            "n_training_events": self.n_training_events,
            "tuned_for": "frame",
            "tuning": {label: note for label in self.classes},
        }


class AtTheEnd(Tracker):
    latency_s = float("inf")

    def __init__(self, decoder):
        self.decoder, self.frames = decoder, []

    def push(self, probabilities, known_s):
        self.frames.append(probabilities)
        return []

    def finish(self, duration_s):
        found = self.decoder.decode(np.concatenate(self.frames), duration_s)
        return [
            StreamEvent(kind="end", label=d.label, onset_s=d.onset_s, offset_s=d.offset_s,
                        confidence=d.confidence)
            for d in found
        ]


@component("decoder", "loudest")
class LoudestConfig(DecoderConfig):
    """One event a class, where it is loudest."""

    level: float = setting(0.9, "share of the highest probability", above=0, at_most=1)

    def fit(self, task):
        assert task.tunes and len(task.validation) == sum(1 for _ in task.scored())
        assert [p.shape[1] for _, p in task.scored()] == [len(task.classes)] * len(task.validation)
        n = sum(len(recording.events) for recording in task.training())
        return Loudest(
            classes=task.classes, hop_s=task.hop_s, level=self.level, n_training_events=n
        )

    @classmethod
    def read(cls, values, classes, hop_s):
        return Loudest(
            classes=classes, hop_s=hop_s, level=float(values["level"]),
            n_training_events=int(values["n_training_events"]),
        )
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "loudest.py"
    path.write_text(PLUGIN.replace("{NAME}", "loudest"))
    return f"plugins=[{path}]"


def json_in(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_a_decoder_of_a_plugin_goes_through_all_verbs(
    plugin: str, recordings: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    own = (f"data.root={recordings}", "trainer.max_updates=2", "output_dir=run", plugin)
    chosen = "evaluation.decoder={name: loudest, level: 0.7}"

    assert sedtf("train", *TRAINED, *own, chosen) == 0

    saved = json_in(Path("run/checkpoints/best/postprocessing.json"))
    metrics = json_in(Path("run/metrics.json"))
    assert saved["decoder"] == metrics["decoder"] == "loudest"
    assert saved["level"] == metrics["level"] == 0.7
    assert metrics["plain"] is not None
    assert saved["n_training_events"] > 0
    settings = yaml.safe_load(Path("run/checkpoints/best/config.yaml").read_text())
    assert settings["evaluation"]["decoder"] == {"name": "loudest", "level": 0.7}

    assert sedtf("eval", "checkpoint=run", "output_dir=eval", plugin) == 0
    assert json_in(Path("eval/metrics.json")) == metrics

    source = next(iter(sorted((recordings / "audio").glob("test_*"))))
    capfd.readouterr()
    asked = (f"input={source}", "format=jsonl", plugin)
    assert sedtf("predict", "checkpoint=run", *asked) == 0
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {each["event_label"] for each in found} == {"high", "low"}
    assert len(found) == 2

    # Another decoder on the same training run, and the first one again with another setting.
    level = "evaluation.decoder={name: loudest, level: 0.2}"
    assert sedtf("eval", "checkpoint=run", level, "output_dir=anew", plugin) == 0
    assert json_in(Path("anew/metrics.json"))["level"] == 0.2
    back = "evaluation.decoder=threshold"
    assert sedtf("eval", "checkpoint=run", back, "output_dir=back", plugin) == 0
    again = json_in(Path("back/metrics.json"))
    assert (again["decoder"], again["tuned_for"]) == ("threshold", "frame")
    assert json_in(Path("run/checkpoints/best/postprocessing.json")) == saved

    assert sedtf("compare", "run", "back", "output_dir=table", plugin) == 0
    assert sedtf("report", "run", plugin) == 0
    capfd.readouterr()
    # Code that the command does not name is not run, and this is reported.
    assert sedtf("predict", "checkpoint=run", f"input={source}") == 2
    assert "plugins=[FILE.py]" in capfd.readouterr().err


def test_a_run_continues_with_another_decoder_but_not_with_another_loss(
    recordings: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    own = (f"data.root={recordings}", "trainer.epochs=1", "trainer.min_epoch_updates=1")
    assert sedtf("train", *TRAINED, *own, "output_dir=run") == 0
    other = "evaluation.decoder={name: vote, longest_s: 1.5}"

    assert sedtf("train", "resume=run", other, "trainer.epochs=2") == 0

    metrics = json_in(Path("run/metrics.json"))
    assert (metrics["decoder"], metrics["longest_s"]) == ("vote", 1.5)
    settings = yaml.safe_load(Path("run/checkpoints/last/config.yaml").read_text())
    assert settings["evaluation"]["decoder"]["name"] == "vote"
    # In its present form, without naming it again.
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    assert json_in(Path("run/metrics.json"))["longest_s"] == 1.5
    capfd.readouterr()
    assert sedtf("train", "resume=run", "trainer.loss=cross_entropy", "trainer.epochs=4") == 2
    assert "trainer.loss" in capfd.readouterr().err


def test_a_decoder_that_could_not_be_read_again_is_refused(
    trained_run: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loudest.py").write_text(PLUGIN.replace("{NAME}", "other"))
    asked = ("evaluation.decoder=loudest", "plugins=[loudest.py]", "output_dir=eval")

    assert sedtf("eval", f"checkpoint={trained_run}", *asked) == 2

    assert "expected 'loudest', by which checkpoints find it again" in capfd.readouterr().err


def test_a_least_duration_that_a_decoder_has_not_is_refused(
    trained_run: Path, plugin: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluation.decoder=loudest", "evaluation.min_gap_s=1", plugin, "output_dir=eval")

    assert sedtf("eval", f"checkpoint={trained_run}", *asked) == 2

    assert "the decoder loudest has no such setting" in capfd.readouterr().err


def test_eval_fits_what_was_trained_on_without_another_choice(
    trained_run: Path, sedtf: Sedtf
) -> None:
    """The run's decoder, when named, is fitted to exactly what the run itself saved."""
    asked = ("evaluation.decoder=threshold", "output_dir=eval")

    assert sedtf("eval", f"checkpoint={trained_run}", *asked) == 0

    assert json_in(Path("eval/metrics.json")) == json_in(trained_run / "metrics.json")


def test_probabilities_are_made_once_for_a_decoder_that_asks_often(
    trained_run: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sed_cli.data.sets import load_data
    from sed_cli.tasks.detection import fitting
    from sed_cli.tasks.detection.load import read_config

    detector, trained = load(trained_run), read_config(trained_run)
    validation = load_data(trained.data, trained.feature, splits=["validation"]).splits
    runs = []
    run_freely = fitting.run_freely
    monkeypatch.setattr(fitting, "run_freely", lambda *a: runs.append(1) or run_freely(*a))
    scored = fitting._Probabilities(detector, validation["validation"])

    first, second = list(scored()), list(scored())

    assert len(first) == len(second) == len(validation["validation"])
    assert len(runs) == 1
    monkeypatch.setattr(fitting, "_KEPT_BYTES", 1)
    bounded = fitting._Probabilities(detector, validation["validation"])
    third, fourth = list(bounded()), list(bounded())
    assert len(runs) == 3
    for one, other in zip(first + second, third + fourth, strict=True):
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"decoder": "viterbo"}', "decoder 'viterbo' is unknown: expected one of threshold, "),
        ('{"decoder": 3}', "decoder '3' is unknown"),
        ("[]", "invalid"),
    ],
)
def test_a_decoder_that_is_unknown_is_named(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "postprocessing.json").write_text(text)

    with pytest.raises(CheckpointError) as caught:
        read_decoder(tmp_path, ["cat"], 0.1)

    said = str(caught.value)
    assert fault in said
    assert "postprocessing.json" in said
    assert "\n" not in said
