"""A folder belongs to one process at a time, whatever happened to earlier ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sed_cli.system import locks
from sed_cli.system.files import write_json
from sed_cli.system.records import InUseError, at_work, note_end, this_process

HOLD = """
import sys
from pathlib import Path
from sed_cli.system.records import InUseError, at_work
sys.stdin.readline()
try:
    with at_work(Path(sys.argv[1])):
        print("has it", flush=True)
        sys.stdin.readline()
except InUseError as error:
    print(error, flush=True)
"""


def start(folder: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=cwd)


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_of_several_that_come_together_one_has_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    spellings = ["run", "run/", str(tmp_path / "run"), "./run/../run", "link"]
    processes = [start(spelling, cwd=tmp_path) for spelling in spellings]
    try:
        for process in processes:
            say(process)
        heard = [hear(process) for process in processes]
        winner = processes[heard.index("has it")]
        assert heard.count("has it") == 1
        assert heard.count(f"process {winner.pid} on {os.uname().nodename} is using it") == 4
        with pytest.raises(InUseError), at_work(tmp_path / "link"):
            pass
    finally:
        for process in processes:
            end(process)
    with at_work(tmp_path / "run"):  # it was killed, and its leftovers do not matter
        assert (tmp_path / "run" / ".at_work").exists()
    assert list((tmp_path / "run").iterdir()) == []


def test_without_locks_the_file_counts_while_its_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_HAS_LOCKS", False)
    claim = tmp_path / ".at_work"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        since = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        write_json(claim, this_process() | {"pid": other.pid, "since": since})
        with pytest.raises(InUseError, match=f"process {other.pid}"), at_work(tmp_path):
            pass
        other.kill()
    with at_work(tmp_path):
        assert str(os.getpid()) in claim.read_text()
    claim.write_bytes(b"\0\0\0")  # a power cut
    with at_work(tmp_path):
        pass


def test_a_folder_is_not_taken_through_a_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".at_work").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"), at_work(tmp_path / "run"):
        pass
    assert mine.read_text() == "precious"


def test_a_run_that_another_continues_with_is_not_written_off(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        since = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        alive = this_process() | {"pid": other.pid, "since": since}
        write_json(tmp_path / "run.json", {"status": "running", "process": alive})
        note_end(tmp_path, "failed", "its folder was taken")
        assert '"running"' in (tmp_path / "run.json").read_text()
        other.kill()
    note_end(tmp_path, "interrupted", "killed")
    assert '"interrupted"' in (tmp_path / "run.json").read_text()
