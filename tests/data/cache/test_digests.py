"""Hashes of files: remembered as long as they are certain, and no longer."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sed_cli.data.cache import digests
from sed_cli.data.cache import memory as memory_module
from sed_cli.data.cache.digests import Digests, digest, file_digest
from sed_cli.errors import DataError


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed, in order."""
    paths: list[Path] = []

    def counted(path: Path) -> str:
        paths.append(path)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", counted)
    return paths


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digests:
    """A memory that treats recently written files as settled."""
    monkeypatch.setattr(memory_module, "SETTLED_AFTER_S", -60.0)
    return Digests(tmp_path / "digests.sqlite")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def contents(memory: Digests, *paths: Path) -> list[str]:
    return [one.content for one in memory.of(paths)]


def test_a_file_is_read_once(tmp_path: Path, memory: Digests, hashed: list[Path]) -> None:
    paths = [write(tmp_path / name, name) for name in "abc"]

    first = contents(memory, *paths, paths[0])
    again = contents(Digests(tmp_path / "digests.sqlite"), *paths, paths[0])

    assert first == again == [file_digest(path) for path in (*paths, paths[0])]
    assert sorted(hashed) == paths


@pytest.mark.parametrize("change", ["rewritten", "same size", "times set back", "replaced"])
def test_a_changed_file_is_read_again(
    change: str, tmp_path: Path, memory: Digests, hashed: list[Path]
) -> None:
    path = write(tmp_path / "a", "before")
    status = path.stat()
    contents(memory, path)

    if change == "replaced":
        write(tmp_path / "b", "others").replace(path)
    else:
        write(path, "much longer" if change == "rewritten" else "others")
    if change in ("times set back", "replaced"):
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert contents(memory, path) == [file_digest(path)]
    assert len(hashed) == 2


def test_a_link_that_leads_elsewhere_is_another_file(
    tmp_path: Path, memory: Digests, hashed: list[Path]
) -> None:
    one, other = write(tmp_path / "one", "1"), write(tmp_path / "other", "2")
    link = tmp_path / "link"
    link.symlink_to(one)
    contents(memory, link)
    link.unlink()
    link.symlink_to(other)

    assert contents(memory, link) == [file_digest(other)]


def test_a_file_of_a_moment_ago_is_not_trusted(tmp_path: Path, hashed: list[Path]) -> None:
    """It may be written again within the same tick of the file system's clock."""
    memory = Digests(tmp_path / "digests.sqlite")
    path = write(tmp_path / "a", "text")

    contents(memory, path)
    contents(memory, path)

    assert hashed == [path, path]


def test_a_file_that_is_written_to_all_the_time_is_refused(
    tmp_path: Path, memory: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", "")

    def writing(path: Path) -> str:
        write(path, path.read_text() + "x")
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", writing)
    with pytest.raises(DataError, match="is being written while it is read"):
        contents(memory, path)


def test_a_missing_file_is_named(tmp_path: Path, memory: Digests) -> None:
    with pytest.raises(DataError, match=r"nowhere\.wav: no such audio file"):
        contents(memory, tmp_path / "nowhere.wav")


@pytest.mark.parametrize("state", ["damaged", "locked", "a folder", "another table"])
def test_without_its_table_it_still_hashes(state: str, tmp_path: Path, memory: Digests) -> None:
    path = write(tmp_path / "a", "text")
    table = tmp_path / "digests.sqlite"
    if state == "damaged":
        table.write_bytes(b"no table at all" * 100)
    elif state == "a folder":
        table.mkdir()
    elif state == "another table":
        with sqlite3.connect(table) as other:
            other.execute("CREATE TABLE files (path)")
        other.close()
    else:
        contents(memory, path)
        other = sqlite3.connect(table, timeout=0)
        other.execute("BEGIN EXCLUSIVE")
        connect = sqlite3.connect

        def impatient(*arguments: Any, **_: Any) -> sqlite3.Connection:
            return connect(*arguments, timeout=0.01)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite3, "connect", impatient)
            assert contents(memory, path) == [file_digest(path)]
        other.close()

    assert contents(memory, path) == [file_digest(path)]


def test_a_damaged_table_is_made_anew(tmp_path: Path, memory: Digests, hashed: list[Path]) -> None:
    path = write(tmp_path / "a", "text")
    (tmp_path / "digests.sqlite").write_bytes(b"no table at all" * 100)

    for _ in range(3):
        contents(memory, path)

    assert hashed == [path]


def test_names_of_any_bytes_are_remembered(
    tmp_path: Path, memory: Digests, hashed: list[Path]
) -> None:
    path = write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")), "text")

    contents(memory, path)
    contents(memory, path)

    assert hashed == [path]


def test_a_digest_depends_on_values_and_not_on_their_order() -> None:
    assert digest({"a": 1, "b": None}) == digest({"b": None, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": "1"})
