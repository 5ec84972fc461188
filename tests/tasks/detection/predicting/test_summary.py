"""Events in numbers, by recording and by time of day; and as clips to listen to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from sed_cli.audio import AudioReader
from sed_cli.data.annotations import Detection, Findings
from sed_cli.tasks.detection.predicting.clips import clips_of, cut
from sed_cli.tasks.detection.predicting.ledger import Done
from sed_cli.tasks.detection.predicting.summary import write_summary


def done(name: str, events: list[Detection], duration_s: float, at: datetime | None) -> Done:
    return Done(
        name=name,
        path=None,
        content="",
        signature=None,
        sample_rate=16_000,
        recorded=at,
        found={Path(name).name: Findings(detections=events, duration_s=duration_s)},
    )


@pytest.mark.usefixtures("drawn")
def test_events_are_counted_by_class_recording_and_hour_of_the_day(tmp_path: Path) -> None:
    night = done(  # half an hour before midnight, one and a half after
        "A/night.wav",
        [
            Detection(60.0, 61.5, "owl", 0.5),
            Detection(1799.0, 1801.0, "owl", 0.75),
            Detection(1800.0, 1801.0, "owl", 0.25),
            Detection(5400.0, 5400.5, "frog", 1.0),
        ],
        7200.0,
        datetime(2026, 5, 3, 23, 30),
    )
    silent = done("B/dawn.wav", [], 1800.0, datetime(2026, 5, 4, 0, 15))
    undated = done("x.wav", [Detection(0.0, 1.0, "frog", 0.5)], 10.0, None)

    written = write_summary(tmp_path, [night, silent, undated], ["frog", "owl"])

    table = pd.read_csv(written[0]).set_index(["filename", "event_label"])
    owls = table.loc[("A/night.wav", "owl")]
    assert (owls["events"], owls["events_s"], owls["events_per_hour"]) == (3, 4.5, 1.5)
    assert (owls["mean_confidence"], owls["highest_confidence"]) == (0.5, 0.75)
    assert owls["recorded"] == "2026-05-03 23:30:00"
    assert table.loc[("B/dawn.wav", "owl"), "events"] == 0
    assert table.loc[("x.wav", "frog"), "events_per_hour"] == 360.0
    assert len(table) == 6

    by_hour = pd.read_csv(tmp_path / "summary_by_hour.csv").set_index(["event_label", "hour"])
    assert by_hour.loc["owl", "events"].to_dict() == {**dict.fromkeys(range(24), 0), 23: 2, 0: 1}
    hours = by_hour.loc["owl", "recorded_hours"]
    assert hours[hours > 0].to_dict() == {0: 1.5, 1: 0.5, 23: 0.5}
    assert by_hour.loc[("owl", 23), "events_per_hour"] == 4.0
    assert by_hour.loc[("frog", 1), "events_per_hour"] == 2.0
    assert np.isnan(by_hour.loc[("frog", 5), "events_per_hour"])
    with Image.open(tmp_path / "summary.png") as picture:
        assert picture.size[0] > 1000


@pytest.mark.usefixtures("drawn")
def test_without_times_recordings_are_drawn(tmp_path: Path) -> None:
    one = done("x.wav", [Detection(0.0, 1.0, "frog", 0.5)], 10.0, None)
    written = write_summary(tmp_path, [one, done("y.wav", [], 0.0, None)], ["frog"])
    assert [path.name for path in written] == ["summary.csv", "summary.png"]
    assert all(path.stat().st_size for path in written)


def test_names_that_are_no_text_or_a_formula_are_text_in_the_table(tmp_path: Path) -> None:
    call = Detection(0.0, 1.0, "frog", 0.5)
    ones = [done(name, [call], 10.0, None) for name in ("=1+1.wav", "a\udcff.wav")]
    written = write_summary(tmp_path, ones, ["frog"])
    names = pd.read_csv(written[0])["filename"].tolist()
    assert names == ["'=1+1.wav", "a\\udcff.wav"]


@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_clip_is_the_event_with_its_context(n_channels: int, tmp_path: Path) -> None:
    rate = 8000
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (30 * rate, n_channels))
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16")
    events = [
        Detection(0.1, 0.5, "a/b: song", 0.9),  # the context would begin before the recording
        Detection(10.0, 25.0, "call", 1.0),
        Detection(12.0, 12.25, "call", 0.5),  # within the one before
        Detection(29.5, 30.0, "call", 0.25),
    ]
    found = {
        f"a.ch{channel}.wav": Findings(detections=events, channel=channel)
        for channel in range(1, n_channels + 1)
    }

    clips = clips_of(found, "site/a.wav", tmp_path / "clips", 0.5)
    with AudioReader(tmp_path / "a.wav") as reader:
        cut(clips, reader, "each")

    written = sorted(path for path in (tmp_path / "clips").rglob("*") if path.is_file())
    assert written == sorted(clip.path for clip in clips)
    assert len(written) == 4 * n_channels
    for clip in clips:
        first, last = round(clip.start_s * rate), round(clip.end_s * rate)
        own, own_rate = soundfile.read(clip.path)
        assert own_rate == rate
        np.testing.assert_allclose(own, samples[first:last, clip.channel], atol=2**-14)
    channel = "_ch1" if n_channels > 1 else ""
    assert clips[0].path.parent.name.startswith("a_b__song-")
    assert (tmp_path / "clips" / "call" / f"call_0.500_site_a{channel}_00012.000s.wav").is_file()


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    found = {"a.wav": Findings(detections=[Detection(0.1, 0.5, "call", 0.9)])}
    clips = clips_of(found, "a.wav", tmp_path / "clips", 0.0)
    (tmp_path / "clips").write_text("a file where a folder is to be")
    with AudioReader(tmp_path / "a.wav") as reader, pytest.raises(OSError, match="clips"):
        cut(clips, reader, "mix")
