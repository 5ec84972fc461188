"""Features computed by an external network."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from sed_cli.audio import FeatureStream, networks
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.audio.front_ends.onnx import OnnxConfig
from sed_cli.data.cache.features import _identity
from sed_cli.errors import CheckpointError, DataError
from tests.audio.small_networks import POOL, energy, identity, write

SMALL: dict[str, Any] = {"window_length": 256, "hop_length": 128, "n_fft": 512, "n_mels": 20}


def features(config: OnnxConfig, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    made: NDArray[np.float32] = config.build()(torch.from_numpy(samples)[None])[0, 0].numpy()
    return made


def noise(n_samples: int = 30_000) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)


@pytest.mark.parametrize("length", [40 * POOL, 7 * POOL, "T"])
@pytest.mark.parametrize("hop_length", [50, 128, 300])
def test_an_impulse_comes_out_at_its_time(
    tmp_path: Path, length: int | str, hop_length: int
) -> None:
    """Outputs of POOL samples each, frames of any hop: their centres agree to half an output."""
    path = energy(tmp_path / "energy.onnx", length)
    # A window is not always a multiple of an output: spread evenly over it, outputs would drift.
    stated = {"output_hop": float(POOL)} if length == "T" else {}
    config = OnnxConfig(path=str(path), hop_length=hop_length, **stated)
    assert config.file_faults() == []
    assert config.n_features == 2
    found = []
    for at in range(3000, 27_000, 1777):
        samples = np.zeros(30_000, np.float32)
        samples[at] = 1
        energies = features(config, samples)[:, 1]
        assert energies.max() > 0
        centre = hop_length * np.average(np.arange(len(energies)), weights=energies)
        # Half an output, plus the grid of frames if neither hop divides the other.
        assert abs(centre - at) <= POOL / 2 + hop_length / 2
        found.append(centre - at)
    assert abs(np.mean(found)) < POOL / 4  # without bias to either side


def test_where_outputs_lie_can_be_stated(tmp_path: Path) -> None:
    path = energy(tmp_path / "energy.onnx")
    config = OnnxConfig(path=str(path), hop_length=POOL)
    stated = replace(config, output_hop=float(POOL), output_offset=POOL / 2)
    np.testing.assert_array_equal(features(config, noise()), features(stated, noise()))
    later = replace(stated, output_offset=POOL / 2 + 3 * POOL)
    moved, plain = features(later, noise()), features(stated, noise())
    np.testing.assert_allclose(moved[13:30], plain[10:27], rtol=1e-5)


@pytest.mark.parametrize("shape", [["B", "T", 20], ["B", 20, "T"], ["B", 1, "T", 20], ["T", 20]])
def test_mel_bands_go_in_and_come_out_at_their_times(tmp_path: Path, shape: list[Any]) -> None:
    """An identity network gives log-mel, and concatenated log-mel is log-mel."""
    path = identity(tmp_path / "same.onnx", shape)
    layout = {"input_layout": "TM", "output_layout": "TF"} if len(shape) == 2 else {}
    config = OnnxConfig(path=str(path), joined=True, **SMALL, **layout)
    assert config.file_faults() == []
    log_mel = LogMelConfig(**SMALL).build()
    expected = log_mel(torch.from_numpy(noise())[None])[0, 0].numpy()
    got = features(config, noise())
    assert got.shape == (len(expected), 40)
    # dB, summed in float32 in another order
    np.testing.assert_allclose(got[:, :20], expected, atol=1e-3)
    np.testing.assert_array_equal(got[:, 20:], expected)


@pytest.mark.parametrize("length", [40 * POOL, 9 * POOL, "T"])
def test_a_stream_gives_the_same_to_the_last_bit(tmp_path: Path, length: int | str) -> None:
    path = energy(tmp_path / "energy.onnx", length)
    made = OnnxConfig(path=str(path), hop_length=100, context_s=0.02).build()
    whole = made(torch.from_numpy(noise())[None])[0, 0].numpy()
    stream = FeatureStream(made)
    assert made.n_together == {40 * POOL: 32, 9 * POOL: 4, "T": 64}[length]
    pieces = []
    for piece in np.split(noise(), [1, 300, 9_000, 9_100, 23_456]):
        pieces.append(stream.push(piece))
        # No frame is delayed by more than the stated latency.
        known = max(0, stream.n_samples - stream.look_ahead_samples) // 100
        assert stream.n_frames >= known - 1
    np.testing.assert_array_equal(np.concatenate([*pieces, stream.finish()]), whole)


def with_external_weights(path: Path) -> Path:
    model = onnx.load(energy(path))
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return path


def with_foreign_operator(path: Path, *, nested: bool) -> Path:
    node = helper.make_node("Anything", ["given"], ["same"], domain="somebody")
    if nested:
        inner = helper.make_graph(
            [helper.make_node("Anything", ["given"], ["in"], domain="somebody")],
            "inner",
            [],
            [helper.make_tensor_value_info("in", onnx.TensorProto.FLOAT, ["B", "T"])],
        )
        node = helper.make_node("If", ["given"], ["same"], then_branch=inner, else_branch=inner)
    given = [("given", ["B", "T"])]
    domains = (("", 15), ("somebody", 1))
    return write(path, [node], given, [("same", ["B", "T"])], domains=domains)


def with_two_outputs(path: Path) -> Path:
    nodes = [helper.make_node("Identity", ["given"], [name]) for name in ("one", "other")]
    return write(path, nodes, [("given", ["B", 64])], [("one", ["B", 64]), ("other", ["B", 64])])


def with_two_inputs(path: Path) -> Path:
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"])]
    return write(path, nodes, [("a", ["B", 64]), ("b", ["B", 64])], [("sum", ["B", 64])])


def with_text(path: Path) -> Path:
    path.write_text("no network")
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_external_weights, "kernel are in another file"),
        (lambda path: with_foreign_operator(path, nested=False), "operator somebody.Anything"),
        (lambda path: with_foreign_operator(path, nested=True), "operator somebody.Anything"),
        (with_two_outputs, r"gives one .*other.*choose by feature.outputs"),
        (with_two_inputs, "takes a tensor.*expected one input"),
        (with_text, "is not an ONNX file"),
        (lambda path: path, "no such file"),
        (lambda path: path.parent, "is not a file"),
        (lambda path: identity(path, ["B", "T", 30]), "name each with feature.input_layout"),
        (lambda path: identity(path, ["B", 2**40, 1]), "takes windows of 1099511627776"),
    ],
)
def test_what_cannot_or_must_not_be_run_is_refused_in_a_line(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    config = OnnxConfig(path=str(make(tmp_path / "network.onnx")), **SMALL)
    with pytest.raises(DataError, match=words) as refused:
        config.build()
    assert config.file_faults() == [str(refused.value)]
    assert "\n" not in str(refused.value)


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "MOST_BYTES", 100)
    (fault,) = OnnxConfig(path=str(energy(tmp_path / "energy.onnx"))).file_faults()
    assert "the limit" in fault


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 100}, "takes windows of 5120"),
        ({"context_s": 1.0}, "lower feature.context_s"),
        ({"outputs": ["nothing"]}, "gives embedded"),
        ({"output_layout": "BF"}, "not axes BF"),
        ({"output_layout": "BXF"}, "not axes BXF"),
        ({"output_layout": "BT1"}, "not axes BT1"),
        ({"input_layout": "BXT"}, "a letter for each axis"),
        ({"input_layout": "BT"}, "not BT"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_reported(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    config = OnnxConfig(path=str(energy(tmp_path / "energy.onnx")), **settings)
    (fault,) = config.file_faults()
    assert words in fault


def test_a_constant_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    size = numpy_helper.from_array(np.array([3 * 2**30], np.int64), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["given", "sum"], ["same"]),
    ]
    shape = ["B", 5120, 1]
    path = write(
        tmp_path / "a.onnx", nodes, [("given", shape)], [("same", shape)], weights=[size],
        domains=[("", 17)],
    )  # fmt: skip
    with pytest.raises(DataError, match=r"a\.onnx: .*[Mm]emory"):
        features(OnnxConfig(path=str(path), **SMALL), noise())


def test_a_loop_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_LONGEST_S", 0.5)
    info, kinds = helper.make_tensor_value_info, onnx.TensorProto
    shape = ["B", 5120, 1]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["goes_on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "body",
        [
            info("i", kinds.INT64, []),
            info("on", kinds.BOOL, []),
            info("before", kinds.FLOAT, shape),
        ],
        [info("goes_on", kinds.BOOL, []), info("after", kinds.FLOAT, shape)],
    )
    n_times = numpy_helper.from_array(np.array(2**62, np.int64), "n_times")
    nodes = [helper.make_node("Loop", ["n_times", "", "given"], ["same"], body=body)]
    path = write(
        tmp_path / "a.onnx", nodes, [("given", shape)], [("same", shape)], weights=[n_times]
    )
    with pytest.raises(DataError, match=r"a\.onnx: does not run .*terminate"):
        features(OnnxConfig(path=str(path), **SMALL), noise())


def test_a_network_is_identified_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    one = OnnxConfig(path=str(energy(tmp_path / "one.onnx")))
    shutil.copy(tmp_path / "one.onnx", tmp_path / "two.onnx")
    two = replace(one, path=str(tmp_path / "two.onnx"))
    assert _identity(one) == _identity(two)
    energy(tmp_path / "two.onnx", 80 * POOL)
    assert _identity(one) != _identity(two)


def test_a_checkpoint_holds_its_network(tmp_path: Path) -> None:
    config = OnnxConfig(path=str(energy(tmp_path / "energy.onnx")))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(CheckpointError, match=rf"{OnnxConfig.FILE}: missing.*copy .*energy.onnx"):
        config.kept(folder)
    config.keep(folder)
    (tmp_path / "energy.onnx").unlink()
    kept = config.kept(folder)
    assert kept.n_features == 2
    (folder / OnnxConfig.FILE).write_text("no network")
    with pytest.raises(CheckpointError, match="is not an ONNX file"):
        config.kept(folder)


def basic_pitch() -> Path:
    """The network of Spotify's basic-pitch, Apache 2.0: from its path, or from the package."""
    named = os.environ.get("SEDTF_BASIC_PITCH")
    found = None if named else importlib.util.find_spec("basic_pitch")
    if found is not None and found.origin is not None:
        named = str(Path(found.origin).parent / "saved_models" / "icassp_2022" / "nmp.onnx")
    if named is None:
        pytest.skip("neither SEDTF_BASIC_PITCH names its nmp.onnx nor is basic-pitch installed")
    return Path(named)


@pytest.mark.parametrize("hop_length", [256, 512, 1024])
def test_a_network_of_others_hears_a_tone_at_its_pitch_and_time(hop_length: int) -> None:
    config = OnnxConfig(
        path=str(basic_pitch()),
        outputs=["StatefulPartitionedCall:0"],
        sample_rate=22050,
        hop_length=hop_length,
        output_hop=256.0,
        output_offset=0.0,
    )
    assert config.n_features == 264
    seconds = np.arange(5 * 22050) / 22050
    tone = 0.3 * np.sin(2 * np.pi * 880 * seconds) * ((seconds > 2) & (seconds < 3))
    pitches = features(config, tone.astype(np.float32))
    on = np.flatnonzero(pitches.max(axis=1) > 0.3) * hop_length / 22050
    # a hop, plus the blur of the network
    assert on.min() == pytest.approx(2, abs=0.05 + hop_length / 22050)
    assert on.max() == pytest.approx(3, abs=0.05 + hop_length / 22050)
    loudest = int(pitches[round(2.5 * 22050 / hop_length)].argmax())
    assert abs(loudest - 36 * np.log2(880 / 27.5)) <= 1  # three bins a semitone from 27.5 Hz
