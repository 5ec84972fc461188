"""Checkpoints: atomic, exact, and never code."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from sed_cli.config.data import AnnotatedConfig
from sed_cli.errors import CheckpointError
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.training.checkpoint import resolve_checkpoint, save_checkpoint

FILES = {"model.safetensors", "config.yaml", "classes.json"}


@pytest.fixture
def checkpoint(trained_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a trained checkpoint that a test may damage."""
    folder = tmp_path / "copy" / "best"
    shutil.copytree(trained_run / "checkpoints" / "best", folder)
    return folder


def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)


def save_again(source: Path, folder: Path, shift: float = 0.0) -> None:
    detector = load(source)
    with torch.no_grad():
        detector.model.readout.bias += shift
    save_checkpoint(folder, detector.model, read_config(source), detector.classes)


def fault_of(checkpoint: Path) -> str:
    with pytest.raises(CheckpointError) as raised:
        load(checkpoint)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_saving_and_loading_gives_the_same_bits(checkpoint: Path, tmp_path: Path) -> None:
    first = load(checkpoint)
    save_again(checkpoint, tmp_path / "again")
    second = load(tmp_path / "again")

    np.testing.assert_array_equal(first.probabilities(noise()), second.probabilities(noise()))
    assert first.classes == second.classes == ("high", "low")
    assert read_config(checkpoint) == read_config(tmp_path / "again")
    assert {path.name for path in (tmp_path / "again").iterdir()} == FILES


def test_a_run_folder_means_its_best_epoch(trained_run: Path) -> None:
    best = trained_run / "checkpoints" / "best"

    assert resolve_checkpoint(trained_run) == best
    assert resolve_checkpoint(best) == best
    assert resolve_checkpoint(str(trained_run / "checkpoints" / "last")) == best.parent / "last"


def test_the_working_folder_may_be_the_checkpoint(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(trained_run)
    assert load(".").classes == ("high", "low")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="neither a checkpoint"):
        resolve_checkpoint(".")


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"neither a checkpoint .* nor a run folder"):
        load(tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_nothing_in_a_checkpoint_is_unpickled(checkpoint: Path, tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(exploded))
    for name in ("training_state.pt", "model.pt", "model.pkl", "pytorch_model.bin"):
        (checkpoint / name).write_bytes(bomb)

    load(checkpoint).predict(noise())
    assert not exploded.exists()

    (checkpoint / "model.safetensors").write_bytes(bomb)
    assert "model.safetensors" in fault_of(checkpoint)
    assert not exploded.exists()
    pickle.loads(bomb)
    assert exploded.exists()  # the bomb works


def test_no_object_is_made_from_the_configuration(checkpoint: Path, tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    path = checkpoint / "config.yaml"
    path.write_text(path.read_text() + f"evil: !!python/object/apply:os.mkdir ['{exploded}']\n")

    assert "config.yaml" in fault_of(checkpoint)
    assert not exploded.exists()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(name: str, checkpoint: Path) -> None:
    (checkpoint / name).unlink()

    assert name in fault_of(checkpoint)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00 no text", b"[1, {", b"17", b'"text"'])
def test_a_corrupt_file_is_named(name: str, content: bytes, checkpoint: Path) -> None:
    (checkpoint / name).write_bytes(content)

    assert name in fault_of(checkpoint)


def test_weights_that_were_cut_short_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    assert "model.safetensors" in fault_of(checkpoint)


@pytest.mark.parametrize("classes", [[], ["one"], {"high": 0, "low": 1}, ["high", 3]])
def test_classes_that_do_not_fit_are_refused(classes: object, checkpoint: Path) -> None:
    (checkpoint / "classes.json").write_text(json.dumps(classes))

    fault_of(checkpoint)


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("feature", "backend", "fft"),
        ("feature", "n_mels", 41),
        ("feature", "window_length", 99999),
        ("feature", "n_mels", "many"),
        ("model", "rnn_hidden", 9),
        ("model", "rnn_hidden", -1),
        ("model", "kernel_size", 4),
        ("model", "feedback", False),
        ("model", "unheard_of", 1),
        ("sampler", "schedule", "unheard_of"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    group: str, key: str, value: object, checkpoint: Path
) -> None:
    path = checkpoint / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values[group][key] = value
    path.write_text(yaml.safe_dump(values))

    fault_of(checkpoint)


def test_a_missing_weight_is_refused(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    del weights["readout.bias"]
    save_file(weights, checkpoint / "model.safetensors")

    assert "readout.bias" in fault_of(checkpoint)


class Crash(BaseException):
    """Not caught by anything, like a power cut."""


@pytest.mark.parametrize("fatal", [1, 2])
def test_a_crash_between_the_renames_leaves_a_checkpoint(
    fatal: int, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load(checkpoint).probabilities(noise())
    rename, calls = Path.rename, 0

    def failing(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == fatal:
            raise Crash
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a crash cleans nothing up
        with pytest.raises(Crash):
            save_again(checkpoint, checkpoint, shift=1.0)

    np.testing.assert_array_equal(load(checkpoint).probabilities(noise()), expected)
    save_again(checkpoint, checkpoint, shift=1.0)
    assert load(checkpoint).probabilities(noise()).mean() > expected.mean()
    assert resolve_checkpoint(checkpoint) == checkpoint


_STEPS = {name: getattr(os, name) for name in ("rename", "replace", "unlink", "rmdir", "mkdir")}


class PowerCuts:
    """Keeps the state of a folder after a power cut, before every step that changes it.

    Like a journalling file system, it keeps every name that was given, but only the flushed
    content of files.
    """

    def __init__(self, folder: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.images, self.n_images = folder, images, 0
        self.flushed = {path.stat().st_ino: _content(path.stat()) for path in folder.rglob("*")}
        fsync = os.fsync

        def flush(number: int) -> None:
            self.cut()
            fsync(number)
            self.flushed[os.fstat(number).st_ino] = _content(os.fstat(number))

        patch.setattr(os, "fsync", flush)
        for name, function in _STEPS.items():
            patch.setattr(os, name, self._cutting(function))

    def _cutting(self, function: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: Any, **options: Any) -> None:
            self.cut()
            function(*arguments, **options)

        return step

    def cut(self) -> None:
        image = self.images / str(self.n_images)
        self.n_images += 1
        with pytest.MonkeyPatch.context() as patch:
            for name, function in _STEPS.items():
                patch.setattr(os, name, function)
            shutil.copytree(self.folder, image, copy_function=self._copy)

    def _copy(self, source: str, target: str) -> None:
        facts = Path(source).stat()
        is_there = self.flushed.get(facts.st_ino) == _content(facts)
        Path(target).write_bytes(Path(source).read_bytes() if is_there else b"")


def _content(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_size, facts.st_mtime_ns


def test_a_power_cut_at_any_moment_leaves_a_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biases = [load(checkpoint).model.readout.bias]
    images = tmp_path / "images"
    images.mkdir()
    with monkeypatch.context() as patch:
        cuts = PowerCuts(checkpoint.parent, images, patch)
        save_again(checkpoint, checkpoint, shift=1.0)
        cuts.cut()
    biases.append(load(checkpoint).model.readout.bias)

    found = []
    for number in range(cuts.n_images):
        bias = load(images / str(number) / checkpoint.name).model.readout.bias
        found.append(next(i for i, each in enumerate(biases) if torch.equal(bias, each)))
    assert len(found) > 10
    assert found == sorted(found)
    assert found[-1] == 1  # completed writes stay


def test_a_fault_while_writing_leaves_the_old_checkpoint_alone(checkpoint: Path) -> None:
    detector = load(checkpoint)

    def fail(folder: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(checkpoint, detector.model, read_config(checkpoint), ["x", "y"], extra=fail)

    assert load(checkpoint).classes == ("high", "low")
    assert [path.name for path in checkpoint.parent.iterdir()] == ["best"]


def test_labels_of_any_language_survive(checkpoint: Path) -> None:
    detector = load(checkpoint)

    save_checkpoint(checkpoint, detector.model, read_config(checkpoint), ["été 🐦", "none"])

    assert load(checkpoint).classes == ("été 🐦", "none")


def test_others_may_read_a_checkpoint(checkpoint: Path) -> None:
    assert {oct(path.stat().st_mode & 0o044) for path in checkpoint.iterdir()} == {oct(0o044)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["readout.weight", "weight_hh", "blocks.0.norm.running_var"])
def test_weights_that_are_not_finite_are_refused(key: str, value: float, checkpoint: Path) -> None:
    """They detect no events, which looks like silence."""
    weights = load_file(checkpoint / "model.safetensors")
    (name,) = (name for name in weights if key in name)
    weights[name].view(-1)[-1] = value
    save_file(weights, checkpoint / "model.safetensors")

    message = fault_of(checkpoint)

    assert message.startswith(f"{checkpoint / 'model.safetensors'}: contains weights that are not")
    assert name in message


def test_outputs_that_are_not_finite_are_no_silence(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    for value in weights.values():
        if value.is_floating_point():
            value.mul_(1e25)
    save_file(weights, checkpoint / "model.safetensors")
    detector = load(checkpoint)

    for detect in (detector.predict, detector.probabilities, detector.stream(16_000).push):
        with pytest.raises(CheckpointError, match=r"model\.safetensors: the outputs are not"):
            detect(noise())
    with pytest.raises(CheckpointError, match="not finite"):
        detector.logits(torch.randn(2, 50, detector.log_mel.n_mels))


def put(checkpoint: Path, changes: dict[str, object]) -> None:
    path = checkpoint / "config.yaml"
    values = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        (values[group] if group else values)[name] = value
    path.write_text(yaml.safe_dump(values))


@pytest.mark.parametrize(
    "changes",
    [
        {"model.rnn_hidden": 10**9},
        {"model.rnn_hidden": 10**30},
        {"model.conv_channels": 10**9},
        {"model.kernel_size": 10**6 + 1},
        {"model.pooling": [1] * 2_000},
        {"model.pooling": [10**60, 10**60]},
        {"model.pooling": [10**9, 10**9, 10**9]},
        {"feature.n_fft": 2**40},
        {"feature.n_fft": 2**62, "feature.window_length": 2**62},
        {"feature.n_mels": 40 * 10**9},
        {"feature.sample_rate": 10**60},
        {"feature.hop_length": 0},
        {"feature.f_max": float("nan")},
        {"feature.n_fft": float("inf")},
        {"data.root": "~nosuchuser/x"},
        {"data.columns": {"_target_": "os.system"}},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_sizes_that_are_not_those_of_the_weights_are_never_allocated(
    changes: dict[str, object], checkpoint: Path
) -> None:
    put(checkpoint, changes)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert len(fault_of(checkpoint)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 200_000  # kB


@pytest.mark.parametrize(
    "change",
    [
        '"thresholds": {"high": 1' + "0" * 400 + ', "low": 0.5}',
        '"filter_frames": {"high": 1' + "0" * 30 + '1, "low": 1}',
        '"filter_frames": {"high": Infinity, "low": 1}',
        '"min_gap_s": 1e999',
        '"thresholds": [[[0.5]]]',
    ],
)
def test_postprocessing_out_of_bounds_is_refused(change: str, checkpoint: Path) -> None:
    path = checkpoint / "postprocessing.json"
    text = path.read_text().rstrip().removesuffix("}")
    path.write_text(f"{text}, {change}}}")  # the last of two equal keys counts

    assert "postprocessing.json" in fault_of(checkpoint)


@pytest.mark.parametrize("name", ["config.yaml", "classes.json", "postprocessing.json"])
def test_a_pipe_or_a_device_in_a_checkpoint_is_not_waited_for(name: str, checkpoint: Path) -> None:
    for make in (os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")):
        (checkpoint / name).unlink()
        make(checkpoint / name)
        assert name in fault_of(checkpoint)


@pytest.mark.parametrize(
    "text",
    ["${oc.env:SEDTF_TEST_TOKEN}", "${oc.decode:${oc.env:SEDTF_TEST_TOKEN}}", "${seed}", "${.root}",
     r"\${oc.env:SEDTF_TEST_TOKEN}", "${hydra:runtime.cwd}", "a${oc.env:SEDTF_TEST_TOKEN"],
)  # fmt: skip
def test_what_a_configuration_asks_for_is_text(
    text: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEDTF_TEST_TOKEN", "secret")
    put(checkpoint, {"data.group": text})
    config = read_config(checkpoint)
    assert isinstance(config.data, AnnotatedConfig)
    assert config.data.group == text
    put(checkpoint, {"seed": text})
    assert "secret" not in fault_of(checkpoint)


def test_a_checkpoint_does_not_say_where_a_cache_is(checkpoint: Path) -> None:
    put(checkpoint, {"data.cache_dir": "/somewhere", "data.cache_limit_gb": 0.0})
    assert read_config(checkpoint).data.cache_dir is None
    assert read_config(checkpoint).data.cache_limit_gb is None
