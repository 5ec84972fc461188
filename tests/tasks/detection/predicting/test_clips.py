"""Clips of events: which recording they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.config.tools import PredictConfig
from sed_cli.data.annotations import Detection, Findings
from sed_cli.tasks.detection.predicting import work
from sed_cli.tasks.detection.predicting.clips import clips_of, earlier_clips, remove_clips
from sed_cli.tasks.detection.predicting.ledger import Done
from sed_cli.tasks.detection.predicting.work import FilePredictor, FileTask

RECORDINGS = ["a.wav", "deep/a.wav", "b_0.500_a.wav", "a_ch2.wav", "owl_0.900_a_ch1.wav"]


def paths_of(name: str, folder: Path, n_channels: int) -> set[Path]:
    events = [Detection(0.1, 0.2, "owl", 0.9), Detection(1234.5, 1235.0, "b_0.500", 0.25)]
    found = {f"{name}{i}": Findings(detections=events, channel=1 + i) for i in range(n_channels)}
    return {clip.path for clip in clips_of(found, name, folder, 0.5)}


def test_all_clips_of_a_recording_are_known_by_their_names(tmp_path: Path) -> None:
    made = {(name, n): paths_of(name, tmp_path, n) for name in RECORDINGS for n in (1, 3)}
    for path in set().union(*made.values()):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "owl" / "of somebody.wav").touch()
    remove_clips("deep/a.wav", earlier_clips(tmp_path))
    left = {*tmp_path.glob("*/*.wav")}
    gone = set().union(*made.values()) - left
    assert gone == made["deep/a.wav", 1] | made["deep/a.wav", 3]
    for name in RECORDINGS:
        remove_clips(name, earlier_clips(tmp_path))
    assert [path.name for path in tmp_path.glob("*/*.wav")] == ["of somebody.wav"]


def test_the_folder_of_clips_is_listed_once_whatever_many_recordings_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    monkeypatch.setattr(work, "earlier_clips", lambda folder: listed.append(folder) or {})
    predictor = FilePredictor(PredictConfig(clips=True), tmp_path)
    for number in range(5):
        done = Done(
            name=f"{number}.wav",
            path=None,
            content="",
            signature=None,
            sample_rate=1000,
            recorded=None,
            found={},
        )
        predictor.cut_clips(FileTask(item=None, name=done.name), done)  # type: ignore[arg-type]
    assert listed == [tmp_path]


def test_recordings_that_share_a_name_keep_the_clips_that_are_cut_now(tmp_path: Path) -> None:
    (tmp_path / "owl").mkdir()
    clip = tmp_path / "owl" / "owl_0.900_deep_a_00000.100s.wav"
    clip.touch()
    earlier = earlier_clips(tmp_path)
    remove_clips("deep/a.wav", earlier)
    assert not clip.exists()
    clip.touch()  # cut of it
    for other in ("deep_a.wav", "deep/a.flac"):
        remove_clips(other, earlier)
    assert clip.exists()
