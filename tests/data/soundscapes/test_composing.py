"""The generated soundscapes: voices, syntax, composition and mixing."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import EVENT_CLASSES
from sed_cli.data.soundscapes.composing import compose_recording, syntax_of
from sed_cli.data.soundscapes.mixing import PEAK_DBFS, coloured_noise
from sed_cli.data.soundscapes.scenes import PlacedEvent, Scene, Syntax, compose_scene, draw_syntax
from sed_cli.data.soundscapes.settings import SoundscapeSettings
from sed_cli.data.soundscapes.sources import SourceEvent
from sed_cli.data.soundscapes.voices import VOICES, synthesise
from sed_cli.errors import UserError

SMALL = SoundscapeSettings(n_train=6, n_validation=3, n_test=3, duration_s=4.0)


class ConstantEvents:
    """A second kind of source: short constants, so that long scenes are cheap."""

    classes = EVENT_CLASSES

    def draw(self, label: str, split: str, stream: np.random.SeedSequence) -> SourceEvent:
        n_samples = int(np.random.default_rng(stream).integers(20, 400))
        return SourceEvent(
            label=label, waveform=np.ones(n_samples), source_id=f"{split}{stream.spawn_key}"
        )


def _constant_scene(syntax: Syntax, *, seed: int, polyphony: int, duration_s: float) -> Scene:
    sample_rate = 1000
    return compose_scene(
        ConstantEvents(),
        syntax,
        split="train",
        n_samples=round(duration_s * sample_rate),
        sample_rate=sample_rate,
        polyphony=polyphony,
        snr_db=(0.0, 10.0),
        empty_fraction=0.0,
        stream=np.random.SeedSequence(seed),
    )


def _syntax(strength: float, seed: int = 0) -> Syntax:
    rng = np.random.default_rng(seed)
    return draw_syntax(EVENT_CLASSES, strength=strength, gap_s=(0.1, 0.4), rng=rng)


def _chains(scene: Scene) -> list[list[PlacedEvent]]:
    numbers = sorted({event.chain for event in scene.events})
    return [[event for event in scene.events if event.chain == number] for number in numbers]


def _transition_counts(scenes: list[Scene]) -> NDArray[np.float64]:
    index = {label: number for number, label in enumerate(EVENT_CLASSES)}
    counts = np.zeros((len(index), len(index)))
    for scene in scenes:
        for chain in _chains(scene):
            for one, following in pairwise(chain):
                counts[index[one.source.label], index[following.source.label]] += 1
    return counts


def _entropies(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Entropy in bits of the next class: alone, and given the class before."""
    joint = counts / counts.sum()

    def entropy(p: NDArray[np.float64]) -> float:
        return float(-(p[p > 0] * np.log2(p[p > 0])).sum())

    return entropy(joint.sum(axis=0)), entropy(joint) - entropy(joint.sum(axis=1))


def _scenes_of(wanted: SoundscapeSettings, split: str) -> list[Scene]:
    return [compose_recording(wanted, split, i)[0] for i in range(wanted.n_recordings(split))]


# Voices


@pytest.mark.parametrize("sample_rate", [8000, 16000])
@pytest.mark.parametrize("label", EVENT_CLASSES)
def test_events_are_audible_from_first_to_last_sample(label: str, sample_rate: int) -> None:
    for seed in range(8):
        event = synthesise(label, np.random.default_rng(seed), sample_rate)
        window = sample_rate // 100
        loudest = max(
            np.mean(event[i : i + window] ** 2) for i in range(0, len(event) - window, window // 2)
        )
        head, tail = event[: 2 * window], event[-4 * window :]
        assert np.abs(event).max() == pytest.approx(1.0)
        assert 0.04 < len(event) / sample_rate < 4.0
        # Audible is 30 dB below the loudest 10 ms; an edge's mean over 20 or 40 ms may lie lower
        # by what the fades take and by the decay within the tail, together under 10 dB.
        assert min(np.mean(head**2), np.mean(tail**2)) > loudest * 10**-4.0


def _centroid(waveform: NDArray[np.float64]) -> float:
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum() / len(power))


@pytest.mark.parametrize(("label", "sign"), [("rising_chirp", 1), ("falling_chirp", -1)])
def test_chirps_move_the_way_they_are_named(label: str, sign: int) -> None:
    for seed in range(10):
        event = synthesise(label, np.random.default_rng(seed), 16000)
        third = len(event) // 3
        assert sign * (_centroid(event[-third:]) - _centroid(event[:third])) > 0


def test_events_of_a_class_vary() -> None:
    for label in EVENT_CLASSES:
        events = [synthesise(label, np.random.default_rng(seed), 16000) for seed in range(6)]
        lengths = {len(event) for event in events}
        centroids = [_centroid(event) for event in events]
        assert len(lengths) == 6
        assert max(centroids) > 1.1 * min(centroids)


# Syntax


@given(
    n_classes=st.integers(1, 40),
    strength=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_transitions_are_distributions_that_keep_classes_equally_frequent(
    n_classes: int, strength: float, seed: int
) -> None:
    classes = tuple(f"class_{number}" for number in range(n_classes))
    rng = np.random.default_rng(seed)
    syntax = draw_syntax(classes, strength=strength, gap_s=(0.2, 0.9), rng=rng)
    # Sums of up to 40 doubles: rounding stays below 1e-12.
    np.testing.assert_allclose(syntax.transition.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(syntax.transition.sum(axis=0), 1.0, atol=1e-12)
    assert (syntax.transition >= 0.0).all()
    assert ((syntax.gap_s >= 0.2) & (syntax.gap_s <= 0.9)).all()


def test_each_class_has_two_successors_at_full_strength() -> None:
    transition = _syntax(1.0).transition
    assert ((transition > 0).sum(axis=1) == 2).all()
    assert (np.diag(transition) == 0).all()


def test_transitions_follow_the_matrix() -> None:
    syntax = _syntax(0.85)
    scenes = [
        _constant_scene(syntax, seed=seed, polyphony=1, duration_s=30.0) for seed in range(60)
    ]
    counts = _transition_counts(scenes)
    expected = counts.sum(axis=1, keepdims=True) * syntax.transition
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = counts.shape[0] * (counts.shape[1] - 1)
    assert counts.sum() > 2000
    # Chi-square has mean d and variance 2d: five deviations do not happen by chance, and a wrong
    # matrix (its transpose, a shifted row) exceeds them many times.
    assert statistic < degrees + 5 * np.sqrt(2 * degrees)
    wrong = counts.sum(axis=1, keepdims=True) * syntax.transition.T
    assert ((counts - wrong) ** 2 / wrong).sum() > degrees + 50 * np.sqrt(2 * degrees)


def test_the_past_is_informative_as_far_as_the_syntax_is_strong() -> None:
    conditional = {}
    for strength in (0.0, 0.85, 1.0):
        scenes = [
            _constant_scene(_syntax(strength), seed=seed, polyphony=2, duration_s=30.0)
            for seed in range(40)
        ]
        marginal, conditional[strength] = _entropies(_transition_counts(scenes))
        # Nearly log2(10) = 3.32 bits: no class is rare.
        assert marginal > 3.2
    # Counting 100 cells from over 2000 pairs takes under 0.05 bits off; exact values are 3.32,
    # 1.61 and, of a 3/4 to 1/4 choice, 0.81 bits.
    assert conditional[0.0] == pytest.approx(3.32, abs=0.1)
    assert conditional[0.85] == pytest.approx(1.61, abs=0.1)
    assert conditional[1.0] == pytest.approx(0.81, abs=0.1)


def test_gaps_are_typical_of_the_class_before() -> None:
    syntax = _syntax(0.5)
    gaps: dict[str, list[int]] = {label: [] for label in EVENT_CLASSES}
    for seed in range(60):
        scene = _constant_scene(syntax, seed=seed, polyphony=1, duration_s=30.0)
        for one, following in pairwise(scene.events):
            gaps[one.source.label].append(following.onset - one.offset)
    for label, typical_s in zip(EVENT_CLASSES, syntax.gap_s, strict=True):
        # The median of over 150 log-normal gaps of spread 0.35 is within 15 %: over four standard
        # errors.
        assert len(gaps[label]) > 150
        assert np.median(gaps[label]) / 1000 == pytest.approx(typical_s, rel=0.15)


# Composition


@given(seed=st.integers(0, 10_000), polyphony=st.integers(1, 5), duration_s=st.floats(1.0, 20.0))
@settings(max_examples=60, deadline=None)
def test_scenes_keep_within_file_and_polyphony(
    seed: int, polyphony: int, duration_s: float
) -> None:
    scene = _constant_scene(_syntax(0.5), seed=seed, polyphony=polyphony, duration_s=duration_s)
    sounding = np.zeros(scene.n_samples, dtype=int)
    of_class = {label: np.zeros(scene.n_samples, dtype=int) for label in EVENT_CLASSES}
    for event in scene.events:
        assert 0 <= event.onset < event.offset <= scene.n_samples
        sounding[event.onset : event.offset] += 1
        of_class[event.source.label][event.onset : event.offset] += 1
    assert sounding.max() <= polyphony
    assert max(active.max() for active in of_class.values()) <= 1
    for chain in _chains(scene):
        assert all(one.offset <= following.onset for one, following in pairwise(chain))


def test_chains_overlap_one_another() -> None:
    scenes = _scenes_of(SMALL, "train")
    overlaps = [
        following.onset < one.offset
        for scene in scenes
        for one, following in pairwise(scene.events)
    ]
    assert any(overlaps)
    assert not all(overlaps)


def test_splits_share_no_event() -> None:
    digests: dict[str, set[str]] = {}
    for split in SPLITS:
        events = [event.source for scene in _scenes_of(SMALL, split) for event in scene.events]
        digests[split] = {hashlib.sha256(event.waveform.tobytes()).hexdigest() for event in events}
        # Within a split no event occurs twice either.
        assert len(digests[split]) == len({event.source_id for event in events}) == len(events)
    assert not digests["train"] & digests["test"]
    assert not digests["train"] & digests["validation"]
    assert not digests["validation"] & digests["test"]


def test_all_splits_follow_one_syntax_that_the_seed_draws() -> None:
    other = SoundscapeSettings(seed=1)
    same = SoundscapeSettings(n_test=1, duration_s=3.0)
    default = syntax_of(SoundscapeSettings())
    np.testing.assert_array_equal(default.transition, syntax_of(same).transition)
    assert not np.array_equal(default.transition, syntax_of(other).transition)


def test_only_chosen_classes_occur() -> None:
    chosen = SoundscapeSettings(n_train=6, duration_s=4.0, classes=("siren", "bell"))
    labels = {event.source.label for s in _scenes_of(chosen, "train") for event in s.events}
    assert labels == {"siren", "bell"}


@given(
    seed=st.integers(0, 10_000),
    low=st.floats(0.1, 0.5),
    width=st.floats(0.0, 1.0),
    polyphony=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_events_last_as_long_as_asked(seed: int, low: float, width: float, polyphony: int) -> None:
    limited = SoundscapeSettings(
        n_train=1,
        duration_s=4.0,
        sample_rate=8000,
        polyphony=polyphony,
        event_duration_s=(low, low + width),
        empty_fraction=0.0,
        seed=seed,
    )
    scene, _ = compose_recording(limited, "train", 0)
    assert scene.events
    for event in scene.events:
        # Whole samples: rounded by less than one.
        assert low * 8000 - 1 < event.offset - event.onset < (low + width) * 8000 + 1


def test_a_class_without_events_of_the_asked_length_is_named() -> None:
    endless = SoundscapeSettings(duration_s=30.0, classes=("knock",), event_duration_s=(9.0, 10.0))
    with pytest.raises(UserError, match="of 100 events of knock the longest lasted"):
        compose_recording(endless, "train", 1)


# Mixing


def test_events_sound_only_where_annotated() -> None:
    for number in range(SMALL.n_train):
        scene, mixture = compose_recording(SMALL, "train", number)
        annotated = np.zeros(scene.n_samples, dtype=bool)
        for event in scene.events:
            annotated[event.onset : event.offset] = True
        assert not mixture.events[~annotated].any()
        assert annotated.any() == bool(np.any(mixture.events))
        for event in scene.events:
            assert mixture.events[event.onset : event.offset].any()


def test_signal_to_noise_ratio_is_as_defined() -> None:
    alone = SoundscapeSettings(
        n_train=4, duration_s=4.0, polyphony=1, snr_db=(-3, 15), empty_fraction=0.0
    )
    ratios = []
    for number in range(alone.n_train):
        scene, mixture = compose_recording(alone, "train", number)
        for event in scene.events:
            interval = slice(event.onset, event.offset)
            signal, noise = (
                np.mean(part[interval] ** 2) for part in (mixture.events, mixture.background)
            )
            ratios.append(10 * np.log10(signal / noise))
            # Without overlap the definition holds up to rounding of doubles.
            assert ratios[-1] == pytest.approx(event.snr_db, abs=1e-9)
    assert -3 <= min(ratios) < max(ratios) <= 15


def test_mixtures_do_not_clip() -> None:
    for seed in range(3):
        loud = SoundscapeSettings(
            n_train=3, duration_s=3.0, polyphony=4, snr_db=(30, 60), seed=seed
        )
        for number in range(loud.n_train):
            peak_db = 20 * np.log10(
                np.abs(compose_recording(loud, "train", number)[1].waveform).max()
            )
            assert PEAK_DBFS[0] - 1e-9 <= peak_db <= PEAK_DBFS[1] + 1e-9


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_background_has_the_asked_spectral_slope(slope: float) -> None:
    octaves = np.array([[250, 500], [500, 1000], [1000, 2000], [2000, 4000]])
    fitted = []
    for seed in range(12):
        noise = coloured_noise(64_000, slope, rng=np.random.default_rng(seed), sample_rate=16000)
        power = np.abs(np.fft.rfft(noise)) ** 2
        bins = octaves * len(noise) // 16000
        levels = [10 * np.log10(power[low:high].mean()) for low, high in bins]
        fitted.append(-np.polyfit(np.arange(4), levels, 1)[0] / 3.01)
    # The random colour of 3 dB an octave point tilts one background by about 0.4 in the exponent,
    # the mean of twelve by 0.12: three of those.
    assert np.mean(fitted) == pytest.approx(slope, abs=0.36)


# Settings


def test_lists_and_whole_numbers_name_the_same_set() -> None:
    from_file = SoundscapeSettings(
        classes=list(EVENT_CLASSES),  # type: ignore[arg-type]
        snr_db=[-3, 15],  # type: ignore[arg-type]
        duration_s=10,
    )
    assert from_file == SoundscapeSettings()
    assert hash(from_file) == hash(SoundscapeSettings())
    assert from_file.fingerprint() == SoundscapeSettings().fingerprint()


def test_every_setting_changes_the_fingerprint() -> None:
    changes: dict[str, object] = {
        "n_train": 1,
        "n_validation": 1,
        "n_test": 1,
        "duration_s": 5.0,
        "sample_rate": 8000,
        "classes": ("bell", "call"),
        "polyphony": 3,
        "snr_db": (0.0, 1.0),
        "syntax_strength": 0.1,
        "transition": tuple((0.1,) * 10 for _ in range(10)),
        "gap_s": (0.1, 0.2),
        "event_duration_s": (0.1, 2.0),
        "empty_fraction": 0.5,
        "noise_slope": (1.0, 1.0),
        "seed": 5,
        "bank": "1234",
        "bank_pause_s": 1.0,
    }
    assert set(changes) == {field.name for field in fields(SoundscapeSettings)}
    prints = {SoundscapeSettings(**{name: value}).fingerprint() for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(prints | {SoundscapeSettings().fingerprint()}) == len(changes) + 1


def test_settings_that_are_not_asked_for_leave_the_names_of_old_sets_alone() -> None:
    """The name of the default data set of version 0.1: cached data sets must be found again."""
    assert SoundscapeSettings(n_train=200).fingerprint() == "3ab1953307e88cd1"


def test_the_classes_that_the_schema_names_are_those_that_can_be_synthesised() -> None:
    assert tuple(sorted(VOICES)) == EVENT_CLASSES


def test_all_faults_of_settings_are_reported_together() -> None:
    with pytest.raises(UserError) as caught:
        SoundscapeSettings(
            n_train=-1,
            duration_s=float("nan"),
            classes=("bell", "bell", "oboe"),
            syntax_strength=1.5,
            snr_db=(5.0, 1.0),
        )
    message = str(caught.value)
    for part in ("n_train=-1", "duration_s=nan", "'oboe'", "repeats", "syntax_strength", "snr_db"):
        assert part in message
