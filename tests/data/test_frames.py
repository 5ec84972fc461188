"""Events to activities and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sed_cli.data.annotations import Event
from sed_cli.data.frames import Activities, activities_to_events, events_to_activities

CLASSES = ["cat", "dog", "rain"]
HOPS_S = [512 / 16000, 0.02, 441 / 44100, 1764 / 44100, 160 / 22050]

hops = st.sampled_from(HOPS_S)
roll = arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(3)), elements=st.integers(0, 1))


@given(activities=roll, hop_s=hops)
def test_activities_to_events_to_activities_is_the_identity(
    activities: NDArray[np.uint8], hop_s: float
) -> None:
    events = activities_to_events(activities, CLASSES, hop_s)

    again = events_to_activities(events, CLASSES, len(activities), hop_s)

    np.testing.assert_array_equal(again, activities)
    assert again.dtype == np.uint8
    assert events == sorted(events)


@given(
    onset_s=st.floats(0, 5), length_s=st.floats(0.05, 5), hop_s=hops, label=st.sampled_from(CLASSES)
)
def test_an_event_comes_back_within_half_a_hop(
    onset_s: float, length_s: float, hop_s: float, label: str
) -> None:
    activities = events_to_activities(
        [Event(onset_s, onset_s + length_s, label)], CLASSES, 2000, hop_s
    )

    (found,) = activities_to_events(activities, CLASSES, hop_s)

    half = hop_s / 2 + 1e-9  # the last digits of products with the hop
    assert found.label == label
    assert abs(found.onset_s - onset_s) <= half
    assert abs(found.offset_s - (onset_s + length_s)) <= half


def test_onsets_have_no_bias() -> None:
    hop_s = 0.02
    onsets = np.random.default_rng(0).uniform(0, 10, 2000)
    errors = []
    for onset in onsets:
        event = Event(float(onset), float(onset) + 0.1, "dog")
        activities = events_to_activities([event], CLASSES, 600, hop_s)
        errors.append(activities_to_events(activities, CLASSES, hop_s)[0].onset_s - onset)

    # Uniform in +-10 ms: the mean of 2000 has a standard error of 0.13 ms; a bias would be 10 ms.
    assert abs(np.mean(errors)) < 0.001


@given(
    n_samples=st.integers(1, 20_000),
    share=st.floats(0, 1, exclude_max=True),
    length_s=st.floats(1e-6, 0.01),
)
def test_any_event_within_a_recording_marks_a_frame(
    n_samples: int, share: float, length_s: float
) -> None:
    onset_s = share * n_samples / 16000
    n_frames = 1 + n_samples // 512

    activities = events_to_activities(
        [Event(onset_s, onset_s + length_s, "rain")], CLASSES, n_frames, 512 / 16000
    )

    assert activities.shape == (n_frames, 3)
    assert activities[:, 2].sum() >= 1
    assert not activities[:, :2].any()
    assert abs(int(activities[:, 2].argmax()) - onset_s * 16000 / 512) <= 1


@pytest.mark.parametrize("onset_s", [9.9, 10.0, 10.1, 1e6])
def test_events_past_the_end_neither_crash_nor_wrap(onset_s: float) -> None:
    activities = events_to_activities([Event(onset_s, onset_s + 5, "cat")], CLASSES, 100, 0.1)

    assert not activities[:99].any()


@given(
    spans=st.lists(
        st.tuples(st.floats(0, 1.2), st.floats(0.001, 0.5), st.sampled_from(CLASSES)), max_size=8
    ),
    first=st.none() | st.integers(-60, 60),
    last=st.none() | st.integers(-60, 60),
)
def test_any_range_of_frames_is_that_of_the_whole(
    spans: list[tuple[float, float, str]], first: int | None, last: int | None
) -> None:
    events = [Event(onset_s, onset_s + length_s, label) for onset_s, length_s, label in spans]
    activities = Activities(events, CLASSES, 50, 0.02)

    whole = np.asarray(activities)

    assert activities.shape == whole.shape == (50, 3)
    assert len(activities) == 50
    for event in events:  # marked one at a time, by the definition
        column = whole[:, CLASSES.index(event.label)]
        centres = np.arange(50) * 0.02
        assert column[(centres > event.onset_s + 0.01) & (centres < event.offset_s - 0.01)].all()
    np.testing.assert_array_equal(activities[first:last], whole[first:last])
    assert activities[first:last].dtype == np.uint8


def test_a_range_with_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match="a step of 2"):
        Activities([], CLASSES, 50, 0.02)[::2]


def test_onsets_mark_the_first_two_frames_of_each_event() -> None:
    events = [
        Event(0.1, 0.4, "cat"),
        Event(0.4, 0.7, "cat"),  # touches the previous one
        Event(0.24, 0.31, "dog"),  # one frame
        Event(0.95, 1.0, "rain"),  # in the last half hop
        Event(0.0, 0.5, "whale"),
    ]
    activities = Activities(events, CLASSES, 10, 0.1)

    onsets = activities.onsets(slice(None))

    assert onsets.dtype == np.uint8
    assert [np.flatnonzero(of_class).tolist() for of_class in onsets.T] == [[1, 2, 4, 5], [2], [9]]
    for first in range(11):
        for last in range(first, 11):
            part = activities.onsets(slice(first, last))
            np.testing.assert_array_equal(part, onsets[first:last])


def test_unknown_labels_are_skipped() -> None:
    events = [Event(0.0, 1.0, "whale"), Event(0.5, 1.0, "dog")]

    activities = events_to_activities(events, CLASSES, 10, 0.1)

    np.testing.assert_array_equal(activities[:, 1], [0] * 5 + [1] * 5)
    assert activities.sum() == 5


def test_overlapping_events_of_a_class_are_one() -> None:
    events = [Event(0.1, 0.4, "dog"), Event(0.3, 0.6, "dog"), Event(0.3, 0.5, "cat")]

    activities = events_to_activities(events, CLASSES, 10, 0.1)

    found = activities_to_events(activities.astype(bool), CLASSES, 0.1)
    assert [(round(e.onset_s, 9), round(e.offset_s, 9), e.label) for e in found] == [
        (0.1, 0.6, "dog"),
        (0.3, 0.5, "cat"),
    ]


@given(activities=roll, rest=st.floats(0, 0.999))
def test_no_event_ends_after_the_recording(activities: NDArray[np.uint8], rest: float) -> None:
    duration_s = (len(activities) - 1 + rest) * 0.02

    events = activities_to_events(activities, CLASSES, 0.02, duration_s)

    assert all(0 <= e.onset_s < e.offset_s <= duration_s for e in events)
