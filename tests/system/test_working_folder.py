"""Nothing in the working folder acts on the command, or on the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What the processes of multiprocessing import first, before they know the path of their parent.
_SHADOWS = ("multiprocessing", "signal", "struct", "pickle", "threading", "runpy", "sed_cli")

_COMMAND = """
import sys
from sed_cli.system import working_folder
working_folder.keep_out()
import multiprocessing
from sed_cli.system.pool import run_in_processes
if __name__ == "__main__":
    print(sorted(run_in_processes(abs, [-1, -2], 1)))
    import matplotlib, numba, subprocess
    print(numba.config.CACHE_DIR or "none")
    child = "import sed_cli, matplotlib, numba; print(numba.config.CACHE_DIR or 'none')"
    print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
"""


def _run(folder: Path, place: Path) -> list[str]:
    """Run a script elsewhere in a working folder, as the command ``sedtf`` is run."""
    script = place / "command.py"
    script.write_text(_COMMAND)
    unset = ("PYTHONSAFEPATH", "SEDTF_WORKING_FOLDER_IS_KEPT_OUT", "NUMBA_CACHE_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_no_process_of_the_command_takes_code_or_settings_from_there(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    folder, place, mark = tmp_path / "theirs", tmp_path / "ours", tmp_path / "mark"
    folder.mkdir()
    place.mkdir()
    for name in _SHADOWS:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write(__name__)\n")
    # numba unpickles what is in this folder
    (folder / ".numba_config.yaml").write_text("cache_dir: theirs\n")
    os.mkfifo(folder / "matplotlibrc")  # that nothing is written to: opening it has no end

    assert _run(folder, place)[:3] == ["[1, 2]", "none", "none"]
    assert not mark.exists(), mark.read_text()
