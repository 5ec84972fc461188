"""numba's cache on disk, filled by several processes at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")
from sed_cli.system import locks
from sed_cli.system.compiling import one_at_a_time

# Waits for the others, so that all see the empty cache at once.
TOGETHER = """
import sys, time
from pathlib import Path
place, dtype = Path(sys.argv[1]), sys.argv[2]
(place / f"{dtype}.ready").touch()
while len(list(place.glob("*.ready"))) < 2:
    time.sleep(0.001)
"""
SMALL = """
import sys
import numpy as np
from sed_cli.system.compiling import compiled

@compiled
def third(values):
    return values[0] / values.dtype.type(3)
"""
# The order in which numba without the lock stores float32's code under float64's name: both see
# the empty index, float64 writes it last, float32 writes the file last.
LATE = """
from numba.core.caching import IndexDataCacheFile as File
def after(seconds, function):
    return lambda *arguments: (time.sleep(seconds), function(*arguments))
File._save_index = after({"float32": 1, "float64": 2}[dtype], File._save_index)
File._save_data = after({"float32": 2, "float64": 0}[dtype], File._save_data)
"""
SMALL_RUN = """
value = third(np.ones(1, dtype))
again = third(np.ones(1, dtype))
assert value == again == np.ones(1, dtype)[0] / np.dtype(dtype).type(3), value
"""
SCAN = """
import torch
from torch import nn
from sed_cli.models.recurrence import feedback_gru
import sed_cli.models.recurrence.compiled_scan
"""
SCAN_RUN = """
torch.manual_seed(0)
torch.set_default_dtype(getattr(torch, dtype))
features, targets = torch.randn(4, 20, 8), torch.rand(4, 20, 3).round()
cell, readout = nn.GRUCell(11, 16), nn.Linear(16, 3)
def logits(backend):
    return feedback_gru(features, targets, None, cell, readout, backend, feedback="soft")
error = (logits("compiled") - logits("torch")).norm() / logits("torch").norm()
assert error < 1e-5, error
"""


def test_one_at_a_time_and_calls_of_its_own_pass(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    seen = []

    def compile_(signature: str) -> str:
        with lock.open("rb+") as file:
            seen.append((signature, locks.take(file)))
        return guarded("inner") if signature == "outer" else signature

    guarded = one_at_a_time(compile_, lock)
    assert guarded("outer") == "inner"
    is_free = None if os.name == "nt" else False
    assert seen == [("outer", is_free), ("inner", is_free)]
    with lock.open("rb+") as file:
        assert locks.take(file) is not False


def test_what_raises_leaves_the_lock_free(tmp_path: Path) -> None:
    def compile_(signature: str) -> None:
        raise ValueError(signature)

    for _ in range(2):
        with pytest.raises(ValueError, match="this"):
            one_at_a_time(compile_, tmp_path / "lock")("this")
    with (tmp_path / "lock").open("rb+") as file:
        assert locks.take(file) is not False


def test_where_no_lock_can_be_made_it_compiles_all_the_same(tmp_path: Path) -> None:
    assert one_at_a_time(str, tmp_path / "missing" / "lock")(1) == "1"


def side_by_side(script: str, place: Path) -> None:
    """Run a script for two precisions in parallel, with an empty cache, then with the result."""
    place.mkdir()
    path = place / "script.py"
    path.write_text(script)
    for _ in range(2):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(place / "cache")}
        processes = [
            subprocess.Popen(
                [sys.executable, str(path), str(place), dtype],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for dtype in ("float32", "float64")
        ]
        said = [process.communicate()[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said


@pytest.mark.slow
def test_a_cache_filled_by_two_processes_at_once_holds_no_code_of_the_other(tmp_path: Path) -> None:
    side_by_side(SMALL + TOGETHER + LATE + SMALL_RUN, tmp_path / "small")


@pytest.mark.slow
def test_the_scan_compiled_for_two_precisions_at_once_is_right_in_both(tmp_path: Path) -> None:
    side_by_side(SCAN + TOGETHER + SCAN_RUN, tmp_path / "scan")
