"""The state of files after a kill, a power cut and on a full disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sed_cli.system.files import (
    fitting_name,
    flush_tree,
    full_disk,
    remove_leftovers,
    replacing,
    replacing_folder,
    standing,
    write_json,
    write_text,
)


class Disk:
    """Records what reaches the disk, in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[str, str]] = []
        self.inodes: dict[int, str] = {}
        fsync, remove = os.fsync, shutil.rmtree

        def note_fsync(number: int) -> None:
            path = Path(f"/proc/self/fd/{number}").readlink()
            self.steps.append(("fsync", path.name.replace(path.suffix, "") or path.name))
            fsync(number)

        def note_removal(path: Path, **options: Any) -> None:
            if Path(path).exists():
                self.steps.append(("remove", Path(path).name))
            remove(path, **options)

        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(shutil, "rmtree", note_removal)
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._noting(getattr(os, name)))

    def _noting(self, function: Callable[..., None]) -> Callable[..., None]:
        def note(source: Path, target: Path) -> None:
            self.steps.append(("rename", Path(target).name))
            function(source, target)

        return note


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_durable_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    write_text(tmp_path / "run.json", "{}", durable=True)
    kinds = [kind for kind, _ in disk.steps]
    assert kinds == ["fsync", "rename", "fsync"]
    assert disk.steps[-1] == ("fsync", tmp_path.name)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_the_older_folder_goes_when_the_newer_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "last").mkdir()
    disk = Disk(monkeypatch)
    with replacing_folder(tmp_path / "last") as new:
        (new / "a").write_text("a")
        (new / "b").write_text("b")
    steps = disk.steps
    renamed = steps.index(("rename", "last"))
    assert {name for kind, name in steps[:renamed] if kind == "fsync"} >= {"a", "b"}
    assert steps.index(("rename", ".last-old")) > max(
        steps.index(("fsync", name)) for name in ("a", "b")
    )
    assert steps[renamed + 1] == ("fsync", tmp_path.name)  # the parent
    assert steps[renamed + 2] == ("remove", ".last-old")


class Killed(BaseException):
    """Not caught by anything, and without any cleanup."""


def kill_before(fatal: int, patch: pytest.MonkeyPatch) -> None:
    """Block all system calls from the given one on."""
    calls = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= fatal:
                raise Killed
            return function(*arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (os, "rename"), (os, "mkdir"), (shutil, "rmtree")):
        patch.setattr(owner, name, dying(getattr(owner, name)))


def put(folder: Path, content: str) -> None:
    with replacing_folder(folder) as new:
        (new / "weights").write_text(content)


@pytest.mark.parametrize("fatal", range(1, 11))
def test_a_folder_is_there_whole_at_every_kill(
    fatal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "last"
    put(folder, "old")
    put(folder, "newer")
    with monkeypatch.context() as patch, suppress(Killed):
        kill_before(fatal, patch)
        put(folder, "newest")
    assert (standing(folder) / "weights").read_text() in ("newer", "newest")
    put(folder, "one more")
    remove_leftovers(tmp_path, ["last"])
    assert (standing(folder) / "weights").read_text() == "one more"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_fault_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "before")
    half = replacing(tmp_path / "a.txt")
    half.__enter__().write_text("half")
    assert not half.__exit__(OSError, OSError("full"), None)
    assert (tmp_path / "a.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_only_what_was_left_half_written_is_removed(tmp_path: Path) -> None:
    kept = {".notes-20240501.txt", ".moon-20240501.png", "figure.png", ".best-old", ".hidden"}
    for name in kept:
        (tmp_path / name).write_text("a person's")
    with replacing(tmp_path / "curves.png") as path:
        path.write_text("half")
        shutil.copy(path, tmp_path / "copy")
        left = path.name
    (tmp_path / "copy").rename(tmp_path / left)
    (tmp_path / ".best-new-abcd1234").mkdir()
    (tmp_path / ".learning_curves-abcd1234.png").touch()
    remove_leftovers(tmp_path, ["best"])
    assert {path.name for path in tmp_path.iterdir()} == kept | {"curves.png"}
    remove_leftovers(tmp_path / "absent")


def test_a_record_finds_room_in_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"status": "running", "long": "x" * 100})

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    write_json(path, {"status": "failed"})
    assert path.read_text() == '{\n  "status": "failed"\n}\n'
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "other.json", {})


def test_a_full_disk_names_the_file_that_was_written(tmp_path: Path) -> None:
    def fill() -> None:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: .*a\.txt"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_below_what_it_led_to(tmp_path: Path) -> None:
    error = RuntimeError("the writer gave up")
    gone = str(tmp_path / "gone" / "a.wav")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device", gone)
    assert full_disk(error) == tmp_path
    assert full_disk(RuntimeError("I/O error: No space left on device (os error 28)")) == Path()
    assert full_disk(OSError(errno.EACCES, "Permission denied", "a")) is None
    told = RuntimeError("cannot be written to (No space left on device)")
    told.__cause__ = error.__context__
    assert full_disk(told) == tmp_path
    assert full_disk(None) is None


def test_flushing_passes_over_links_pipes_and_what_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "old").write_text("old")
    os.utime(tmp_path / "old", (0, 0))
    (tmp_path / "link").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    flush_tree(tmp_path, since=1.0)
    assert len(flushed) == 2  # `a` and the folder


@pytest.mark.parametrize("name", ["x" * 251 + ".tsv", "ä" * 125 + ".tsv", "y" * 255])
def test_a_name_may_be_as_long_as_the_file_system_takes_it(name: str, tmp_path: Path) -> None:
    write_text(tmp_path / name, "whole")
    assert (tmp_path / name).read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_long_name_is_cut_for_its_ending_and_stays_its_own() -> None:
    names = ["x" * 250 + end for end in ("a", "b")] + ["ä" * 124, "short"]
    made = [fitting_name(name, ".scores.tsv") for name in names]
    assert len(set(made)) == len(made)
    assert made[-1] == "short.scores.tsv"
    assert all(len(os.fsencode(name)) <= 255 and name.endswith(".scores.tsv") for name in made)
    assert made == [fitting_name(name, ".scores.tsv") for name in names]
