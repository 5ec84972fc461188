"""A detector with onsets through the verbs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.decoding.onsets import OnsetDecoder
from sed_cli.decoding.postprocessing import PostProcessing
from sed_cli.decoding.saved import save_decoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.tasks.detection.load import load
from sed_cli.tasks.detection.task import DetectionTask, load_recordings
from tests.conftest import TRAINED, Sedtf
from tests.export.test_export import assert_same_events, detect, export

ONSETS = ("model.onsets=true", "sampler.coin=class", "augment.roll=0.5", "augment.mixup=0.5")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """A run folder of a short training run with onsets."""
    folder = tmp_path_factory.mktemp("onsets") / "run"
    own = (f"data.root={recordings}", f"output_dir={folder}", "trainer.max_updates=4")
    assert run_verb("train", [*TRAINED, *ONSETS, *own], Flags()) == 0
    return folder


@pytest.fixture(scope="module")
def parted(run: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of it that finds many events, with onsets that split many."""
    folder = tmp_path_factory.mktemp("parted") / "best"
    shutil.copytree(run / "checkpoints" / "best", folder)
    detector = load(folder)
    assert isinstance(detector.decoder, OnsetDecoder)
    heard = detector.probabilities(min((recordings / "audio").glob("test_*")))
    levels = tuple(np.quantile(heard, 0.3, axis=0).tolist())
    settings = PostProcessing(thresholds=levels, filter_frames=(1, 1))
    inner = ThresholdDecoder(
        classes=detector.classes, hop_s=detector.hop_s, postprocessing=settings
    )
    save_decoder(
        folder, replace(detector.decoder, inner=inner, thresholds=(0.0, 0.0), least=(2, 3))
    )
    return folder


def json_in(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_a_run_with_onsets_is_evaluated_and_reported_as_any(run: Path, sedtf: Sedtf) -> None:
    metrics = json_in(run / "metrics.json")

    assert metrics["decoder"] == "threshold"
    assert set(metrics["onsets"]["thresholds"]) == {"high", "low"}
    assert metrics["plain"] is not None
    assert sedtf("eval", f"checkpoint={run}", "output_dir=eval") == 0
    assert json_in(Path("eval/metrics.json")) == metrics
    votes = "evaluation.decoder=vote"
    assert sedtf("eval", f"checkpoint={run}", votes, "output_dir=votes") == 0
    assert {"longest_s", "onsets"} <= json_in(Path("votes/metrics.json")).keys()
    assert sedtf("report", str(run)) == 0


def test_what_is_detected_is_the_same_in_files_in_streams_and_in_python(
    parted: Path, recordings: Path, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    detector = load(parted)
    source = min((recordings / "audio").glob("test_*"))
    capfd.readouterr()

    asked = (f"checkpoint={parted}", f"input={source}", "format=jsonl")
    assert sedtf("predict", *asked) == 0

    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    events = detector.predict(source)
    whole = replace(detector.decoder, thresholds=(None, None))  # type: ignore[arg-type]
    assert [row["event_label"] for row in rows] == [event.label for event in events]
    assert [row["onset"] for row in rows] == pytest.approx([e.onset_s for e in events], abs=1e-6)
    assert detector.probabilities(source).shape[1] == 2
    detector.decoder = whole
    assert len(detector.predict(source)) < len(events)
    assert sedtf("predict", *asked, "probabilities=true", "timeline=true", "output_dir=out") == 0
    table = next(Path("out").glob("*.scores.tsv")).read_text()
    assert table.splitlines()[0].split("\t") == ["onset", "offset", "high", "low"]


@pytest.mark.slow
def test_the_exported_example_parts_events_as_predict_does(
    parted: Path, recordings: Path, tmp_path: Path
) -> None:
    out = export(parted, tmp_path / "out", waveform=False)

    description = json_in(out / "model.json")
    assert description["outputs"] == ["high", "low", "high onset", "low onset"]
    found = 0
    for path in sorted((recordings / "audio").glob("test_*"))[:2]:
        expected = load(parted).predict(path)
        assert_same_events(detect(out / "detect.py", path), expected)
        found += len(expected)
    assert found > 3


def test_the_loss_of_onsets_counts_as_much_as_is_asked_for(
    run: Path, recordings: Path, sedtf: Sedtf
) -> None:
    from sed_cli.sampling.teacher_mask import make_coins
    from sed_cli.tasks.detection.load import read_config

    config = read_config(run)
    config.augment.mixup = config.augment.roll = 0.0  # type: ignore[attr-defined]
    data = load_recordings(config, look_for_leaks=False)
    sums = []
    for weight in (0.5, 1.0, 2.0):
        config.model.onset_weight = weight  # type: ignore[attr-defined]
        torch.manual_seed(0)
        task = DetectionTask(config, data, torch.device("cpu"))
        coins = make_coins(config.sampler, batches_per_epoch=1, seed=0)
        total, n = task.losses(task.batch([0, 1], 1), coins)
        sums.append(float(total.detach()))
        assert n == 2 * task.batch([0, 1], 1).valid.sum()
    np.testing.assert_allclose(sums[2] - sums[1], 2 * (sums[1] - sums[0]), rtol=1e-4)
    assert sums[1] > sums[0] > 0
