from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys, torch
from pathlib import Path
from sed_cli.training.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "keeps":
    assert keep_freed_memory()
before = resident()
block = torch.ones(50_000_000)
del block
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others have ways of their own")
def test_a_large_block_that_is_freed_stays_with_the_process() -> None:
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", SCRIPT, way]))
        for way in ("keeps", "returns")
    )
    assert kept > 180e6  # of 200 MB
    assert returned < 20e6
