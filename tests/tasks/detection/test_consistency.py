"""A student that learns from its teacher where annotations are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from sed_cli.audio.front_ends.pcen import PCENConfig
from sed_cli.cli.hydra import Composer
from sed_cli.cli.verbs import Flags
from sed_cli.config.plain import build_training
from sed_cli.config.registry import joined
from sed_cli.config.trainer import MEAN_TEACHER, SELF_TRAINING
from sed_cli.config.training import AugmentConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.sequences import SequenceBatch
from sed_cli.data.views import Views
from sed_cli.sampling.schedules.constant import ConstantSchedule
from sed_cli.sampling.teacher_mask import TeacherCoins
from sed_cli.tasks.detection.consistency import Unknown, distances, taught, with_laid
from sed_cli.tasks.detection.task import DetectionTask
from sed_cli.tasks.train import make_trainer
from sed_cli.training.loop import Trainer
from tests.conftest import ANNOTATED, Sedtf
from tests.training.test_distributed import make_config, make_data, with_unlabelled

STRONG, FREE = [0, 1], [6, 7]  # sequences of the two sources


def trainer_for(config: TrainConfig) -> Trainer[Any]:
    torch.manual_seed(3)
    data = with_unlabelled(make_data())
    return make_trainer(config, DetectionTask(config, data, torch.device("cpu")))


def config_for(p: float = 0.5, **trainer: Any) -> TrainConfig:
    return make_config(ConstantSchedule(p=p), unlabelled=MEAN_TEACHER, **trainer)


def draws(p: float) -> TeacherCoins:
    return TeacherCoins(schedule=ConstantSchedule(p=p))


# ------------------------------------------------------------------------------------- unknown


def test_what_is_unknown_are_valid_frames_without_target_and_clips_without_any() -> None:
    known = torch.ones(3, 4, 2, dtype=torch.bool)
    known[0, :, 1] = False
    known[1, 2:, 0] = False
    known[2] = False
    tags = torch.full((3, 2), torch.nan)
    tags[2, 0] = 1.0  # weakly labelled
    batch = SequenceBatch(
        torch.zeros(3, 4, 5), torch.zeros(3, 4, 2), torch.tensor([3, 3, 2]), known, tags
    )
    unknown = Unknown.of(batch, 2)
    assert unknown.frames.sum(1).tolist() == [[0, 3], [1, 0], [2, 2]]
    assert unknown.clips.tolist() == [[False, True], [False, False], [False, True]]
    assert [int(n) for n in unknown.counts()] == [8, 2]
    assert not Unknown.of(batch._replace(known=None), 2).frames.any()


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_distances_are_of_probabilities_where_nothing_is_known(kind: str) -> None:
    trainer = trainer_for(config_for())
    model = trainer.task.model
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(2, 5, 2, generator=generator) for _ in range(2))
    student.requires_grad_()
    teacher.requires_grad_()
    unknown = Unknown(torch.rand(2, 5, 2, generator=generator) > 0.5, torch.eye(2).bool())
    valid = torch.ones(2, 5, dtype=torch.bool)
    frames, clips = distances(model, student, teacher, valid, unknown, kind)

    def apart(own: Tensor, target: Tensor) -> Tensor:
        p, q = own.sigmoid(), target.sigmoid()
        return (p - q).square() if kind == "mse" else -q * p.log() - (1 - q) * (1 - p).log()

    expected = apart(student, teacher)
    assert frames.item() == pytest.approx(expected[unknown.frames].sum().item(), rel=1e-5)
    pooled = [model.clip_logits(each, valid) for each in (student, teacher)]
    of_clips = apart(*pooled).diagonal().sum()
    assert clips.item() == pytest.approx(of_clips.item(), rel=1e-5)
    (frames + clips).backward()
    assert student.grad is not None
    assert teacher.grad is None


# ------------------------------------------------------------------------------------- teacher


def test_the_teacher_runs_as_in_evaluation_and_draws_nothing() -> None:
    config = replace(config_for(), model=replace(config_for().model, dropout=0.5))
    trainer = trainer_for(config)
    task = trainer.task
    batch = task.batch([*STRONG, *FREE], 1)
    unknown = Unknown.of(batch, 2)
    state = torch.get_rng_state()
    first = taught(task.teacher, batch, unknown, "hard", 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, taught(task.teacher, batch, unknown, "hard", 2))
    assert not first[:2].any()  # all is known of these
    task.model.eval()
    free = task.model(batch.log_mel[2:], lengths=batch.lengths[2:])
    torch.testing.assert_close(first[2:], free)  # before the first update they are one


def test_recordings_without_labels_have_the_gradient_of_the_consistency_alone() -> None:
    found = []
    for weight in (0.0, 1.0, 2.0):
        trainer = trainer_for(config_for(0.0, consistency_weight=weight, consistency_epochs=0))
        for _ in range(2):  # so that the two differ
            trainer.step(trainer.task.batch(STRONG, 1))
        trainer.optimizer.zero_grad()
        batch = trainer.task.batch(FREE, 1)
        total, count = trainer.task.losses(batch, draws(0.0))
        assert total[0] == 0
        assert count.tolist() == [0, 2 * 20, 2 * 2]
        total[1:].sum().backward()
        found.append(trainer.task.model.readout.weight.grad)
    assert not found[0].any()
    assert found[1].any()
    torch.testing.assert_close(found[2], 2 * found[1])


def watch(task: DetectionTask) -> dict[str, Any]:
    """Targets and mask that the student receives from now on."""
    seen: dict[str, Any] = {}

    def forward(log_mel: Any, targets: Any, mask: Any, **more: Any) -> Any:
        seen.update(targets=targets, mask=mask)
        return type(task.model).forward(task.model, log_mel, targets, mask, **more)

    task.model.forward = forward  # type: ignore[method-assign]
    return seen


def test_the_student_is_fed_its_own_outputs_or_those_that_the_teacher_finds() -> None:
    found = {}
    for feedback in ("own", "teacher"):
        own = {"consistency_feedback": feedback, "consistency_mixup": 0.5}
        trainer = trainer_for(config_for(consistency_epochs=0, **own))
        task = trainer.task
        with torch.no_grad():
            task.model.readout.bias.copy_(torch.tensor([0.1, -0.1]))
        for _ in range(3):
            trainer.step(task.batch(STRONG, 1))
        seen = watch(task)
        batch = task.batch([*STRONG, *FREE], 1)
        logits = with_laid(taught(task.teacher, batch, Unknown.of(batch, 2), "hard", 2), batch)
        task.losses(batch, draws(1.0))
        found[feedback] = seen
        assert torch.equal(seen["targets"][:2], batch.targets[:2])
        assert seen["mask"][:2].all()
    assert not found["own"]["mask"][2:].any()
    assert found["teacher"]["mask"][2:].all()
    assert torch.equal(found["teacher"]["targets"][2:], (logits[2:] > 0).float())


def heard_by(config: TrainConfig, *, epoch: int = 1, **augment: Any) -> SequenceBatch:
    """A batch as an epoch hears it."""
    config = replace(config, augment=joined(AugmentConfig)(**augment))
    batch: SequenceBatch = trainer_for(config).task.batch([*STRONG, *FREE], epoch)
    return batch


@pytest.mark.parametrize("view", ["clean", "augmented"])
def test_student_and_teacher_share_all_that_moves_activities(view: str) -> None:
    config = config_for(consistency_view=view, consistency_mixup=0.0)
    rolled = heard_by(config, roll=1.0)
    assert heard_by(config).other_view is rolled.other_view is None
    batch = heard_by(config, roll=1.0, time_masks=1)
    assert batch.other_view is not None
    assert torch.equal(batch.other_view[:2], batch.log_mel[:2])  # of which all is known
    assert not torch.equal(batch.other_view[2:], batch.log_mel[2:])
    if view == "clean":
        assert torch.equal(batch.other_view[2:], rolled.log_mel[2:])
    else:  # where neither is masked, both are rolled by the same number of frames
        assert not torch.equal(batch.other_view[2:], rolled.log_mel[2:])
        same = (batch.other_view == rolled.log_mel) & (batch.log_mel == rolled.log_mel)
        assert same[2:].float().mean() > 0.5


def test_only_the_student_hears_what_is_mixed_in_and_is_to_detect_it_too() -> None:
    config = config_for(consistency_mixup=1.0)
    plain = heard_by(config_for(consistency_mixup=0.0))
    task = trainer_for(config).task
    labelled = [task.sequences.by_source["strong"].targets(n) for n in range(6)]
    found = set()
    for epoch in range(1, 20):
        batch = heard_by(config, epoch=epoch)
        assert batch.laid is not None
        assert batch.other_view is not None
        assert torch.equal(batch.other_view, plain.log_mel)
        assert torch.equal(batch.log_mel[:2], plain.log_mel[:2])
        assert not torch.equal(batch.log_mel[2:], plain.log_mel[2:])
        assert not batch.laid[:2].any()
        for laid in batch.laid[2:]:
            whole = [n for n, each in enumerate(labelled) if torch.equal(laid[: len(each)], each)]
            assert whole
            found.add(whole[0])
        logits = torch.full_like(batch.targets, -3.0)
        taught_too = with_laid(logits, batch) > 0
        assert torch.equal(taught_too, batch.laid > 0)
        assert batch.known is not None
        assert not batch.known[2:].any()
    assert found == set(range(6))  # any of them, the first and the last as well


def test_what_nobody_knows_of_a_mixture_does_not_count() -> None:
    batch = heard_by(config_for(consistency_mixup=1.0))
    assert batch.laid is not None
    laid = batch.laid.clone()
    laid[2, 3, 1] = torch.nan
    counted = Unknown.of(batch._replace(laid=laid), 2).frames
    assert not counted[2, 3, 1]
    assert counted.sum() == Unknown.of(batch, 2).frames.sum() - 1


def test_features_without_power_are_not_mixed() -> None:
    config = config_for(consistency_mixup=1.0)
    task = trainer_for(config).task
    views = Views(
        config.augment,
        config.trainer,
        task.sequences.by_source["strong"],
        feature=PCENConfig(n_mels=4),
        fill=torch.zeros(4),
        seed=0,
    )
    assert not views.mixes
    assert not views.differ


def test_an_epoch_lasts_until_the_labelled_sequences_are_through() -> None:
    trainer = trainer_for(config_for(batch_size=3, batch_shares={"unlabelled": 2.0}))
    assert trainer.n_batches == 2  # of six
    assert [len(batch.lengths) for batch, _ in trainer.batches(1)] == [9, 9]


# -------------------------------------------------------------------------------------- whole


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["average", "trained"])
def test_a_resumed_training_is_that_of_one_go(keep: str, sedtf: Sedtf, recordings: Path) -> None:
    own = (f"data.root={recordings}", "data.train.unlabelled=audio", "data.train_share=0.5")
    heard = ("augment.time_masks=1", "trainer.consistency_mixup=0.5")
    settings = (*ANNOTATED, *own, *heard, f"trainer.keep={keep}")
    settings = (*settings, f"trainer.unlabelled={MEAN_TEACHER}")
    assert sedtf("train", *settings, "trainer.epochs=3", "output_dir=at_once") == 0
    assert sedtf("train", *settings, "trainer.epochs=1", "output_dir=run") == 0
    assert sedtf("train", "resume=run", "trainer.epochs=3") == 0
    at_once, resumed = (
        load_file(Path(run, "checkpoints", "last", "model.safetensors"))
        for run in ("at_once", "run")
    )
    torch.testing.assert_close(resumed, at_once, rtol=0, atol=0)


@pytest.mark.parametrize(("split", "method"), [("field", MEAN_TEACHER), (None, SELF_TRAINING)])
def test_a_run_from_before_there_was_a_choice_has_a_mean_teacher(
    split: str | None, method: str, recordings: Path
) -> None:
    overrides = [f"data.root={recordings}", "data=annotated", f"data.train.unlabelled={split}"]
    given = OmegaConf.to_container(
        Composer("train", Flags()).compose(overrides if split else overrides[:2])
    )
    assert isinstance(given, dict)
    values = {str(key): value for key, value in given.items() if key != "hydra"}
    del values["trainer"]["unlabelled"]
    assert build_training(values | {"output_dir": ""}).trainer.unlabelled == method
