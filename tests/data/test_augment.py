"""Augmentation: its effect on features and activities, which nothing else influences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.config import training
from sed_cli.config.registry import joined
from sed_cli.config.values import build
from sed_cli.data.annotations import Event
from sed_cli.data.augment import AugmentedSequences, Augmenter
from sed_cli.data.augmentation import Draws
from sed_cli.data.frames import Activities
from sed_cli.data.sequences import Sequences, collate
from sed_cli.data.sets import Recording

AugmentConfig = joined(training.AugmentConfig)
FEATURE = LogMelConfig(n_mels=20)
POWER = replace(FEATURE, is_log=False)
FILL = torch.linspace(-60, -20, 20)
FULL = AugmentConfig(
    roll=0.5,
    mixup=0.5,
    noise=0.5,
    gain_db=[-6.0, 6.0],
    filter_db=6.0,
    time_masks=2,
    frequency_masks=2,
)


def make_sequences(
    *sizes: int, low_db: float = -60.0, high_db: float = 10.0, is_log: bool = True
) -> Sequences:
    recordings = []
    for seed, n_frames in enumerate(sizes):
        random = np.random.default_rng(seed)
        log_mel = random.uniform(low_db, high_db, (n_frames, 20)).astype(np.float32)
        recordings.append(
            Recording(
                name=f"{seed}.wav",
                path=Path(f"{seed}.wav"),
                duration_s=n_frames * 0.032,
                log_mel=log_mel if is_log else 10 ** (log_mel / 10),
                activities=random.integers(0, 2, (n_frames, 3), dtype=np.uint8),
                events=(),
            )
        )
    return Sequences(recordings, 100)


def augment(
    sequences: Sequences,
    *,
    epoch: int = 1,
    seed: int = 0,
    feature: LogMelConfig = FEATURE,
    config: training.AugmentConfig | None = None,
    **values: Any,
) -> list[tuple[Tensor, Tensor]]:
    config = config or build(AugmentConfig, values)
    augmenter = Augmenter(config, feature=feature, fill=FILL, seed=seed)
    heard = AugmentedSequences(sequences, augmenter, epoch)
    return [heard[index] for index in range(len(heard))]


def same(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> list[bool]:
    return [
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    ]


def as_they_are(sequences: Sequences) -> list[tuple[Tensor, Tensor]]:
    return [sequences[index] for index in range(len(sequences))]


def test_nothing_is_done_unless_it_is_asked_for() -> None:
    sequences = make_sequences(50, 20)
    assert all(same(augment(sequences), as_they_are(sequences)))
    assert not Augmenter(AugmentConfig(), feature=FEATURE, fill=FILL, seed=0).is_active


@pytest.mark.parametrize(
    "values",
    [
        {"roll": 0.1},
        {"mixup": 0.1},
        {"noise": 0.1},
        {"gain_db": [0.0, 1.0]},
        {"filter_db": 1.0},
        {"time_masks": 1},
        {"frequency_masks": 1},
        {"band_shift": 4},
    ],
    ids=lambda values: next(iter(values)),
)
def test_each_kind_is_active_alone_and_changes_some_sequences(values: dict[str, Any]) -> None:
    augmenter = Augmenter(build(AugmentConfig, values), feature=FEATURE, fill=FILL, seed=0)
    assert augmenter.is_active
    sequences = make_sequences(*[30] * 40)
    unchanged = sum(same(augment(sequences, **values), as_they_are(sequences)))
    share = next(iter(values.values()))
    if isinstance(share, float) and share < 1:
        assert 25 <= unchanged < 40  # 36 expected of 40; 25 is 6 standard deviations away
    else:
        assert unchanged < 10  # a mask may have no width


def test_seed_epoch_and_number_decide_all_and_nothing_else_does() -> None:
    sequences = make_sequences(*range(30, 60))
    first = augment(sequences, config=FULL)

    assert all(same(first, augment(sequences, config=FULL)))
    assert sum(same(first, augment(sequences, config=FULL, epoch=2))) < 3
    assert sum(same(first, augment(sequences, config=FULL, seed=1))) < 3
    augmenter = Augmenter(FULL, feature=FEATURE, fill=FILL, seed=0)
    heard = AugmentedSequences(sequences, augmenter, 1)
    alone = heard[17]  # without the previous ones
    assert torch.equal(alone[0], first[17][0])
    for n_workers in (0, 2):
        loader = DataLoader(heard, batch_size=7, collate_fn=collate, num_workers=n_workers)
        batches = list(loader)
        frames = torch.cat([b.log_mel[b.valid] for b in batches])
        assert torch.equal(frames, torch.cat([log_mel for log_mel, _ in first]))


def test_switching_one_on_leaves_the_draws_of_the_others() -> None:
    """A comparison of two settings must show only the difference between them."""
    sequences = make_sequences(50, 60, 70)
    quiet = augment(sequences, gain_db=[-6.0, 6.0])
    both = augment(sequences, gain_db=[-6.0, 6.0], roll=1.0)
    gains = [(a - b).mean() for (a, _), (b, _) in zip(quiet, as_they_are(sequences), strict=True)]
    again = [(a.mean() - b.mean()) for (a, _), (b, _) in
             zip(both, as_they_are(sequences), strict=True)]  # fmt: skip
    torch.testing.assert_close(torch.stack(gains), torch.stack(again), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("feature", "sums", "actives"),
    [
        (FEATURE, [-31582.27427408099, -36267.27670913935, -37782.489462554455], [70, 92, 151]),
        (POWER, [-16657.069827591462, -24535.74490374897, -24376.499417265863], [70, 92, 151]),
    ],
    ids=["log", "power"],
)
def test_all_of_it_draws_what_version_0_1_drew(
    feature: LogMelConfig, sums: list[float], actives: list[int]
) -> None:
    """Numbers of that version, so that its augmented runs resume with the same sequences."""
    heard = augment(
        make_sequences(50, 60, 70, is_log=feature.is_log), config=FULL, feature=feature, epoch=2
    )
    # Other processors may round the last digit of a logarithm differently.
    assert [float(x.double().sum()) for x, _ in heard] == pytest.approx(sums, rel=1e-6)
    assert [float(targets.sum()) for _, targets in heard] == actives


def test_streams_draw_what_they_drew_and_none_draws_what_another_does() -> None:
    """Checkpoints of earlier versions resume with the same numbers."""
    draws = Draws(0, 1, 2)
    names = ["roll", "mixup", "noise", "level.gain", "level.filter", "masks", "band_shift"]
    drawn = [float(draws.generator(name).random()) for name in names]
    assert drawn[:6] == [
        np.random.default_rng(np.random.SeedSequence((0, 1, 2, number))).random()
        for number in range(6)
    ]
    assert len(set(drawn)) == len(names)


def test_the_generators_of_torch_are_left_alone() -> None:
    """They are used for the weights and for dropout."""
    sequences = make_sequences(50)
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    augment(sequences, config=FULL)
    assert torch.equal(torch.rand(3), expected)


def test_a_roll_keeps_features_and_activities_together() -> None:
    sequences = make_sequences(*[40] * 10)
    shifts = set()
    for (log_mel, targets), (before, activities) in zip(
        augment(sequences, roll=1.0), as_they_are(sequences), strict=True
    ):
        shift = int((log_mel[:, 0] == before[0, 0]).nonzero()[0, 0])
        shifts.add(shift)
        assert torch.equal(log_mel, before.roll(shift, 0))
        assert torch.equal(targets, activities.roll(shift, 0))
    assert len(shifts) > 5


@pytest.mark.parametrize("feature", [FEATURE, POWER], ids=["log", "power"])
def test_mixup_adds_powers_and_unites_activities(feature: LogMelConfig) -> None:
    sequences = make_sequences(60, 20, is_log=feature.is_log)
    raw = as_they_are(sequences)
    power = [10 ** (log_mel / 10) if feature.is_log else log_mel for log_mel, _ in raw]
    shares = []
    for epoch in range(1, 30):
        mixed = augment(sequences, mixup=1.0, feature=feature, epoch=epoch)
        for index, (log_mel, targets) in enumerate(mixed):
            other = 1 - index
            own = 10 ** (log_mel / 10) if feature.is_log else log_mel
            assert len(own) == len(power[index])
            n = min(len(power[0]), len(power[1]))
            # own = share * a + (1 - share) * b, solved for share where a and b differ most
            a, b = power[index][:n], power[other][:n]
            place = (a - b).abs().argmax()
            share = ((own[:n] - b).flatten()[place] / (a - b).flatten()[place]).item()
            shares.append(share)
            # float32, twice through the logarithm
            torch.testing.assert_close(own[:n], share * a + (1 - share) * b, rtol=2e-4, atol=0)
            torch.testing.assert_close(own[n:], share * power[index][n:], rtol=2e-4, atol=0)
            both = torch.maximum(raw[index][1][:n], raw[other][1][:n])
            assert torch.equal(targets, torch.cat([both, raw[index][1][n:]]))
    # Beta(10, 10): mean 1/2, standard deviation 0.11; of 58 draws
    assert 0.42 < np.mean(shares) < 0.58
    assert 0.05 < np.std(shares) < 0.2


def test_what_a_clip_holds_somewhere_is_not_asked_of_a_shorter_one_it_is_laid_under() -> None:
    """It may be in the part that is cut off; the longer clip has the classes of the shorter one."""
    clips = []
    for label, n_frames in (("a", 20), ("b", 60)):
        (recording,) = make_sequences(n_frames)._recordings
        whole = Activities([Event(0.0, 9.0, label)], ("a", "b", "c"), n_frames, 0.032)
        silent = np.zeros((n_frames, 3), np.uint8)
        clips.append(replace(recording, activities=silent, unknown_frames=whole, held=whole))
    short, long = collate(augment(Sequences(clips), mixup=1.0)).tags  # type: ignore[misc]
    assert short.nan_to_num(9).tolist() == [1.0, 9.0, 0.0]
    assert long.tolist() == [1.0, 1.0, 0.0]


def test_a_sequence_without_others_is_not_mixed() -> None:
    sequences = make_sequences(30)
    assert same(augment(sequences, mixup=1.0), as_they_are(sequences)) == [True]


def test_mixing_does_not_change_what_it_mixes() -> None:
    sequences = make_sequences(30, 40)
    before = as_they_are(sequences)
    augment(sequences, config=FULL)
    assert all(same(as_they_are(sequences), before))


def wave_features(waveform: np.ndarray[Any, Any], feature: LogMelConfig = FEATURE) -> Tensor:
    tensor = torch.from_numpy(waveform.astype(np.float32))[None]
    return feature.build()(tensor)[0, 0]


def sequences_of(log_mel: Tensor) -> Sequences:
    n_frames = len(log_mel)
    recording = Recording(
        name="a",
        path=Path("a"),
        duration_s=1.0,
        log_mel=log_mel.numpy(),
        activities=np.zeros((n_frames, 1), np.uint8),
        events=(),
    )
    return Sequences([recording], None)


@pytest.mark.parametrize("feature", [FEATURE, POWER], ids=["log", "power"])
def test_a_gain_is_that_of_the_waveform(feature: LogMelConfig) -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000)
    sequences = sequences_of(wave_features(waveform, feature))

    ((heard, _),) = augment(sequences, gain_db=[-6.0, -6.0], feature=feature)

    expected = wave_features(waveform * 10 ** (-6 / 20), feature)
    torch.testing.assert_close(heard, expected, rtol=1e-4, atol=1e-3 if feature.is_log else 0)


@pytest.mark.parametrize("feature", [FEATURE, POWER], ids=["log", "power"])
def test_silence_stays_silent_and_nothing_sinks_below_the_floor(feature: LogMelConfig) -> None:
    waveform = np.random.default_rng(0).normal(0, 1e-6, 16000)
    waveform[:8000] = 0
    sequences = sequences_of(wave_features(waveform, feature))
    silent = slice(0, 10)
    floor = -100.0 if feature.is_log else 0.0
    assert (sequences[0][0][silent] == floor).all()
    for gain_db in (-20.0, 20.0):
        ((heard, _),) = augment(
            sequences, gain_db=[gain_db, gain_db], filter_db=3.0, feature=feature
        )
        assert (heard[silent] == floor).all()
        assert (heard >= floor).all()
        assert torch.isfinite(heard).all()
    ((heard, _),) = augment(sequences_of(sequences[0][0][silent]), noise=1.0, feature=feature)
    assert (heard == floor).all()


@pytest.mark.parametrize("slope", [0.0, 2.0])
@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_has_its_ratio_and_colour_as_if_added_to_the_waveform(
    snr_db: float, slope: float
) -> None:
    time = np.arange(160_000) / 16000
    waveform = 0.1 * np.sin(2 * np.pi * 1000 * time)
    power = 10 ** (wave_features(waveform) / 10)
    ((heard, _),) = augment(
        sequences_of(wave_features(waveform)),
        noise=1.0,
        noise_snr_db=[snr_db, snr_db],
        noise_slope=[slope, slope],
    )
    noise = 10 ** (heard / 10) - power

    # float32 differences of large numbers in the band of the tone
    assert float(noise.sum() / power.sum()) == pytest.approx(10 ** (-snr_db / 10), rel=1e-2)
    spectrum = np.fft.rfft(np.random.default_rng(5).normal(size=160_000))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    spectrum[0] = 0
    added = np.fft.irfft(spectrum)
    reference = 10 ** (wave_features(added / np.std(added)) / 10)
    # A steep slope is not even within the lowest, wide bands; the tone drowns what is near it.
    bands = np.arange(20)
    use = (bands > (3 if slope else 0)) & (np.abs(bands - int(power.mean(0).argmax())) > 2)
    levels = [10 * np.log10(x.mean(0).numpy()[use]) for x in (noise, reference)]
    apart = levels[0] - levels[1]
    np.testing.assert_allclose(apart - apart.mean(), 0, atol=0.5)  # of ten seconds' noise
    # and it flickers as noise does, band by band
    flicker = [(x.std(0) / x.mean(0)).numpy()[use] for x in (noise, reference)]
    np.testing.assert_allclose(flicker[0], flicker[1], rtol=0.35)


@settings(max_examples=30, deadline=None)
@given(
    n_frames=st.integers(1, 90),
    time_masks=st.integers(0, 3),
    longest=st.integers(1, 30),
    share=st.floats(0, 1),
    frequency_masks=st.integers(0, 3),
    widest=st.integers(1, 19),
    seed=st.integers(0, 99),
)
def test_masks_hide_stretches_up_to_their_limits_and_nothing_else(
    n_frames: int,
    time_masks: int,
    longest: int,
    share: float,
    frequency_masks: int,
    widest: int,
    seed: int,
) -> None:
    sequences = make_sequences(n_frames, low_db=0.0)  # nothing is as low as what masks hold
    ((heard, targets),) = augment(
        sequences,
        seed=seed,
        time_masks=time_masks,
        time_mask_frames=longest,
        time_mask_share=share,
        frequency_masks=frequency_masks,
        frequency_mask_bands=widest,
    )
    before, activities = sequences[0]

    hidden = heard != before
    assert torch.equal(heard[hidden], FILL.expand_as(heard)[hidden])
    assert torch.equal(targets, activities)
    frames, bands = hidden.all(1), hidden.all(0)
    assert torch.equal(hidden, frames[:, None] | bands)
    if not bands.all():
        assert frames.sum() <= time_masks * min(longest, share * n_frames)
    if not frames.all():
        assert bands.sum() <= frequency_masks * widest


def test_a_shift_moves_all_bands_alike_and_fills_the_edge() -> None:
    sequences = make_sequences(*[30] * 60)
    shifts = set()
    for (heard, targets), (before, activities) in zip(
        augment(sequences, band_shift=2), as_they_are(sequences), strict=True
    ):
        places = [n for n in range(-2, 3) if torch.equal(heard[:, 5 + n], before[:, 5])]
        (shift,) = places
        shifts.add(shift)
        kept = slice(max(shift, 0), 20 + min(shift, 0))
        assert torch.equal(heard[:, kept], before[:, max(-shift, 0) : 20 - max(shift, 0)])
        others = torch.ones(20, dtype=torch.bool)
        others[kept] = False
        assert torch.equal(heard[:, others], FILL[others].expand(30, -1))
        assert torch.equal(targets, activities)
    assert shifts == {-2, -1, 0, 1, 2}


def test_a_shift_by_all_bands_is_refused() -> None:
    (fault,) = build(AugmentConfig, {"band_shift": 20}).faults_with(FEATURE)
    assert "there are feature.n_mels=20 bands" in fault
    assert build(AugmentConfig, {"band_shift": 19}).faults_with(FEATURE) == []


def test_a_filter_keeps_within_its_range_and_is_the_same_at_all_frames() -> None:
    sequences = make_sequences(*[30] * 20)
    largest = []
    for (heard, _), (before, _) in zip(
        augment(sequences, filter_db=6.0), as_they_are(sequences), strict=True
    ):
        change = heard - before
        torch.testing.assert_close(change, change[:1].expand_as(change), atol=1e-4, rtol=0)
        largest.append(float(change.abs().max()))
    assert 4 < max(largest) <= 6.0001


def test_padding_stays_what_it_is() -> None:
    sequences = make_sequences(30, 50)
    items = augment(sequences, config=FULL)

    batch = collate(items)

    assert batch.lengths.tolist() == [30, 50]
    assert not batch.log_mel[0, 30:].any()
    assert not batch.targets[0, 30:].any()


def test_power_features_stay_power() -> None:
    sequences = make_sequences(30, 50, is_log=False)
    for log_mel, _ in augment(
        sequences, feature=POWER, roll=1.0, mixup=1.0, noise=1.0, gain_db=[3.0, 6.0], filter_db=6.0
    ):
        assert (log_mel > 0).all()
        assert torch.isfinite(log_mel).all()
