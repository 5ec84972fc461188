from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from pathlib import Path
from sed_cli.training.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def left():
    before = resident()
    block = torch.ones(50_000_000)
    del block
    return resident() - before

returned = left()
assert keep_freed_memory()
print(left(), returned)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have ways of their own")
def test_a_large_block_that_is_freed_stays_with_the_process() -> None:
    kept, returned = map(int, subprocess.check_output([sys.executable, "-c", SCRIPT]).split())
    assert kept > 180e6  # of 200 MB
    assert returned < 20e6
