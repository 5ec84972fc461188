"""The picture of a recording: pooled to a fixed size, from the first frame to the last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sed_cli.reports.timeline import Overview, Timeline, clock, draw_timeline


@settings(max_examples=40, deadline=None)
@given(
    n_frames=st.integers(0, 30_000),
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=3),
)
def test_an_overview_pools_as_one_pass_over_the_whole_would(
    n_frames: int, sizes: list[int]
) -> None:
    frames = np.random.default_rng(0).random((n_frames, 2), dtype=np.float32)
    mean, highest = Overview(np.mean, 2), Overview(np.max, 2)
    start, turn = 0, 0
    sizes = [*sizes, 5000]
    while start < n_frames:
        size = sizes[turn % len(sizes)]
        mean.push(frames[start : start + size])
        highest.push(frames[start : start + size])
        start, turn = start + size, turn + 1

    factor = mean.frames_a_column

    assert factor == highest.frames_a_column
    assert len(mean.columns()) <= 3000
    assert factor == 1 or len(mean.columns()) >= 1500
    parts = [frames[first : first + factor] for first in range(0, n_frames, factor)]
    for overview, pool in ((mean, np.mean), (highest, np.max)):
        expected = np.array([pool(part, axis=0) for part in parts]).reshape(-1, 2)  # type: ignore[operator]
        # A float32 mean of means rounds differently from a mean of all.
        np.testing.assert_allclose(overview.columns(), expected, rtol=1e-5)


def timeline(n_frames: int, n_classes: int = 3) -> Timeline:
    log_mel, probabilities = Overview(np.mean, 8), Overview(np.max, n_classes)
    random = np.random.default_rng(1)
    log_mel.push(random.normal(-50, 10, (n_frames, 8)).astype(np.float32))
    probabilities.push(random.random((n_frames, n_classes), dtype=np.float32))
    return Timeline(
        name="a\udcff$x.wav",
        duration_s=n_frames * 0.5,
        hop_s=0.5,
        log_mel=log_mel,
        probabilities=probabilities,
        events=[(0.5, 1.5, "class 0"), (n_frames * 0.5 - 0.5, n_frames * 0.5, "class 2")],
        classes=[f"class {index}" for index in range(n_classes)],
        centres_hz=np.geomspace(100, 8000, 8),
    )


@pytest.mark.parametrize(("n_frames", "n_classes"), [(1, 1), (3, 3), (400, 30), (200_000, 3)])
def test_recordings_of_any_length_are_drawn(n_frames: int, n_classes: int, tmp_path: Path) -> None:
    path = tmp_path / "timeline.png"

    draw_timeline(path, timeline(n_frames, n_classes))

    with Image.open(path) as picture:
        width, height = picture.size
        assert 1500 < width < 1800
        assert 300 < height < 1500
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    # The events are there, however short: vermilion bars in at least one lane.
    assert (np.abs(colours.astype(int) - [0xD5, 0x5E, 0]).max(axis=1) < 30).sum() > 20


def test_without_frames_there_is_no_picture(tmp_path: Path) -> None:
    draw_timeline(tmp_path / "timeline.png", timeline(0))

    assert not (tmp_path / "timeline.png").exists()


def test_hours_are_written_as_on_a_clock() -> None:
    assert [clock(s) for s in (0, 61, 3599.6, 86_400)] == [
        "0:00:00",
        "0:01:01",
        "1:00:00",
        "24:00:00",
    ]
