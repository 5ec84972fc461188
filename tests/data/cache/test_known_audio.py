"""Facts about audio files are found once, and reused as long as the files are unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed_cli.audio import facts, inspect_audio
from sed_cli.data.cache import memory
from sed_cli.data.cache.known_audio import inspect_all


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened, as in a new process that treats all files as settled."""
    paths: list[Path] = []
    inspect = facts._inspect

    def noted(path: Path) -> facts.AudioFacts:
        paths.append(path)
        return inspect(path)

    monkeypatch.setattr(facts, "_inspect", noted)
    monkeypatch.setattr(facts, "_known", {})
    monkeypatch.setattr(memory, "SETTLED_AFTER_S", -60.0)
    return paths


def write(path: Path, n_samples: int) -> Path:
    soundfile.write(path, np.zeros(n_samples), 8000)
    return path


def test_a_file_is_looked_at_once_and_again_when_it_has_changed(
    looked_at: list[Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", 8000)
    missing = tmp_path / "missing.wav"
    for _ in range(2):
        facts._known.clear()
        inspect_all([path, missing, path], str(tmp_path / "cache"))
        assert inspect_audio(path).duration_s == 1
        assert looked_at == [path]
    write(path, 16_000)
    inspect_all([path], str(tmp_path / "cache"))
    assert inspect_audio(path).duration_s == 2
    assert looked_at == [path, path]


def test_notes_and_losses_survive(looked_at: list[Path], tmp_path: Path) -> None:
    cut, joined = write(tmp_path / "a.wav", 8000), write(tmp_path / "b.wav", 8000)
    joined.write_bytes(2 * joined.read_bytes())
    cut.write_bytes(cut.read_bytes()[:8000])
    found = []
    for _ in range(2):
        facts._known.clear()
        inspect_all([cut, joined], str(tmp_path / "cache"))
        found.append([inspect_audio(path) for path in (cut, joined)])
    assert found[0] == found[1]
    assert found[0][0].loss is not None
    assert len(found[0][1].notes) == 1
    assert looked_at == [cut, joined]


def test_without_a_cache_files_are_looked_at_all_the_same(
    looked_at: list[Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", 8000)
    (tmp_path / "cache").write_text("no folder")
    inspect_all([path], str(tmp_path / "cache"))
    assert inspect_audio(path).duration_s == 1
    assert looked_at == [path]
