from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sed_cli.sampling.schedule import Schedule
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.schedules.decoding_steps import DecodingStepsSchedule
from sed_cli.sampling.schedules.exponential import ExponentialSchedule
from sed_cli.sampling.schedules.inverse_sigmoid import InverseSigmoidSchedule
from sed_cli.sampling.schedules.linear import LinearSchedule
from sed_cli.sampling.schedules.rising_exponential import RisingExponentialSchedule
from sed_cli.sampling.schedules.rising_inverse_sigmoid import RisingInverseSigmoidSchedule
from sed_cli.sampling.schedules.rising_linear import RisingLinearSchedule
from sed_cli.sampling.schedules.scheduled import ScheduledSampler
from sed_cli.sampling.teacher_mask import TeacherCoins, make_coins

bounds = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    p_min, p_max = draw(bounds)
    limits = {"p_min": p_min, "p_max": p_max}
    return draw(
        st.sampled_from(
            [
                ScheduledSampler(
                    batches_per_epoch=draw(st.integers(1, 500)),
                    gamma=draw(st.floats(1e-3, 5)),
                    **limits,
                ),
                LinearSchedule(k=draw(st.floats(0.5, 2)), c=draw(st.floats(1e-6, 0.1)), **limits),
                ExponentialSchedule(k=draw(st.floats(0.01, 0.9999)), **limits),
                InverseSigmoidSchedule(k=draw(st.floats(1, 1000)), **limits),
                ConstantSchedule(p=draw(st.floats(0, 1)), **limits),
            ]
        )
    )


@given(schedules(), st.lists(st.integers(0, 10**7), min_size=2, max_size=20))
def test_schedules_are_bounded_and_never_rise(schedule: Schedule, iterations: list[int]) -> None:
    p = schedule.probability(torch.tensor(sorted(iterations)))
    assert bool(((p >= schedule.p_min) & (p <= schedule.p_max)).all())
    assert bool((p.diff() <= 0).all())


@st.composite
def rising_schedules(draw: st.DrawFn) -> Schedule:
    p_min, p_max = draw(bounds)
    limits = {"p_min": p_min, "p_max": p_max}
    return draw(
        st.sampled_from(
            [
                RisingLinearSchedule(
                    k=draw(st.floats(-1, 0.5)), c=draw(st.floats(1e-6, 0.1)), **limits
                ),
                RisingExponentialSchedule(k=draw(st.floats(0.01, 0.9999)), **limits),
                RisingInverseSigmoidSchedule(k=draw(st.floats(1, 1000)), **limits),
            ]
        )
    )


@given(rising_schedules(), st.lists(st.integers(0, 10**7), min_size=2, max_size=20))
def test_rising_schedules_are_bounded_and_never_fall(
    schedule: Schedule, iterations: list[int]
) -> None:
    p = schedule.probability(torch.tensor(sorted(iterations)))
    assert bool(((p >= schedule.p_min) & (p <= schedule.p_max)).all())
    assert bool((p.diff() >= 0).all())
    assert schedule.probability(10**12) == schedule.p_max


@given(st.one_of(schedules(), rising_schedules()), st.integers(0, 10**7))
def test_int_and_tensor_agree(schedule: Schedule, i: int) -> None:
    assert schedule.probability(i) == float(schedule.probability(torch.tensor([[i]]))[0, 0])


def closed_form(i: int, n_b: int, gamma: float, p_min: float, p_max: float) -> float:
    """The formula of science.md in plain floating point, independent of the implementation."""
    return min(p_max, 1 - min(1 - p_min, 2 / (1 + math.exp(-gamma * i / n_b)) - 1))


@pytest.mark.parametrize(
    ("n_b", "gamma", "p_min", "p_max"),
    [
        (50, 0.01, 0.05, 0.95),  # the tutorial's four settings
        (50, 0.02, 0.05, 0.9),
        (50, 0.08, 0.025, 0.8),
        (50, 0.1, 0.01, 0.7),
        (1000, 10 / 80, 0.05, 0.9),  # the paper's two
        (1000, 10 / 120, 0.05, 0.9),
    ],
)
def test_scheduled_sampler_equals_the_closed_form(
    n_b: int, gamma: float, p_min: float, p_max: float
) -> None:
    sampler = ScheduledSampler(batches_per_epoch=n_b, gamma=gamma, p_min=p_min, p_max=p_max)
    iterations = list(range(0, 60 * n_b, 7))
    expected = [closed_form(i, n_b, gamma, p_min, p_max) for i in iterations]
    got = sampler.probability(torch.tensor(iterations)).numpy()
    # 2 / (1 + exp(-x)) - 1 loses the last digits near 0, hence 1e-14 and not equality
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


def test_probability_really_falls_from_p_max_to_p_min() -> None:
    """Hazard 1: the published clamp keeps the probability at 0.9 forever."""
    sampler = ScheduledSampler(batches_per_epoch=100, gamma=0.1, p_min=0.05, p_max=0.9)
    epochs = sampler.probability(torch.arange(0, 100 * 100, 100))
    assert epochs[0] == 0.9
    assert epochs[-1] == 0.05
    assert len(epochs.unique()) > 30


def test_paper_and_tutorial_count_differently() -> None:
    """science.md: by time steps p_min comes within 5 % of an epoch, by updates after 30 epochs."""
    n_b, n_steps = 1000, 1024
    schedule = ScheduledSampler(batches_per_epoch=n_b, gamma=0.1, p_min=0.05, p_max=0.9)
    by_step = TeacherCoins(schedule=schedule, unit="time_step")
    by_update = TeacherCoins(schedule=schedule, unit="update")
    for _ in range(n_b // 20):
        by_step.draw(1, n_steps, 1)
        by_update.draw(1, n_steps, 1)
    assert by_step.p_teacher == 0.05
    assert by_update.p_teacher == 0.9
    assert schedule.probability(30 * n_b) > 0.05
    assert schedule.probability(45 * n_b) == 0.05


@pytest.mark.parametrize(
    ("schedule", "iterations", "expected"),
    [
        (LinearSchedule(k=1.0, c=0.01, p_min=0.1), [0, 50, 1000], [1.0, 0.5, 0.1]),
        (ExponentialSchedule(k=0.5), [0, 1, 3], [1.0, 0.5, 0.125]),
        (InverseSigmoidSchedule(k=10.0), [0, 23], [10 / 11, 10 / (10 + math.exp(2.3))]),
        (ConstantSchedule(p=0.3), [0, 99], [0.3, 0.3]),
        (RisingLinearSchedule(c=0.01, p_max=0.9), [0, 50, 1000], [0.0, 0.5, 0.9]),
        (RisingExponentialSchedule(k=0.5, p_min=0.1), [0, 1, 3], [0.1, 0.5, 0.875]),
        (RisingInverseSigmoidSchedule(k=10.0), [0, 23], [1 / 11, 1 - 10 / (10 + math.exp(2.3))]),
    ],
)
def test_bengio_schedules_by_hand(
    schedule: Schedule, iterations: list[int], expected: list[float]
) -> None:
    got = schedule.probability(torch.tensor(iterations))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [None, 10.0])
def test_decoding_steps_by_hand(k: float | None) -> None:
    """p(t) = .99^t, jointly .99^(t (1 - f(i))) with f(i) = k / (k + exp(i / k))."""
    schedule = DecodingStepsSchedule(k=k, p_min=0.2)
    for i in (0, 23, 10**6):
        f = 0.0 if k is None else k / (k + math.exp(min(i / k, 700)))
        steps = torch.arange(0, 400, 57)
        got = schedule.probability(torch.full_like(steps, i), steps)
        expected = [max(0.2, 0.99 ** (t * (1 - f))) for t in steps.tolist()]
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
        assert schedule.probability(i, 57) == float(got[1])


def test_a_mask_follows_decoding_steps() -> None:
    schedule = DecodingStepsSchedule(base=0.9)
    coins = TeacherCoins(schedule=schedule, seed=0)
    expected = 0.9 ** np.arange(30)
    for _ in range(2):  # new draws for each batch
        share = coins.draw(20000, 30, 1).double().mean(dim=0).numpy()
        # five standard deviations at p = 1/2
        assert np.abs(share - expected).max() < 5 * math.sqrt(0.25 / 20000)
    assert coins.p_teacher == pytest.approx(expected.mean())


def test_one_draw_a_sequence_feeds_the_target_up_to_a_step() -> None:
    coins = TeacherCoins(schedule=DecodingStepsSchedule(base=0.9), coin="sequence", seed=0)
    mask = coins.draw(5000, 30, 1)
    assert bool((mask[:, 1:] <= mask[:, :-1]).all())
    share = mask.double().mean(dim=0).numpy()
    assert np.abs(share - 0.9 ** np.arange(30)).max() < 5 * math.sqrt(0.25 / 5000)


@pytest.mark.parametrize("unit", ["update", "time_step"])
@pytest.mark.parametrize("coin", ["step", "sequence", "class"])
def test_a_part_of_a_batch_gets_the_mask_it_has_in_the_whole(unit: str, coin: str) -> None:
    def make() -> TeacherCoins:
        config = DecodingStepsSchedule(base=0.9, k=5.0, unit=unit, coin=coin)
        return make_coins(config, batches_per_epoch=3, seed=11)

    whole, part = make(), make()
    for _ in range(3):
        expected = whole.draw(6, 12, 2)
        with part.part_of(6, 12, 2):
            assert torch.equal(part.draw(3, 9, 2), expected[2:5, :9])
    assert part.p_teacher == whole.p_teacher


def test_inverse_sigmoid_does_not_overflow() -> None:
    assert InverseSigmoidSchedule(k=2.0, p_min=0.0).probability(10**7) == 0.0
    assert RisingInverseSigmoidSchedule(k=2.0).probability(10**7) == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScheduledSampler(batches_per_epoch=0, gamma=0.1),
        lambda: ScheduledSampler(batches_per_epoch=5, gamma=-1),
        lambda: ScheduledSampler(batches_per_epoch=5, gamma=0.1, p_min=0.9, p_max=0.1),
        lambda: LinearSchedule(c=0.0),
        lambda: ExponentialSchedule(k=1.0),
        lambda: InverseSigmoidSchedule(k=0.5),
        lambda: DecodingStepsSchedule(base=1.0),
        lambda: ConstantSchedule(p=1.5),
        lambda: TeacherCoins(schedule=ConstantSchedule(p=1), unit="epoch"),
        lambda: TeacherCoins(schedule=ConstantSchedule(p=1), coin="edge"),
        lambda: ConstantSchedule(p=1).probability(-1),
    ],
)
def test_senseless_settings_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"expected|needs|lies|at least"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("coin", ["step", "sequence", "class"])
def test_share_of_teacher_forced_steps_is_p_teacher(coin: str) -> None:
    coins = TeacherCoins(schedule=ConstantSchedule(p=0.3), coin=coin, seed=3)  # type: ignore[arg-type]
    mask = coins.draw(4000, 5, 4)
    n_tosses = {"step": 20000, "sequence": 4000, "class": 80000}[coin]
    assert mask.shape == ((4000, 5, 4) if coin == "class" else (4000, 5))
    # five standard deviations of a binomial share
    assert abs(float(mask.float().mean()) - 0.3) < 5 * math.sqrt(0.21 / n_tosses)
    if coin == "sequence":
        assert bool((mask == mask[:, :1]).all())


def test_time_step_draws_follow_the_curve_within_a_batch() -> None:
    schedule = ScheduledSampler(batches_per_epoch=10, gamma=0.5, p_min=0.0, p_max=1.0)
    coins = TeacherCoins(schedule=schedule, unit="time_step", seed=0)
    first, second = coins.draw(20000, 40, 1), coins.draw(20000, 40, 1)
    expected = schedule.probability(torch.arange(80))
    share = torch.cat([first, second], dim=1).double().mean(dim=0)
    # five standard deviations at p = 1/2
    assert float((share - expected).abs().max()) < 5 * math.sqrt(0.25 / 20000)


@pytest.mark.parametrize("unit", ["update", "time_step"])
def test_restored_teacher_masks_continue_exactly(unit: str) -> None:
    def make() -> TeacherCoins:
        config = ScheduledSampler(gamma=0.5, unit=unit)
        return make_coins(config, batches_per_epoch=3, seed=11)

    coins = make()
    coins.draw(4, 9, 2)
    state = coins.state_dict()
    expected = [coins.draw(4, 9, 2) for _ in range(5)]
    restored = make()
    restored.load_state_dict(state)
    assert all(torch.equal(restored.draw(4, 9, 2), mask) for mask in expected)
    assert restored.p_teacher == coins.p_teacher


def test_restored_teacher_masks_know_the_mean_over_the_steps_of_the_last_batch() -> None:
    """The weight of a mean teacher depends on it."""
    coins, restored = (
        make_coins(DecodingStepsSchedule(), batches_per_epoch=3, seed=0) for _ in range(2)
    )
    coins.draw(2, 50, 1)
    restored.load_state_dict(coins.state_dict())
    assert restored.p_teacher == coins.p_teacher < 1


@pytest.mark.parametrize("wrong", [{"n_steps": 10**12}, {"share": torch.tensor(torch.nan)}])
def test_a_state_that_no_batch_can_have_left_is_refused(wrong: dict[str, object]) -> None:
    coins = make_coins(DecodingStepsSchedule(), batches_per_epoch=3, seed=0)
    with pytest.raises(ValueError, match=r"steps|share"):
        coins.load_state_dict({**coins.state_dict(), **wrong})


def test_targets_flip_as_often_as_they_should_and_alike_when_drawn_again() -> None:
    coins = make_coins(ConstantSchedule(p=0.5), batches_per_epoch=1, seed=3)
    targets = torch.tensor([0.0, 1.0, 0.25]).expand(40, 50, 3)
    state = coins.state_dict()
    flipped = coins.flipped(targets, 0.1)
    is_flipped = flipped != targets
    assert torch.equal(flipped[is_flipped], (1 - targets)[is_flipped])
    # five standard deviations of a binomial share
    assert abs(float(is_flipped.float().mean()) - 0.1) < 5 * math.sqrt(0.09 / 6000)
    assert not torch.equal(coins.flipped(targets, 0.1), flipped)
    coins.load_state_dict(state)
    with coins.part_of(40, 50, first=30):  # like a process with the last ten of the batch
        assert torch.equal(coins.flipped(targets[30:], 0.1), flipped[30:])


def test_drawing_a_teacher_mask_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    coins = make_coins(ConstantSchedule(p=0.5), batches_per_epoch=1, seed=5)
    coins.draw(8, 8, 8)
    coins.noise(8, 8, 8)
    assert torch.equal(torch.rand(3), expected)


def test_batches_per_epoch_of_the_loader_fills_an_open_setting() -> None:
    given_one = make_coins(ScheduledSampler(batches_per_epoch=7), batches_per_epoch=99, seed=0)
    open_one = make_coins(ScheduledSampler(), batches_per_epoch=99, seed=0)
    assert isinstance(given_one.schedule, ScheduledSampler)
    assert isinstance(open_one.schedule, ScheduledSampler)
    assert given_one.schedule.batches_per_epoch == 7
    assert open_one.schedule.batches_per_epoch == 99
