"""Packs: they are read as written, and incomplete files are never taken for a pack."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.data.cache import packs
from sed_cli.data.cache.packs import Pack, PackWriter, StoredArray, read_index
from sed_cli.errors import DataError
from sed_cli.system import locks


def rows(n_rows: int, seed: int = 0, n_mels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n_rows, n_mels)).astype(np.float32)


def write_pack(folder: Path, *arrays: NDArray[np.float32]) -> Path:
    before = set(folder.iterdir())
    with PackWriter(folder, n_mels=arrays[0].shape[1], hop_s=0.02, source="here") as writer:
        for number, array in enumerate(arrays):
            writer.append(str(number), [array])
    (path,) = set(folder.iterdir()) - before
    return path


def stored(pack: Pack, name: str) -> StoredArray:
    return StoredArray(pack, name)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=3), min_size=1, max_size=5),
    first=st.integers(-9, 9),
    last=st.none() | st.integers(-9, 9),
)
def test_what_was_written_in_blocks_is_read_by_ranges(
    cuts: list[list[int]], first: int, last: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    written = {}
    with PackWriter(folder, n_mels=3, hop_s=0.02, source="here") as writer:
        for number, of_recording in enumerate(cuts):
            blocks = [rows(n_rows, seed) for seed, n_rows in enumerate(of_recording)]
            writer.append(str(number), blocks)
            written[str(number)] = np.concatenate(blocks)
    (path,) = folder.iterdir()
    if not any(len(array) for array in written.values()):
        return

    pack = Pack(path)

    assert pack.index == read_index(path)
    assert (pack.index.n_mels, pack.index.hop_s, pack.index.source) == (3, 0.02, "here")
    for name, array in written.items():
        read = stored(pack, name)
        assert len(read) == len(array)
        assert read.shape == array.shape
        np.testing.assert_array_equal(read, array)
        np.testing.assert_array_equal(read[first:last], array[first:last])


def test_ranges_with_gaps_are_refused(tmp_path: Path) -> None:
    read = stored(Pack(write_pack(tmp_path, rows(5))), "0")
    with pytest.raises(ValueError, match="a step of 2"):
        read[::2]


def test_a_recording_that_fails_leaves_the_others_whole(tmp_path: Path) -> None:
    def failing() -> object:
        yield rows(400)
        raise RuntimeError("in the middle")

    with PackWriter(tmp_path, n_mels=3, hop_s=0.02, source="here") as writer:
        writer.append("a", [rows(4, 1)])
        with pytest.raises(RuntimeError):
            writer.append("b", failing())  # type: ignore[arg-type]
        writer.append("c", [rows(2, 2)])
    (path,) = tmp_path.iterdir()

    pack = Pack(path)

    assert pack.index.recordings.keys() == {"a", "c"}
    np.testing.assert_array_equal(stored(pack, "a"), rows(4, 1))
    np.testing.assert_array_equal(stored(pack, "c"), rows(2, 2))


def test_a_pack_without_recordings_leaves_no_file(tmp_path: Path) -> None:
    with PackWriter(tmp_path, n_mels=3, hop_s=0.02, source="here"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["cut", "empty", "longer", "shorter rows", "other"])
def test_a_damaged_file_is_no_pack(change: str, tmp_path: Path) -> None:
    path = write_pack(tmp_path, rows(50))
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-1],
        "empty": b"",
        "longer": whole + b"x",
        "shorter rows": whole[12:],
        "other": b"x" * 1000,
    }[change]
    path.write_bytes(damaged)

    with pytest.raises(ValueError, match=r"pack|bytes of features"):
        Pack(path)


@pytest.mark.slow
def test_pages_that_were_read_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated reading does not keep everything in memory."""
    if not hasattr(mmap, "MADV_DONTNEED") or not Path("/proc/self/smaps").exists():
        pytest.skip("the system does not tell")
    monkeypatch.setattr(packs, "_MAPPED_AT_MOST", 4 << 20)
    path = write_pack(tmp_path, rows(80_000, n_mels=64))  # 20 MB
    read = stored(Pack(path), "0")
    most = 0
    for first in range(0, len(read), 1000):
        np.testing.assert_array_equal(read[first : first + 2], read[first : first + 1000][:2])
        most = max(most, _resident_bytes(path))
    assert 1 << 20 < most < 8 << 20


def _resident_bytes(path: Path) -> int:
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return 1024 * next(int(x.split()[1]) for x in lines if x.startswith("Rss:"))
    return 0


def test_a_stored_array_reads_the_same_in_another_process(tmp_path: Path) -> None:
    read = stored(Pack(write_pack(tmp_path, rows(3), rows(5, 1))), "1")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(read)), rows(5, 1))


def test_a_pack_in_use_is_not_deleted_by_another_process(tmp_path: Path) -> None:
    path = write_pack(tmp_path, rows(3))
    script = f"""
from pathlib import Path
from sed_cli.system.locks import remove_unused
print(remove_unused(Path({str(path)!r})))
"""

    def try_to_delete() -> str:
        return subprocess.check_output([sys.executable, "-c", script], text=True).strip()

    read = stored(Pack(path), "0")
    assert try_to_delete() == "False"
    np.testing.assert_array_equal(read, rows(3))
    del read
    assert try_to_delete() == "True"
    assert not path.exists()


def test_a_killed_writer_leaves_a_file_that_others_may_delete(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
import numpy as np
from sed_cli.data.cache.packs import PackWriter

def slowly():
    yield np.zeros((5000, 3), np.float32)
    print("half", flush=True)
    time.sleep(60)

with PackWriter(Path({str(tmp_path)!r}), n_mels=3, hop_s=0.02, source="here") as writer:
    writer.append("a", slowly())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        (unfinished,) = tmp_path.iterdir()
        assert unfinished.suffix == packs.UNFINISHED
        assert not locks.remove_unused(unfinished)
        os.kill(writer.pid, signal.SIGKILL)
    assert locks.remove_unused(unfinished)
    assert list(tmp_path.iterdir()) == []


def test_a_pack_that_is_cut_while_it_is_read_is_an_error_and_no_end_of_the_process(
    tmp_path: Path,
) -> None:
    path = write_pack(tmp_path, rows(100_000))
    pack = Pack(path)
    (content,) = pack.index.recordings
    os.truncate(path, 4096)
    for read in (lambda: pack.rows(99_000, 99_001), lambda: pack.is_intact(content)):
        with pytest.raises(DataError, match="was truncated while in use; delete it"):
            read()
