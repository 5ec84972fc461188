"""Data that a model can hardly learn from cause a one-line warning with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.annotations import Event
from sed_cli.data.doubts import lone_classes, short_events
from sed_cli.data.manifest import Clip

FEATURE = LogMelConfig()  # frames of 64 ms every 32 ms


def clip(*events: tuple[float, str]) -> Clip:
    """A clip with an event every second, of these durations."""
    spaced = [Event(at, at + length, label) for at, (length, label) in enumerate(events)]
    return Clip(name="a.wav", path=Path("a.wav"), duration_s=60.0, events=tuple(spaced))


@pytest.mark.parametrize(
    ("lengths_s", "warns"),
    [
        ([0.03] * 3, True),  # shorter than a hop
        ([0.05] * 3, True),  # than a frame
        ([0.064] * 3, False),
        ([0.01] + [0.5] * 30, False),  # one of many
        ([0.01] * 3 + [0.5] * 30, True),
        ([], False),
    ],
)
def test_events_that_frames_blur_or_miss_are_named(lengths_s: list[float], warns: bool) -> None:
    clips = [clip(*((length_s, "tick") for length_s in lengths_s), (1.0, "song"))]
    lines = short_events(clips, FEATURE)
    assert len(lines) == warns
    assert not any("song" in line for line in lines)


def test_the_frames_that_are_proposed_are_short_enough() -> None:
    (line,) = short_events([clip(*[(0.03, "usv")] * 5)], FEATURE)
    assert "usv (typically 30 ms)" in line
    assert "feature.hop_length=160 feature.window_length=320" in line
    better = LogMelConfig(hop_length=160, window_length=320)
    assert short_events([clip(*[(0.03, "usv")] * 5)], better) == []


def test_a_class_of_one_split_is_named() -> None:
    both, owl, wren = clip((1.0, "song")), clip((1.0, "owl")), clip((1.0, "wren"))
    lines = lone_classes({"train": [both, owl], "validation": [both], "test": [both, wren]})
    assert len(lines) == 2
    assert lines[0].startswith("annotated only in the train split, and so neither tuned nor")
    assert ": owl; put recordings" in lines[0]
    assert lines[1].startswith("annotated only in the test split, and so never learnt: wren;")
    assert lone_classes({"train": [both, owl]}) == []
    assert lone_classes({"train": [owl], "validation": [], "test": [owl]}) == []
