"""The files of a folder that are examined: through links, but not the output of sedtf."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.data.annotations import WRITTEN
from sed_cli.data.endings import SCORES_ENDING
from sed_cli.data.names import predicted_name
from sed_cli.data.walking import identity, walk
from sed_cli.tasks.detection.items import AudioInput


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk(folder).files]


@pytest.mark.parametrize("mark", ["run.json", "sweep.json", ".hydra/config.yaml", "multirun.yaml"])
def test_what_runs_wrote_is_not_searched_nor_what_is_below(mark: str, tmp_path: Path) -> None:
    touch(tmp_path / "a.txt")
    touch(tmp_path / "outputs" / "train" / "1" / mark)
    touch(tmp_path / "outputs" / "train" / "1" / "events.tsv")
    touch(tmp_path / "outputs" / "train" / "1" / "checkpoints" / "deep.txt")
    touch(tmp_path / "outputs" / "mine.txt")

    assert names(tmp_path) == ["a.txt", "outputs/mine.txt"]
    assert walk(tmp_path).runs == (tmp_path / "outputs" / "train" / "1",)


def test_a_run_folder_that_is_named_is_searched_but_for_its_records(tmp_path: Path) -> None:
    for name in ("run.json", "events.tsv", "train.tsv", "audio/a.wav", ".hydra/config.yaml"):
        touch(tmp_path / name)

    assert names(tmp_path) == ["audio/a.wav", "train.tsv"]


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "x.txt")
    root = tmp_path / "set"
    touch(root / "a" / "y.txt")
    (root / "linked").symlink_to(tmp_path / "store")
    (root / "a" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "a")
    (root / "broken").symlink_to(tmp_path / "nowhere")

    assert names(root) == ["a/y.txt", "linked/x.txt"]


def test_a_file_is_the_same_through_links(tmp_path: Path) -> None:
    path = touch(tmp_path / "x.txt")
    (tmp_path / "soft.txt").symlink_to(path)
    (tmp_path / "hard.txt").hardlink_to(path)
    other = touch(tmp_path / "y.txt")

    same = {identity(tmp_path / name) for name in ("x.txt", "soft.txt", "hard.txt")}
    assert len(same) == 1
    assert identity(other) not in same


@pytest.mark.parametrize("ending", [*(known.ending for known in WRITTEN.values()), ".jsonl"])
@pytest.mark.parametrize("name", ["x", "x.wav", "20240501_210000"])
def test_what_predict_writes_is_known_by_its_name(name: str, ending: str) -> None:
    item = AudioInput(path=Path("x.wav"), base=Path("folder") / name)

    assert predicted_name(item.written(f".events{ending}")) == name
    assert predicted_name(item.written(SCORES_ENDING)) == name
    assert predicted_name(Path(f"{name}{ending}")) is None
    assert predicted_name(Path(f"{name}.events_corrected{ending}")) is None


def test_a_link_to_a_folder_above_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "beside.wav").write_text("")
    (folder / "own.wav").write_text("")
    (folder / "deep" / "up").symlink_to(tmp_path)
    (folder / "deep" / "root").symlink_to("/")
    (folder / "deep" / "self").symlink_to(folder)
    assert [path.name for path in walk(folder).files] == ["own.wav"]
    assert "a link to /, which contains it: skipped" in caplog.text
