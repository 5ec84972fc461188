"""Statistics of a data set against counts on a fine grid, worked examples and known chains."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import digamma

from sed_cli.data.annotations import Event
from sed_cli.data.manifest import Clip, Manifest
from sed_cli.data.statistics import SetStatistics, describe, describe_recordings
from sed_cli.data.syntax import SyntaxStatistics, corrected_log, entropy_nats

LABELS = ("a", "b", "c")
GRID_S = 0.01


def entry_of(*events: tuple[float, float, str], duration_s: float = 10.0) -> Clip:
    ordered = tuple(sorted(Event(*event) for event in events))
    return Clip(name="x.wav", path=Path("x.wav"), duration_s=duration_s, events=ordered)


def describe_entries(*entries: Clip, classes: Sequence[str] = LABELS) -> SetStatistics:
    return describe(Manifest(classes=tuple(classes), splits={"train": list(entries)}))


def syntax_of(
    *labels: Sequence[str], classes: Sequence[str] = LABELS, step_s: float = 1.0
) -> SyntaxStatistics:
    """Syntax of recordings with consecutive events, half a step apart."""
    entries = [
        entry_of(
            *((step_s * n, step_s * (n + 0.5), label) for n, label in enumerate(of_recording)),
            duration_s=step_s * (len(of_recording) + 1),
        )
        for of_recording in labels
    ]
    return describe_entries(*entries, classes=classes).overall.syntax


@st.composite
def recordings(draw: st.DrawFn) -> list[Clip]:
    """Recordings of up to two seconds, events on a 10 ms grid: they overlap, touch and nest."""
    entries = []
    for _ in range(draw(st.integers(1, 3))):
        n_steps = draw(st.integers(1, 200))
        spans = st.tuples(st.integers(0, n_steps - 1), st.integers(1, n_steps))
        events = [
            (start * GRID_S, min(start + length, n_steps) * GRID_S, label)
            for (start, length), label in draw(
                st.lists(st.tuples(spans, st.sampled_from(LABELS)), max_size=12)
            )
        ]
        entries.append(entry_of(*set(events), duration_s=n_steps * GRID_S))
    return entries


def activities_on_grid(entry: Clip) -> NDArray[np.bool_]:
    """Return (T, C), whether each class is active in the centre of each step of the grid."""
    middles = (np.arange(round(entry.duration_s / GRID_S)) + 0.5) * GRID_S
    active = np.zeros((len(middles), len(LABELS)), bool)
    for onset_s, offset_s, label in entry.events:
        active[:, LABELS.index(label)] |= (middles > onset_s) & (middles < offset_s)
    return active


# ------------------------------------------------------------------------------- time


@settings(max_examples=60, deadline=None)
@given(recordings())
def test_time_and_overlap_are_those_counted_on_a_grid(entries: list[Clip]) -> None:
    found = describe_entries(*entries).overall
    active = np.concatenate([activities_on_grid(entry) for entry in entries])
    n_active = np.bincount(active.sum(axis=1))

    assert found.seconds == pytest.approx(len(active) * GRID_S)
    np.testing.assert_allclose(found.polyphony, n_active / len(active), atol=1e-9)
    for number, one in enumerate(found.classes):
        assert one.seconds == pytest.approx(active[:, number].sum() * GRID_S, abs=1e-9)
    assert found.mean_polyphony == pytest.approx(active.sum(axis=1).mean(), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_recordings_add_up_to_their_split(entries: list[Clip]) -> None:
    found = describe_entries(*entries).overall
    rows = describe_recordings(entries, LABELS)

    assert sum(row.n_events for row in rows) == found.n_events
    assert sum(row.n_events == 0 for row in rows) == found.n_empty_files
    assert sum(row.n_classes for row in rows) == sum(one.n_files for one in found.classes)
    assert sum(row.active_s for row in rows) == pytest.approx(
        found.active_share * found.seconds, abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(recordings())
@example(  # a silence that is as long as an edge of the histogram, but for its last bit
    [
        Clip(
            name="x.wav",
            path=Path("x.wav"),
            duration_s=0.14,
            events=(Event(0.0, 0.12, "a"), Event(0.13, 0.14, "a")),
        )
    ]
)
def test_splits_add_up_to_the_set(entries: list[Clip]) -> None:
    manifest = Manifest(classes=LABELS, splits={"train": entries, "test": entries[:1]})
    found = describe(manifest)
    splits = found.splits.values()

    assert sum(split.n_events for split in splits) == found.overall.n_events
    assert sum(split.seconds for split in splits) == pytest.approx(found.overall.seconds)
    np.testing.assert_array_equal(
        sum(split.syntax.counts for split in splits), found.overall.syntax.counts
    )
    for name in ("durations", "gaps"):
        histograms = [getattr(split, name) for split in splits]
        of_set = getattr(found.overall, name)
        assert all(np.array_equal(h.edges_s, of_set.edges_s) for h in histograms)
        np.testing.assert_array_equal(sum(h.counts for h in histograms), of_set.counts)
    assert found.overall.durations.counts.sum() == found.overall.n_events


def test_gaps_are_silences_not_distances_of_onsets() -> None:
    found = describe_entries(
        entry_of((0.0, 5.0, "a"), (1.0, 2.0, "b"), (6.0, 7.0, "a"), (7.0, 8.0, "b")),
        entry_of((1.0, 2.0, "a")),
    ).overall

    assert found.gap_s is not None
    assert (found.gap_s.least, found.gap_s.most) == (1.0, 1.0)  # 5 to 6 s, and nothing else
    of_a, of_b, of_c = found.classes
    assert of_a.gap_s is not None
    assert of_a.gap_s.median == pytest.approx(1.0)
    assert of_b.gap_s is not None
    assert of_b.gap_s.median == pytest.approx(5.0)
    assert of_c.gap_s is None


def test_an_event_to_the_end_does_not_join_one_at_the_next_begin() -> None:
    entries = [entry_of((9.0, 10.0, "a")), entry_of((0.0, 1.0, "a"))]

    assert [row.active_s for row in describe_recordings(entries, LABELS)] == [1.0, 1.0]
    assert describe_entries(*entries).overall.classes[0].gap_s is None


def test_equal_durations_fill_one_bin() -> None:
    found = describe_entries(entry_of((0.0, 1.0, "a"), (2.0, 3.0, "b"))).overall

    assert found.durations.counts.tolist() == [2]
    assert found.durations.edges_s[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "entries", [[], [entry_of()], [entry_of((0.0, 1.0, "a"))]], ids=["none", "empty", "one event"]
)
def test_sets_with_next_to_nothing_are_described(entries: list[Clip]) -> None:
    for classes in (LABELS, ("a",), ()) if not any(e.events for e in entries) else (LABELS, ("a",)):
        found = describe_entries(*entries, classes=classes)
        text = json.dumps(found.as_json(), allow_nan=False)
        assert json.loads(text)["overall"]["n_files"] == len(entries)
        assert found.overall.polyphony.sum() == pytest.approx(1.0)
        assert found.overall.syntax.n_transitions == 0


# ----------------------------------------------------------------------------- syntax


def test_transitions_go_by_onset_and_end_with_the_recording() -> None:
    found = describe_entries(
        entry_of((0.0, 9.0, "a"), (1.0, 2.0, "b"), (1.5, 1.8, "c"), (9.0, 9.5, "a")),
        entry_of((0.0, 1.0, "b"), (5.0, 6.0, "b")),
    ).overall.syntax

    assert found.counts.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert (found.n_sequences, found.n_transitions, found.n_overlapping) == (2, 4, 2)


def test_events_of_one_onset_go_by_their_offset_and_are_counted() -> None:
    found = describe_entries(entry_of((1.0, 3.0, "a"), (1.0, 2.0, "b"))).overall.syntax

    assert found.counts[1, 0] == 1
    assert found.n_simultaneous == 1


@pytest.mark.parametrize(
    ("gap_s", "n_transitions"), [(None, 3), (3.0, 3), (2.9, 2), (0.5, 2), (0.4, 1), (0.0, 1)]
)
def test_a_silence_longer_than_the_limit_ends_a_sequence(
    gap_s: float | None, n_transitions: int
) -> None:
    entry = entry_of((0.0, 2.0, "a"), (1.0, 1.5, "b"), (2.5, 3.0, "a"), (6.0, 7.0, "b"))
    manifest = Manifest(classes=LABELS, splits={"train": [entry]})

    syntax = describe(manifest, sequence_gap_s=gap_s).overall.syntax

    assert syntax.n_transitions == n_transitions
    assert syntax.n_sequences == 4 - n_transitions


def test_a_cycle_leaves_nothing_open() -> None:
    syntax = syntax_of("abc" * 200)

    assert syntax.next_bits == pytest.approx(math.log2(3), abs=0.01)
    assert syntax.conditional_bits == pytest.approx(0.0, abs=0.01)
    assert syntax.conditional_plugin_bits == pytest.approx(0.0, abs=1e-12)
    assert syntax.beyond_chance


def draw_chain(transitions: NDArray[np.float64], n: int, random: np.random.Generator) -> list[int]:
    state = int(random.integers(len(transitions)))
    states = [state]
    for uniform in random.random(n - 1):
        state = min(
            int(np.searchsorted(transitions[state].cumsum(), uniform)), len(transitions) - 1
        )
        states.append(state)
    return states


def test_entropy_of_a_known_chain_is_found() -> None:
    """Two states, 0.9 and 0.6 to stay: stationary 0.8 and 0.2, H = 0.8 h(0.1) + 0.2 h(0.4)."""
    random = np.random.default_rng(1)
    states = draw_chain(np.array([[0.9, 0.1], [0.4, 0.6]]), 20_000, random)
    syntax = syntax_of(["ab"[state] for state in states], classes="ab")

    def h(p: float) -> float:
        return -p * math.log2(p) - (1 - p) * math.log2(1 - p)

    # 20,000 draws: three standard errors are about 0.02 bits
    assert syntax.next_bits == pytest.approx(h(0.2), abs=0.02)
    assert syntax.conditional_bits == pytest.approx(0.8 * h(0.1) + 0.2 * h(0.4), abs=0.02)


def test_events_without_syntax_gain_no_more_than_chance() -> None:
    """20 classes drawn uniformly: raw counts suggest half a bit, where there is none."""
    labels = [f"{n:02d}" for n in range(20)]
    random = np.random.default_rng(2)
    drawn = [[labels[n] for n in random.integers(20, size=600)] for _ in range(4)]
    for of_set in drawn:
        syntax = syntax_of(of_set, classes=labels)
        plugin_gain = syntax.next_plugin_bits - syntax.conditional_plugin_bits
        assert plugin_gain > 0.4
        assert syntax.gain_bits < 0.1
    assert sum(syntax_of(of_set, classes=labels).beyond_chance for of_set in drawn) <= 1


def test_correction_is_nearer_to_the_true_value_in_small_sets() -> None:
    random = np.random.default_rng(3)
    n_classes = 9
    labels = [str(n) for n in range(n_classes)]
    transitions = random.dirichlet(np.full(n_classes, 0.3), size=n_classes)
    powers = np.linalg.matrix_power(transitions, 1000)[0]  # the stationary distribution
    logarithms = np.log2(np.maximum(transitions, 1e-300))
    truth = -float(powers @ (transitions * logarithms).sum(axis=1))
    found = [
        syntax_of([labels[n] for n in draw_chain(transitions, 150, random)], classes=labels)
        for _ in range(20)
    ]

    corrected = np.mean([syntax.conditional_bits for syntax in found]) - truth
    plugin = np.mean([syntax.conditional_plugin_bits for syntax in found]) - truth

    assert plugin < -0.15
    assert abs(corrected) < 0.5 * abs(plugin)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(LABELS), max_size=12), min_size=1, max_size=5))
def test_entropies_are_within_their_bounds(labels: list[list[str]]) -> None:
    syntax = syntax_of(*labels)

    assert 0.0 <= syntax.conditional_bits <= syntax.next_bits <= math.log2(3) + 1e-12
    assert 0.0 <= syntax.conditional_plugin_bits <= syntax.next_plugin_bits + 1e-12
    assert syntax.chance_bits >= 0.0


def test_estimate_is_that_of_the_paper() -> None:
    """ln N - 1/N sum n G(n), G(n) = psi(n) + (-1)^n / 2 (psi((n + 1) / 2) - psi(n / 2))."""
    counts = np.array([1, 2, 3, 4, 7, 30, 0])
    n = counts[counts > 0]
    g = digamma(n) + 0.5 * (-1.0) ** n * (digamma((n + 1) / 2) - digamma(n / 2))
    expected = math.log(n.sum()) - (n * g).sum() / n.sum()

    assert entropy_nats(counts, corrected_log) == pytest.approx(expected, rel=1e-12)


def test_an_hour_of_100_000_events_is_counted_whole() -> None:
    random = np.random.default_rng(0)
    labels = [f"{n:02d}" for n in range(50)]
    onsets = random.uniform(0.0, 3590.0, 100_000)
    durations = random.uniform(0.01, 9.0, 100_000)
    drawn = zip(onsets, onsets + durations, random.integers(50, size=100_000), strict=True)
    entry = entry_of(*((on, off, labels[n]) for on, off, n in drawn), duration_s=3600.0)
    described = describe_entries(entry, classes=labels)
    assert described.overall.n_events == 100_000  # benchmarks/inspection.py has the time it takes
