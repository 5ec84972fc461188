"""Settings that certainly exceed the memory are refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sed_cli.cli.checks import check_job
from sed_cli.cli.hydra import Composer
from sed_cli.cli.verbs import Flags
from sed_cli.config import every_verb
from sed_cli.config.data import SoundscapesConfig
from sed_cli.config.registry import component_named
from sed_cli.config.tools import SimulateConfig
from sed_cli.data.soundscapes import generating
from sed_cli.data.soundscapes.generating import generate_soundscapes, plan_soundscapes
from sed_cli.errors import ConfigError, UserError
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.system import memory

SIZES: list[dict[str, Any]] = [
    {},
    {"conv_channels": 5, "kernel_size": 3, "pooling": [2, 5], "rnn_hidden": 7, "onsets": True},
]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", ["crnn", "crnn_bidirectional", "crnn_lookahead"])
def test_the_weights_of_a_detector_are_counted_as_it_has_them(
    kind: str, sizes: dict[str, Any]
) -> None:
    config = component_named("model", kind)(**sizes)
    model = config.build(n_mels=40, n_classes=6)
    assert config.least_weights(40, 6) == sum(each.numel() for each in model.parameters())


def test_a_sequence_model_has_no_fewer_weights_than_counted() -> None:
    config = component_named("model", "language")()
    model = config.build(n_tokens=1, n_source_tokens=None)
    n_weights = sum(each.numel() for each in model.parameters())
    assert 0.9 * n_weights < config.least_weights() <= n_weights


def simulation(**settings: Any) -> SimulateConfig:
    return SimulateConfig(sampler=ConstantSchedule(p=0.5), **settings)


def test_the_limit_is_the_memory_of_the_machine_unless_a_setting_raises_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(every_verb, "memory_bytes", lambda: 10**9)
    assert simulation(batch_size=1000).faults() == []
    (fault,) = simulation(batch_size=10**6).faults()
    assert fault == (
        "the draws of a batch would take at least 5.14 GB of memory, but 1 GB are available: lower "
        "batch_size or n_steps or n_classes, or raise memory_limit_gb"
    )
    assert simulation(batch_size=10**6, memory_limit_gb=6.0).faults() == []
    assert len(simulation(batch_size=1000, memory_limit_gb=0.001).faults()) == 1
    monkeypatch.setattr(every_verb, "memory_bytes", lambda: None)  # the amount is unknown
    assert simulation(batch_size=10**9).faults() == []


def test_the_memory_of_gpus_is_not_taken_for_that_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(every_verb, "memory_bytes", lambda: 10**9)
    monkeypatch.setattr(every_verb, "has_gpu", lambda: True)
    composer = Composer("train", Flags())
    large = ["model.rnn_hidden=30000"]  # 22 GB
    check_job(composer, large)
    for words in (["device=cpu"], ["memory_limit_gb=1"]):
        with pytest.raises(ConfigError, match="raise memory_limit_gb"):
            check_job(composer, [*large, *words])


def test_a_batch_of_generated_recordings_is_counted_in_full() -> None:
    composer = Composer("train", Flags())
    words = ["data.sequence_length=30000", "data.duration_s=1000", "trainer.batch_size=100"]
    with pytest.raises(ConfigError, match="a batch of 3000000 frames would take at least 20"):
        check_job(composer, [*words, "memory_limit_gb=10", "model.conv_channels=32"])
    check_job(composer, [*words, "memory_limit_gb=100", "model.conv_channels=32"])


def test_a_container_has_the_memory_that_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.memory_bytes.cache_clear()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (str(limit),))
    limit.write_text("max\n")
    of_all = memory.memory_bytes()
    assert of_all is not None
    memory.memory_bytes.cache_clear()
    limit.write_text("1000000\n")
    assert memory.memory_bytes() == 1_000_000
    memory.memory_bytes.cache_clear()


def test_a_set_that_the_disk_cannot_hold_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(generating.shutil, "disk_usage", lambda folder: usage)
    recipe = plan_soundscapes(SoundscapesConfig(n_train=10_000))
    with pytest.raises(
        UserError, match=r"at least 1\.62 GB, but only 1 GB are free on the disk of"
    ):
        generate_soundscapes(tmp_path / "set" / "of", recipe)
    assert list(tmp_path.iterdir()) == []
