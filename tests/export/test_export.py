"""``sedtf export`` as a user meets it: files that run without PyTorch, or a one-line reason."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
import yaml

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.cli.run import run
from sed_cli.cli.verbs import Flags
from sed_cli.config.tools import ExportConfig
from sed_cli.data.annotations import Event
from sed_cli.decoding.boxes import BoxDecoder
from sed_cli.decoding.decoder import Decoder
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.hysteresis import HysteresisDecoder
from sed_cli.decoding.language import LanguageDecoder
from sed_cli.decoding.lateness import Lateness
from sed_cli.decoding.postprocessing import PostProcessing
from sed_cli.decoding.saved import save_decoder
from sed_cli.decoding.semi_markov import SemiMarkovDecoder
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.decoding.voting import VoteDecoder
from sed_cli.export.metadata import describe_features
from sed_cli.models.feedbacks import rule_named
from sed_cli.tasks.detection import export as export_run
from sed_cli.tasks.detection.export import _example, export_checkpoint
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.training.checkpoint import save_checkpoint
from tests.conftest import Sedtf

FILES = {
    "stream.onnx",
    "recording.onnx",
    "waveform.onnx",
    "model.json",
    "detect.py",
    "MODEL_CARD.md",
}
ROOT = Path(__file__).parents[2]
# As if PyTorch were not installed.
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def lively_run(trained_run: Path, lively: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder whose best epoch finds many events."""
    run = tmp_path_factory.mktemp("lively") / "run"
    shutil.copytree(trained_run, run)
    shutil.rmtree(run / "checkpoints" / "best")
    shutil.copytree(lively, run / "checkpoints" / "best")
    return run


@pytest.fixture(scope="module")
def exported(lively_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the export of that run; must not be changed."""
    out = tmp_path_factory.mktemp("exported") / "out"
    settings = ["licence=cc-by-4.0", "data_licence=CC0", f"output_dir={out}"]
    assert run("export", [f"checkpoint={lively_run}", *settings], Flags()) == 0
    return out


def export(checkpoint: Path, out: Path, **settings: Any) -> Path:
    out.mkdir()
    config = ExportConfig(checkpoint=str(checkpoint), output_dir=str(out), **settings)
    export_checkpoint(config, out)
    return out


def detect(script: Path, *arguments: Path) -> list[Event]:
    """Run the example without PyTorch."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = csv.DictReader(io.StringIO(done.stdout), delimiter="\t")
    return [Event(float(r["onset"]), float(r["offset"]), r["event_label"]) for r in rows]


def assert_same_events(got: list[Event], expected: list[Event]) -> None:
    """Times may differ by 1e-5 s: they are written to the microsecond, and a time between frames
    of 32 ms follows two probabilities, which differ by up to 1e-4 between onnxruntime and PyTorch.
    """
    assert [event.label for event in got] == [event.label for event in expected]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], abs=1e-5)


def example() -> ModuleType:
    spec = spec_from_file_location("detect", ROOT / "examples" / "detect.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------- the verb


def test_files_are_written_and_listed(
    lively_run: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("export", f"checkpoint={lively_run}", "output_dir=out") == 0

    lines = capfd.readouterr().out.splitlines()
    assert {Path(line.split()[0]).name for line in lines} == FILES
    assert all(Path(line.split()[0]).stat().st_size for line in lines)
    graphs = [line for line in lines if ".onnx" in line]
    assert len(graphs) == 3
    assert all("differs from PyTorch by at most" in line for line in graphs)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == "completed"
    assert set(record["checked"]) == {"stream.onnx", "recording.onnx", "waveform.onnx"}


def test_another_epoch_without_the_graph_of_samples(lively_run: Path, tmp_path: Path) -> None:
    out = export(lively_run / "checkpoints" / "last", tmp_path / "out", waveform=False)

    assert FILES - {path.name for path in out.iterdir()} == {"waveform.onnx"}
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "waveform.onnx" not in card
    assert "**not of the checkpoint exported here** (`last`)" in card


def test_each_graph_carries_what_the_json_has(exported: Path, lively_run: Path) -> None:
    description = json.loads((exported / "model.json").read_text(encoding="utf-8"))
    checked = description.pop("checked")
    assert all(difference["greatest"] < 1e-5 for difference in checked.values())
    for name in checked:
        session = onnxruntime.InferenceSession(exported / name)
        metadata = session.get_modelmeta().custom_metadata_map
        assert {key: json.loads(value) for key, value in metadata.items()} == description
        assert onnx.load(exported / name).opset_import[0].version == 17
    assert description["classes"] == ["high", "low"]
    assert description["feedback"] == {"kind": "hard", "threshold": 0.5}
    assert description["stream"]["context_frames"] == 6
    # 6 frames and half a window of 1024 samples
    assert description["stream"]["look_ahead_s"] == pytest.approx((6 * 512 + 512) / 16000)


@pytest.mark.parametrize(
    ("trained", "model_feedback", "kind"),
    [("soft", True, "soft"), ("sampled", True, "hard"), ("hard", False, None)],
)
def test_every_kind_of_feedback_is_exported(
    trained: str,
    model_feedback: bool,
    kind: str | None,
    lively_run: Path,
    tmp_path: Path,
) -> None:
    config = read_config(lively_run)
    config.sampler.feedback = rule_named(trained)
    config.model.feedback = model_feedback
    torch.manual_seed(0)
    model = config.model.build(n_mels=40, n_classes=2)
    save_checkpoint(tmp_path / "best", model, config, ["high", "low"])

    out = export(tmp_path / "best", tmp_path / "out", waveform=False)

    description = json.loads((out / "model.json").read_text())
    assert description["feedback"]["kind"] == kind


def test_a_difference_beyond_the_tolerance_fails_and_writes_nothing(
    lively_run: Path, sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("export", f"checkpoint={lively_run}", "tolerance=1e-30", "output_dir=out") == 1

    assert "stream.onnx: probabilities differ from PyTorch's by" in capfd.readouterr().err
    assert not FILES & {path.name for path in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_cure(
    package: str,
    lively_run: Path,
    sedtf: Sedtf,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    assert sedtf("export", f"checkpoint={lively_run}", "output_dir=out") == 2

    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert f"sedtf export needs {package}" in error
    assert "pip install 'sedtf[onnx]'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "checkpoint is not set"),
        (["checkpoint=nowhere"], "checkpoint=nowhere: no such folder"),
        (["checkpoint=."], "neither a checkpoint"),
        (["checkpoint=x", "tolerance=0"], "tolerance=0.0: expected a number above 0"),
        (["checkpoint=x", "tolerance=nan"], "tolerance=nan: expected a number above 0"),
        (["checkpoint=x", "license=mit"], "did you mean licence?"),
    ],
)
def test_wrong_settings_are_answered_with_one_line(
    arguments: list[str], message: str, sedtf: Sedtf, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sedtf("export", *arguments) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


# ------------------------------------------------------------------------------- the example


def test_the_example_finds_the_events_that_predict_finds(
    exported: Path, lively_run: Path, recordings: Path, tmp_path: Path
) -> None:
    """Recordings of three rates and formats, of one and two channels; and one of one sample."""
    detector = load(lively_run)
    short = tmp_path / "short.wav"
    soundfile.write(short, np.full(1, 0.1), 16000)
    paths = [*sorted((recordings / "audio").glob("test_*")), short]
    found = 0
    for path in paths:
        expected = detector.predict(path)
        assert_same_events(detect(exported / "detect.py", path), expected)
        found += len(expected)
    assert found > 3


def test_the_example_makes_events_as_in_the_checkpoint(
    lively_run: Path, recordings: Path, tmp_path: Path
) -> None:
    """Thresholds and filters per class, a minimum gap and a minimum duration."""
    folder = tmp_path / "best"
    shutil.copytree(lively_run / "checkpoints" / "best", folder)
    settings = PostProcessing(
        thresholds=(0.6, 0.3), filter_frames=(9, 1), min_gap_s=0.5, min_duration_s=0.3
    )
    made = ThresholdDecoder(classes=("high", "low"), hop_s=0.1, postprocessing=settings)
    save_decoder(folder, made)
    out = export(folder, tmp_path / "out", waveform=False)
    detector, plain = load(folder), load(lively_run)
    differs = False
    for path in sorted((recordings / "audio").glob("test_*")):
        expected = detector.predict(path)
        assert_same_events(detect(out / "detect.py", path), expected)
        differs |= expected != plain.predict(path)
    assert differs


LIKELIEST: Any = {"classes": ("high", "low"), "hop_s": 0.032, "lag_s": 100.0}


def learnt(*, overlap: bool, order: int) -> EventModel:
    """Learn from events of half a second, consecutive or overlapping."""
    step_s = 0.3 if overlap else 0.7
    events = [
        Event(n * step_s, n * step_s + 0.4 + 0.05 * (n % 5), ("high", "high", "low")[n % 3])
        for n in range(40)
    ]
    return EventModel.of([(events, 30.0)] * 2, LIKELIEST["classes"], LIKELIEST["hop_s"], order)


@pytest.mark.parametrize(
    "decoder",
    [
        HysteresisDecoder(
            classes=("high", "low"),
            hop_s=0.032,
            upper=(0.6, 0.5),
            lower=(0.3, 0.5),
            gaps_s=(0.0, 0.2),
            durations_s=(0.1, 0.0),
        ),
        VoteDecoder(
            classes=("high", "low"),
            hop_s=0.032,
            thresholds=(0.4, 0.5),
            longest_s=0.4,
            min_gap_s=0.1,
            min_duration_s=0.1,
        ),
        BoxDecoder(
            classes=("high", "low"),
            hop_s=0.032,
            step_frames=(3, 6),
            ratios=(1.5, 3.0),
            thresholds=(0.5, 0.45),
            longest_s=2.0,
            min_gap_s=0.1,
            min_duration_s=0.1,
        ),
        SemiMarkovDecoder(model=learnt(overlap=True, order=1), weight=0.5, **LIKELIEST),
        SemiMarkovDecoder(
            model=learnt(overlap=False, order=2),
            prior=0.5,
            late=Lateness(0.002, -0.003),
            **LIKELIEST,
        ),
        LanguageDecoder(
            model=learnt(overlap=False, order=2), language_weight=0.5, language="", **LIKELIEST
        ),
    ],
    ids=lambda decoder: decoder.NAME,
)
def test_the_example_decodes_as_the_checkpoint_does(
    decoder: Decoder, lively_run: Path, recordings: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "best"
    shutil.copytree(lively_run / "checkpoints" / "best", folder)
    save_decoder(folder, decoder)
    out = export(folder, tmp_path / "out", waveform=False)

    assert decoder.NAME in (out / "MODEL_CARD.md").read_text()
    detector, n_found = load(folder), 0
    for path in sorted((recordings / "audio").glob("test_*")):
        expected = detector.predict(path)
        assert_same_events(detect(out / "detect.py", path), expected)
        n_found += len(expected)
    assert n_found > 3


def test_an_example_that_cannot_decode_is_reported(
    exported: Path, recordings: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "out")
    script = tmp_path / "out" / "detect.py"

    script.write_text(_example("of_a_plugin"))

    assert "of_a_plugin" in caplog.text
    path = min((recordings / "audio").glob("test_*"))
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "exists only in sedtf" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_hears_real_recordings_as_predict_does(
    exported: Path, lively_run: Path, real_data: Path
) -> None:
    detector = load(lively_run)
    paths = [*sorted((real_data / "esc10" / "dog_bark").glob("*.ogg"))[:2]]
    paths += sorted((real_data / "birdsong" / "audio").glob("*.flac"))[:1]
    found = 0
    for path in paths:
        expected = detector.predict(path)
        assert_same_events(detect(exported / "detect.py", path), expected)
        found += len(expected)
    assert found > 3


@pytest.mark.parametrize(
    "feature",
    [
        LogMelConfig(),
        LogMelConfig(n_fft=1000, window_length=801, hop_length=250, n_mels=16, f_min=50.0),
        # torchaudio's mel bands require an even n_fft.
        LogMelConfig(backend="torchlibrosa", n_fft=1023, window_length=1023, hop_length=320),
        LogMelConfig(is_log=False),
    ],
    ids=["default", "no power of two", "odd", "power"],
)
def test_log_mel_of_the_example_is_that_of_the_detector(feature: LogMelConfig) -> None:
    log_mel = feature.build()
    module = example()
    random = np.random.default_rng(0)
    for n_samples in (1, 500, 512, 1024, 1025, 20_001):
        samples = random.uniform(-0.5, 0.5, n_samples).astype(np.float32)

        got = module.log_mel(samples, describe_features(log_mel))

        expected = log_mel(torch.from_numpy(samples)[None])[0, 0].numpy()
        # The detector's transform in float32 differs this much from one in float64.
        scale = 1.0 if feature.is_log else expected.max()
        np.testing.assert_allclose(got / scale, expected / scale, rtol=0, atol=1e-3)


def test_the_example_is_short_and_imports_little() -> None:
    text = (ROOT / "examples" / "detect.py").read_text()
    imports = {line.split()[1] for line in text.splitlines() if line.strip().startswith("import")}
    assert imports == {"json", "sys", "numpy", "onnxruntime", "soundfile", "soxr"}
    assert len(text.splitlines()) <= 80


def test_the_loop_of_the_docs_gives_what_predict_decides_by(
    exported: Path, lively_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    detector = load(lively_run)
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 40_000).astype(np.float32)
    log_mel = detector.log_mel(torch.from_numpy(samples)[None])[0].numpy()
    parts: list[np.ndarray] = []

    class Kept(dict[str, object]):
        def __setitem__(self, name: str, value: object) -> None:
            super().__setitem__(name, value)
            if name == "probabilities":
                parts.append(np.asarray(value)[0])

    monkeypatch.chdir(tmp_path)
    Path("exported").symlink_to(exported)
    exec(block, Kept(chunks=np.array_split(log_mel, [1, 30, 44], axis=1)))

    got = np.concatenate(parts)[6:]
    expected = detector.probabilities(samples)
    np.testing.assert_allclose(got, expected[: len(got)], rtol=0, atol=1e-5)
    assert len(got) == len(expected) - 6


# ---------------------------------------------------------------------------------- the card


def test_the_card_has_data_training_metrics_and_licences(
    exported: Path, lively_run: Path, recordings: Path
) -> None:
    card = (exported / "MODEL_CARD.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    for section in ("Use", "Training data", "Training", "Figures", "Limits", "Licence"):
        assert f"\n## {section}\n" in body
    assert "| training data | CC0 |" in body
    metrics = json.loads((lively_run / "metrics.json").read_text())
    assert f"| high | {metrics['per_class']['high']['frame']['f1']:.3f} |" in body
    run = json.loads((lively_run / "run.json").read_text())
    assert run["config_hash"] in body
    assert run["data_fingerprint"] in body
    # Paths of the recordings must not be published.
    assert f"root: {recordings.name}\n" in body
    assert str(recordings.parent) not in card
    assert str(lively_run) not in card


def test_the_card_states_what_is_unknown(lively_run: Path, tmp_path: Path) -> None:
    shutil.copytree(lively_run / "checkpoints" / "best", tmp_path / "alone")
    out = export(tmp_path / "alone", tmp_path / "out", waveform=False)

    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "license" not in card.split("---\n")[1]
    assert "| this model | not stated" in card
    assert "is not in its run folder" in card
    assert "None were found beside the checkpoint" in card


def test_a_damaged_run_folder_is_no_hindrance(lively_run: Path, tmp_path: Path) -> None:
    shutil.copytree(lively_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text("{")
    (tmp_path / "run" / "history.csv").unlink()
    out = export(tmp_path / "run", tmp_path / "out", waveform=False)

    assert "None were found" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_an_export_that_is_cut_short_leaves_no_description_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If ``model.json`` exists, the export is complete, with nothing of an older one."""
    graphs = {"stream.onnx": b"new", "recording.onnx": b"new"}
    texts = {"detect.py": "new", "MODEL_CARD.md": "new", "model.json": "new"}

    class Killed(BaseException):
        pass

    replace, n_whole = os.replace, 0
    for fatal in range(1, 7):
        folder = tmp_path / str(fatal)
        folder.mkdir()
        for name in FILES:
            (folder / name).write_text("old")
        calls = 0

        def dying(source: Path, target: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == fatal:  # noqa: B023
                raise Killed
            replace(source, target)

        monkeypatch.setattr(os, "replace", dying)
        with contextlib.suppress(Killed):
            export_run._write(folder, graphs, texts)
        held = {path.name: path.read_text() for path in folder.iterdir()}
        n_whole += "model.json" in held
        assert "model.json" not in held or held == dict.fromkeys([*graphs, *texts], "new")
    assert n_whole == 1
