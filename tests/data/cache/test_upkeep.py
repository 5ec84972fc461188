"""Keeping the cache small: what is deleted, what is kept, and what is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sed_cli.data.cache import upkeep
from sed_cli.data.cache.packs import Pack, PackWriter
from sed_cli.data.cache.upkeep import (
    Cached,
    cache_root,
    hold,
    items,
    limit_bytes,
    release,
    sweep,
    trim,
)
from sed_cli.errors import UserError
from tests.conftest import TINY, Sedtf

DAY_S = 24 * 3600.0


def add_features(root: Path, *, n_rows: int = 100, age_days: float = 0.0) -> Path:
    """A pack of 100 rows is 40 kB of features."""
    folder = root / "features" / ("0" * 32)
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    with PackWriter(folder, n_mels=100, hop_s=0.036, source="/music") as writer:
        writer.append("a", [np.zeros((n_rows, 100), np.float32)])
    (path,) = set(folder.iterdir()) - before
    return aged(path, age_days)


def add_soundscapes(root: Path, name: str, *, age_days: float = 0.0) -> Path:
    folder = root / "soundscapes" / name
    (folder / "audio" / "train").mkdir(parents=True)
    (folder / "audio" / "train" / "a.flac").write_bytes(b"x" * 40_000)
    settings = {"settings": {"duration_s": 10.0, "seed": 3}}
    (folder / "recipe.json").write_text(json.dumps(settings))
    for path in folder.rglob("*"):
        aged(path, age_days)
    return folder


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))
    return path


def held(root: Path) -> set[Path]:
    return {item.path for item in items(root)}


def test_items_say_what_they_are(tmp_path: Path) -> None:
    pack = add_features(tmp_path, age_days=2)
    folder = add_soundscapes(tmp_path, "abc", age_days=1)

    features, soundscapes = items(tmp_path)

    assert (features.kind, features.path, features.source) == ("features", pack, "/music")
    assert features.n_bytes == pack.stat().st_size > 40_000
    assert features.n_recordings == 1
    assert features.hours == pytest.approx(100 * 0.036 / 3600)
    assert time.time() - features.last_use == pytest.approx(2 * DAY_S, abs=60)
    assert (soundscapes.kind, soundscapes.path) == ("soundscapes", folder)
    assert soundscapes.source == "abc (10 s each, seed 3)"
    assert soundscapes.n_bytes > 40_000
    assert soundscapes.n_recordings == 1
    assert soundscapes.hours == pytest.approx(10 / 3600)
    assert time.time() - soundscapes.last_use == pytest.approx(DAY_S, abs=60)


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    old = add_features(tmp_path, age_days=5)
    older = add_soundscapes(tmp_path, "older", age_days=6)
    new = add_features(tmp_path, age_days=1)
    newer = add_soundscapes(tmp_path, "newer")

    removed = trim(tmp_path, 90e3 / 1e9)

    assert [item.path for item in removed] == [older, old]
    assert held(tmp_path) == {new, newer}
    assert trim(tmp_path, 90e3 / 1e9) == []


def test_what_is_in_use_stays_and_the_limit_gives_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack = Pack(add_features(tmp_path, age_days=5))
    folder = add_soundscapes(tmp_path, "abc", age_days=6)
    assert hold(folder)
    aged(folder / "recipe.json", 6)
    unused = add_features(tmp_path, age_days=1)

    removed = trim(tmp_path, 0)

    assert [item.path for item in removed] == [unused]
    assert held(tmp_path) == {pack.path, folder}
    assert "more than the limit" in caplog.text
    assert all(item.is_in_use for item in items(tmp_path))
    release(folder)
    del pack
    assert not any(item.is_in_use for item in items(tmp_path))
    assert len(trim(tmp_path, 0)) == 2


def test_soundscapes_that_are_gone_cannot_be_held(tmp_path: Path) -> None:
    assert not hold(tmp_path / "soundscapes" / "gone")


def test_use_is_noted(tmp_path: Path) -> None:
    folder = add_soundscapes(tmp_path, "abc", age_days=6)
    assert hold(folder)
    (item,) = items(tmp_path)
    assert time.time() - item.last_use < 60
    release(folder)


def test_the_limit_is_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEDTF_CACHE_LIMIT_GB", raising=False)
    assert 0 < limit_bytes(tmp_path, None, 0) <= 20e9
    monkeypatch.setenv("SEDTF_CACHE_LIMIT_GB", "0.5")
    assert limit_bytes(tmp_path, None, 0) == 500_000_000
    assert limit_bytes(tmp_path, 2.0, 0) == 2_000_000_000
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("SEDTF_CACHE_LIMIT_GB", wrong)
        with pytest.raises(UserError, match=f"SEDTF_CACHE_LIMIT_GB={wrong}: expected a number"):
            limit_bytes(tmp_path, None, 0)


def test_a_small_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEDTF_CACHE_LIMIT_GB", raising=False)
    usage = upkeep.shutil.disk_usage(tmp_path)._replace(free=3_000_000_000)
    monkeypatch.setattr(upkeep.shutil, "disk_usage", lambda _: usage)
    assert limit_bytes(tmp_path, None, 1_000_000_000) == 2_000_000_000


def test_leftovers_of_interrupted_runs_are_swept(tmp_path: Path) -> None:
    kept = add_features(tmp_path)
    add_soundscapes(tmp_path, "kept")
    unfinished = kept.with_suffix(".part")
    unfinished.write_bytes(b"x" * 1000)
    old = add_soundscapes(tmp_path, ".abc.1234.partial", age_days=2)
    future = add_soundscapes(tmp_path, ".abc.9012.partial", age_days=-400)
    new = add_soundscapes(tmp_path, ".abc.5678.partial")

    assert sweep(tmp_path) > 41_000

    assert not unfinished.exists()
    assert not old.exists()
    assert not future.exists()  # from before the clock was set back
    assert new.exists()  # another process may be writing it
    assert len(held(tmp_path)) == 2


def test_features_of_an_earlier_version_can_be_listed_and_cleared(tmp_path: Path) -> None:
    (tmp_path / "features" / "ab").mkdir(parents=True)
    np.save(tmp_path / "features" / "ab" / "abcdef.npy", np.zeros((3, 4), np.float32))

    (item,) = items(tmp_path)

    assert (item.kind, item.source, item.n_recordings) == ("features", "an earlier version", 1)
    assert item.remove()
    assert held(tmp_path) == set()


def test_a_damaged_pack_is_an_item_like_others(tmp_path: Path) -> None:
    path = add_features(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])

    (item,) = items(tmp_path)

    assert (item.source, item.n_recordings) == ("damaged", 0)
    assert item.remove()


def test_an_item_that_is_gone_counts_as_removed(tmp_path: Path) -> None:
    pack, folder = add_features(tmp_path), add_soundscapes(tmp_path, "abc")
    found: list[Cached] = list(items(tmp_path))
    pack.unlink()
    upkeep._remove_folder(folder)
    assert [item.remove() for item in found] == [True, True]


def test_the_cache_is_where_the_settings_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEDTF_CACHE", str(tmp_path / "by_environment"))

    assert cache_root(None) == tmp_path / "by_environment"
    assert cache_root(str(tmp_path / "by_key")) == tmp_path / "by_key"
    assert (tmp_path / "by_key").is_dir()


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match=r"data\.cache_dir or SEDTF_CACHE"):
        cache_root(str(tmp_path / "file" / "below"))


# ------------------------------------------------------------------------------- the verb


def test_the_cache_is_listed_and_nothing_is_written(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "kept"
    add_features(root, age_days=2)
    pack = Pack(add_features(root, age_days=1))
    add_soundscapes(root, "abc")
    before = {path: path.stat().st_mtime for path in tmp_path.rglob("*")}

    assert sedtf("cache", f"cache_dir={root}") == 0

    out, err = capfd.readouterr()
    header, features, soundscapes, total = out.splitlines()
    assert header.split("  ")[0] == "kind"
    day, minute = time.strftime("%Y-%m-%d %H:%M", time.localtime(before[pack.path])).split()
    assert features.split() == [
        *("features", "2", "0.0", "80.3", "kB", day, minute, "yes", "/music")
    ]
    assert soundscapes.split()[0] == "soundscapes"
    assert soundscapes.endswith("abc (10 s each, seed 3)")
    assert "yes" not in soundscapes
    assert total.startswith("120.3 kB of at most ")
    assert err == ""
    assert {path: path.stat().st_mtime for path in tmp_path.rglob("*")} == before
    assert pack.index.n_rows == 100


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (["clear=all"], {"used"}),
        (["clear=features"], {"used", "new soundscapes", "old soundscapes"}),
        (["clear=soundscapes"], {"used", "new features", "old features"}),
        (["clear=all", "older_than_days=3"], {"used", "new features", "new soundscapes"}),
        (["clear=all", "older_than_days=30"],
         {"used", "new features", "new soundscapes", "old features", "old soundscapes"}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_cleared_unless_it_is_in_use(
    settings: list[str], left: set[str], sedtf: Sedtf, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = tmp_path / "kept"
    paths = {
        "used": add_features(root, age_days=9),
        "new features": add_features(root, age_days=1),
        "old features": add_features(root, age_days=5),
        "new soundscapes": add_soundscapes(root, "new", age_days=1),
        "old soundscapes": add_soundscapes(root, "old", age_days=5),
    }
    pack = Pack(paths["used"])

    assert sedtf("cache", f"cache_dir={root}", *settings) == 0

    assert {name for name, path in paths.items() if path.exists()} == left
    assert held(root) == {paths[name] for name in left}
    out = capfd.readouterr().out
    n_bytes = 40_000 * (5 - len(left)) / 1000
    (removed,) = (line for line in out.splitlines() if line.startswith("removed "))
    # and the indices, which are short
    assert float(removed.split()[1]) == pytest.approx(n_bytes, rel=0.02)
    asked_for_used = settings[0] != "clear=soundscapes" and settings[-1] != "older_than_days=30"
    assert ("in use or owned by" in out) == asked_for_used
    del pack


def test_what_was_used_before_the_clock_was_set_back_is_cleared_too(
    tmp_path: Path, sedtf: Sedtf
) -> None:
    pack = add_features(tmp_path, age_days=-400)
    assert sedtf("cache", f"cache_dir={tmp_path}", "clear=all", "older_than_days=1") == 0
    assert pack.exists()
    assert sedtf("cache", f"cache_dir={tmp_path}", "clear=all") == 0
    assert not pack.exists()


def test_the_list_answers_without_torch(tmp_path: Path) -> None:
    add_features(tmp_path)
    script = f"""
import sys
from pathlib import Path
from sed_cli.config.tools import CacheConfig
from sed_cli.data.cache.report import manage_cache
manage_cache(CacheConfig(cache_dir={str(tmp_path)!r}))
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/music" in done.stdout


def test_a_training_keeps_the_limit_and_its_own_features(
    sedtf: Sedtf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "kept"
    unused = add_features(root, age_days=1)
    settings = (
        *TINY,
        *("data.n_train=4", "data.n_validation=1", "data.n_test=1", "data.duration_s=4.0"),
        "data.sequence_length=126",
        "trainer.max_updates=1",
        f"data.cache_dir={root}",
        "data.cache_limit_gb=0.00001",
        "output_dir=run",
    )
    assert sedtf("train", *settings) == 0
    assert "more than the limit" in capfd.readouterr().err
    assert not unused.exists()
    assert sorted(item.kind for item in items(root)) == ["features", "soundscapes"]


def test_pipes_and_devices_are_listed_without_being_opened_and_cleared(tmp_path: Path) -> None:
    pack = add_features(tmp_path)
    os.mkfifo(pack.with_name("pipe.pack"))
    pack.with_name("device.pack").symlink_to("/dev/zero")

    found = {item.path.name: item for item in items(tmp_path)}

    assert {found[name].source for name in ("pipe.pack", "device.pack")} == {"damaged"}
    assert not found["pipe.pack"].is_in_use
    assert all(item.remove() for item in found.values())
    assert held(tmp_path) == set()
    assert Path("/dev/zero").exists()


def test_what_links_lead_to_is_not_the_cache_s_to_delete(tmp_path: Path) -> None:
    mine = add_features(tmp_path / "other")
    root = tmp_path / "cache"
    own = add_features(root)
    (root / "features" / "linked").symlink_to(mine.parent)
    (root / "soundscapes").mkdir(exist_ok=True)
    (root / "soundscapes" / "linked").symlink_to(tmp_path / "other")
    own.with_name("linked.pack").symlink_to(mine)

    for item in items(root):
        item.remove()
    sweep(root)

    assert mine.is_file()
    assert not own.exists()
