"""What a machine ran out of is told as that, and not as a defect of the program."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

from sed_cli.system.shortage import shortage
from sed_cli.tasks.detection import predict
from sed_cli.tasks.detection.predicting import work
from sed_cli.training.loop import Trainer
from tests.conftest import TRAINED, Sedtf


def _of(act: Callable[[], object]) -> Exception:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def few_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_that_libraries_do_not_get_is_told_with_what_needs_less() -> None:
    for act in (lambda: torch.empty(2**54), lambda: np.empty(2**58), lambda: bytearray(2**60)):
        told = shortage(_of(act), "train")
        assert told.startswith("out of memory")
        assert "lower trainer.batch_size" in told
    assert "144115188075855872" in shortage(_of(lambda: torch.empty(2**55)))


def test_the_memory_of_a_gpu_is_told_as_such() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...")
    assert shortage(error, "train").startswith("out of memory on the GPU (20.00 MiB more")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_too_many_open_files_are_told_with_the_limit(few_files: None) -> None:
    with ExitStack() as files:

        def fill() -> None:
            while True:
                files.enter_context(Path(os.devnull).open())

        error = _of(fill)
    assert str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) in shortage(error)
    assert "ulimit -n" in shortage(error)


def test_a_shortage_is_found_below_what_it_led_to(tmp_path: Path) -> None:
    error = RuntimeError("the writer gave up")
    error.__cause__ = OSError(errno.EFBIG, "File too large", "a.wav")
    assert shortage(error).startswith("a.wav exceeds the largest")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert f"the disk of {tmp_path} or its quota is full" in shortage(error, place=tmp_path)
    assert "ulimit -n" in shortage(RuntimeError("code: -24, message: too many open files"))
    assert "ulimit -n" in shortage(RuntimeError("Failed to init uv loop"))
    assert "no further thread" in shortage(RuntimeError("can't start new thread"))


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.EACCES, "Permission denied", "a"),
        ImportError("libx.so: cannot allocate memory in static TLS block"),
        ValueError("out of memory of events"),
    ],
)
def test_other_errors_are_no_shortage(error: Exception | None) -> None:
    assert shortage(error, "train") == ""


def test_errors_that_refer_to_one_another_end() -> None:
    one, other = RuntimeError("a"), RuntimeError("b")
    one.__cause__, other.__cause__ = other, one
    assert shortage(one) == ""


def test_a_training_without_memory_ends_in_a_line_and_goes_on(
    sedtf: Sedtf,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_epoch = Trainer._train_epoch

    def starved(self: Trainer, epoch: int) -> float:  # type: ignore[type-arg]
        return train_epoch(self, epoch) if epoch == 1 else float(torch.empty(2**54)[0])

    settings = (*TRAINED, f"data.root={recordings}", "output_dir=run", "trainer.epochs=3")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", starved)
        assert sedtf("train", *settings) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sedtf: out of memory")
    assert said.endswith(f"then: sedtf train resume={Path('run').absolute()}")

    assert sedtf("train", "resume=run") == 0
    assert len(Path("run/history.csv").read_text().splitlines()) == 1 + 3


def test_a_prediction_without_memory_ends_in_a_line(
    sedtf: Sedtf,
    trained_run: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def starve(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(predict, "_predict_folder", starve)
    words = (f"checkpoint={trained_run}", f"input={recordings}", "output_dir=out")
    assert sedtf("predict", *words) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("sedtf: out of memory: lower workers")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("Could not load the library"), "sedtf: Could not load the library"),
        (OSError(errno.EMFILE, "Too many open files"), "sedtf: too many open files"),
    ],
)
def test_what_is_no_fault_of_the_folder_is_not_told_as_one(
    sedtf: Sedtf,
    trained_run: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    told: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(work, "find_events", fail)
    words = (f"checkpoint={trained_run}", f"input={recordings}", "output_dir=out")
    assert sedtf("predict", *words) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(told)
