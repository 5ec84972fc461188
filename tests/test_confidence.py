"""Feedback that depends on the model's confidence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sed_cli.data.sequences import SequenceBatch
from sed_cli.sampling import confidence
from sed_cli.sampling.schedule import Schedule
from sed_cli.sampling.schedules.confidence import ConfidenceSchedule
from sed_cli.sampling.schedules.decoding_steps import DecodingStepsSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins, make_coins
from tests.tasks.test_train import small_trainer


def coins_of(**settings: object) -> TeacherCoins:
    schedule = ConfidenceSchedule(**settings)  # type: ignore[arg-type]
    return make_coins(schedule, batches_per_epoch=1, seed=5)


def batch(n_sequences: int = 3, n_steps: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Numbered targets of one class, their confidences, and a mask of valid frames."""
    random = torch.Generator().manual_seed(1)
    targets = torch.arange(n_sequences * n_steps).view(n_sequences, n_steps)
    lengths = torch.tensor([n_steps, n_steps // 2, 1])[:n_sequences]
    valid = torch.arange(n_steps) < lengths[:, None]
    return targets, torch.rand(n_sequences, n_steps, generator=random), valid


def test_target_own_output_or_a_random_target_of_the_sequence_is_fed() -> None:
    targets, sure, valid = batch()
    sure[0, :3] = torch.tensor([0.4, 0.7, 0.70001])  # a bound belongs to the range below it
    fed, mask = coins_of(target_at_most=0.4, own_at_most=0.7).choose(targets, sure, valid)

    is_target, is_random = sure <= 0.4, sure > 0.7
    assert mask[0, :3].tolist() == [True, False, True]
    assert torch.equal(mask, is_target | is_random)
    assert torch.equal(fed[is_target], targets[is_target])
    rows = torch.arange(3)[:, None].expand_as(fed)[is_random]
    drawn = fed[is_random] - rows * 40
    assert bool(((drawn >= 0) & (drawn < valid.sum(dim=1)[rows])).all())
    assert len(drawn[rows == 0].unique()) > 5  # of many steps, not of one


def test_the_share_of_targets_is_reported_and_padding_is_not_counted() -> None:
    coins = coins_of(target_at_most=0.4, own_at_most=0.7)
    targets, sure, valid = batch()
    coins.choose(targets, sure, valid)
    assert coins.p_teacher == pytest.approx(float((sure[valid] <= 0.4).double().mean()))


def test_each_class_is_decided_by_itself_and_takes_its_onset_along() -> None:
    random = torch.Generator().manual_seed(1)
    activities = torch.arange(2 * 30 * 3).view(2, 30, 3).float()
    targets = torch.cat([activities, activities + 1000], dim=2)  # (B, T, 2C)
    sure = torch.rand(2, 30, 3, generator=random)
    valid = torch.ones(2, 30, dtype=torch.bool)
    coins = coins_of(target_at_most=0.3, own_at_most=0.5, coin="class")
    fed, mask = coins.choose(targets, sure, valid)

    assert mask.shape == (2, 30, 3)
    assert torch.equal(fed[..., 3:], fed[..., :3] + 1000)
    assert torch.equal(fed[..., :3] % 3, activities % 3)  # of the same class
    assert torch.equal(fed[..., :3] != activities, (fed[..., :3] != activities) & (sure > 0.5))


def test_a_part_of_a_batch_is_fed_what_it_is_in_the_whole_and_resumes() -> None:
    targets, sure, valid = batch()
    whole, part = coins_of(), coins_of()
    whole.choose(targets, sure, valid)
    with part.part_of(3, 40, 0):
        part.choose(targets[:2, :40], sure[:2], valid[:2])
    state = whole.state_dict()
    expected = whole.choose(targets, sure, valid)
    with part.part_of(3, 40, 1):
        got = part.choose(targets[1:2, :20], sure[1:2, :20], valid[1:2, :20])
    assert all(torch.equal(a, b[1:2, :20]) for a, b in zip(got, expected, strict=True))
    resumed = coins_of()
    resumed.load_state_dict(state)
    again = resumed.choose(targets, sure, valid)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


def test_a_resumed_training_knows_the_share_of_its_last_batch() -> None:
    coins, resumed = coins_of(), coins_of()
    coins.choose(*batch())
    resumed.load_state_dict(coins.state_dict())
    assert resumed.p_teacher == coins.p_teacher < 1


def test_a_frame_is_as_probable_as_all_of_its_activities_together() -> None:
    p = torch.tensor([[[0.9, 0.2, 0.5]]])
    targets = torch.tensor([[[1.0, 0.0, 0.0]]])
    each = confidence.of_activities(p.logit(), targets, each=True)
    torch.testing.assert_close(each, torch.tensor([[[0.9, 0.8, 0.5]]]))
    whole = confidence.of_activities(p.logit(), targets, each=False)
    torch.testing.assert_close(whole, torch.tensor([[0.36]]))
    tokens = confidence.of_tokens(p.log(), torch.tensor([[2]]))
    torch.testing.assert_close(tokens, torch.tensor([[0.5 / 1.6]]))


def test_what_is_unknown_is_neither_fed_nor_counted_nor_asked_for() -> None:
    targets, sure, valid = batch()
    of_classes = torch.stack([targets, targets + 1000], dim=2).float()  # (B, T, 2)
    known = torch.rand(3, 40, 2, generator=torch.Generator().manual_seed(2)) > 0.4
    coins = coins_of(target_at_most=0.4, own_at_most=0.5)
    fed, mask = coins.choose(of_classes, sure, valid, known)

    assert not mask[~known].any()
    is_random = (sure > 0.5)[..., None].expand_as(mask)
    assert torch.equal(mask[~is_random], ((sure <= 0.4)[..., None] & known)[~is_random])
    steps = (fed % 40).long().clamp(0, 39)
    steps[..., 1] = ((fed[..., 1] - 1000) % 40).long()
    assert bool(known.gather(1, steps)[mask].all())  # of the step whose target is fed
    counted = valid & known.any(2)
    assert coins.p_teacher == pytest.approx(float((sure[counted] <= 0.4).double().mean()))
    coins.choose(of_classes, sure, valid, torch.zeros_like(known))
    assert coins.p_teacher == 0

    logits, active = torch.tensor([[[2.0, -3.0]]]), torch.tensor([[[1.0, 0.0]]])
    told = torch.tensor([[[True, False]]])
    got = confidence.of_activities(logits, active, each=False, known=told)
    torch.testing.assert_close(got, torch.tensor([[2.0]]).sigmoid())


@pytest.mark.parametrize(
    ("settings", "same_as"),
    [
        ({"sampler__target_at_most": 1.0, "sampler__own_at_most": 1.0}, "teacher_forcing"),
        ({"sampler__target_at_most": 0.0, "sampler__own_at_most": 1.0}, "free_running"),
    ],
)
def test_at_its_bounds_it_is_teacher_forcing_or_free_running(
    recordings: Path, settings: dict[str, float], same_as: str
) -> None:
    losses = []
    for sampler, own in (("confidence", settings), (same_as, {})):
        torch.manual_seed(0)
        trainer = small_trainer(recordings, sampler=sampler, **own)
        random = torch.Generator().manual_seed(3)
        of_batch = SequenceBatch(
            torch.randn(2, 30, 40, generator=random),
            (torch.rand(2, 30, 2, generator=random) > 0.5).float(),
            torch.tensor([30, 21]),
        )
        losses.append([float(trainer.step(of_batch)) for _ in range(3)])
    assert losses[0] == losses[1]


def test_settings_without_meaning_are_refused() -> None:
    assert ConfidenceSchedule().faults() == []
    for key, value in (("p_min", 0.1), ("p_max", 0.9), ("unit", "time_step"), ("coin", "sequence")):
        with pytest.raises(ValueError, match=f"{key}={value}"):
            ConfidenceSchedule(**{key: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="target_at_most <= own_at_most"):
        ConfidenceSchedule(target_at_most=0.9, own_at_most=0.8)


@pytest.mark.parametrize("schedule", [ConfidenceSchedule(), DecodingStepsSchedule(base=0.9)])
def test_the_share_of_the_last_batch_is_known_where_a_run_resumes(schedule: Schedule) -> None:
    """A mean teacher uses it at the next update."""
    coins, resumed = TeacherCoins(schedule=schedule), TeacherCoins(schedule=schedule)
    if schedule.asks_model:
        coins.choose(*batch())
    else:
        coins.draw(3, 40, 2)
    assert coins.p_teacher != resumed.p_teacher
    resumed.load_state_dict(coins.state_dict())
    assert resumed.p_teacher == coins.p_teacher
    older = {key: coins.state_dict()[key] for key in ("iteration", "generator")}
    TeacherCoins(schedule=schedule).load_state_dict(older)
