"""Settings of the optimisation: duration, learning rate, devices, choice of the epoch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sed_cli.config.faults import Faults, is_usable
from sed_cli.config.registry import Names, components
from sed_cli.config.settings import DEFAULT, MISSING, Role, Settings, range_faults, setting
from sed_cli.config.training import LossConfig, LrScheduleConfig, OptimizerConfig

MOST_THREADS = 1024  # of a process; thousands take gigabytes, and minutes to start
SELF_TRAINING, MEAN_TEACHER = "self_training", "mean_teacher"  # values of trainer.unlabelled
_OF_CONSISTENCY = ("weight", "epochs", "loss", "mixup", "view", "feedback")
_OF_UNLABELLED = {  # settings that have an effect only with unlabelled recordings, and for which
    "trainer.unlabelled": None,
    "trainer.teachers": SELF_TRAINING,
    "trainer.student_mixup": SELF_TRAINING,
    "teacher": SELF_TRAINING,
    **dict.fromkeys(
        [f"trainer.consistency_{key}" for key in _OF_CONSISTENCY],
        MEAN_TEACHER,
    ),
}
LR_SCALE = "lr_scale"  # key of a parameter group's learning-rate factor


@dataclass
class TrainerConfig(Settings):
    """The optimisation, and early stopping on validation."""

    epochs: int = setting(
        25, "number of passes over the training split", at_least=1, role=Role.RESUMABLE | Role.FREE
    )
    batch_size: int = setting(8, "sequences per batch, over all devices", at_least=1)
    accumulate: int = setting(
        1,
        "batches per update; gradients are accumulated as in one batch of this many times "
        "trainer.batch_size (except for batch norm)",
        at_least=1,
        before=DEFAULT,
    )
    lr: float = setting(2e-3, "learning rate", above=0, role=Role.FREE)
    batch_shares: dict[str, float] = setting(
        {},
        "proportions of the sources in a batch, {strong: 1, weak: 3}: the training split, "
        "data.train.weak; others: 1; unlabelled (data.train.unlabelled) is added to these",
        before=DEFAULT,
    )
    clip_weight: float = setting(
        0.02,
        "weight of the loss of weakly labelled clips (that of frames is 1), and with a mean "
        "teacher of their consistency loss",
        above=0,
        role=Role.FREE,
        before=DEFAULT,
    )
    min_epoch_updates: int = setting(
        20,
        "minimum number of updates in an epoch; small data sets are passed several times; 1: "
        "always one pass",
        at_least=1,
        at_most=1_000_000,
        before=1,
    )
    patience: int = setting(
        10,
        "epochs without a better validation before stopping, counted once the model detects "
        "anything",
        at_least=1,
        role=Role.RESUMABLE | Role.FREE,
    )
    monitor: str = setting(
        "validation_f1",
        "metric that selects the best epoch, free running: validation_f1, validation_loss, "
        "validation_er, or any other metric, such as event_f1, segment_er, psds1; for "
        "task=sequence also validation_perplexity (teacher-forced)",
        role=Role.FREE,
    )
    figures: list[str] = setting(
        [],
        "additional metrics of validation for history.csv, such as event_f1",
        before=DEFAULT,
    )
    grad_norm: float | None = setting(
        1.0, "maximum norm of the gradient, clipped above; null: none", above=0
    )
    precision: str = setting(
        "float32", "precision of the convolutions: float32, bf16", choices=("float32", "bf16")
    )
    threads: int | None = setting(
        None,
        "CPU threads of a process; null: torch's choice, or an equal share for each of several "
        "processes",
        at_least=1,
        at_most=MOST_THREADS,
        role=Role.PLACE,
    )
    recurrence: str = setting(
        "auto",
        "auto; plain: a loop over time, slow, for checks; triton: one kernel on CUDA, "
        "experimental: never run on a GPU by us",
        choices=("auto", "plain", "triton"),
        role=Role.PLACE,
    )
    max_updates: int | None = setting(
        None, "stop after this many updates", at_least=1, role=Role.FREE
    )
    devices: int | None = setting(
        None,
        "number of GPUs, or of processes on the CPU, that share each batch; null: one",
        at_least=1,
        role=Role.PLACE,
    )
    loggers: list[str] = setting(
        ["csv", "tensorboard"],
        "loggers of each epoch; csv (history.csv) is required",
        choices=Names("logger"),
        role=Role.PLACE,
        before=DEFAULT,
    )
    loss: LossConfig = setting(MISSING, "loss function")
    optimizer: OptimizerConfig = setting(MISSING, "optimiser")
    lr_schedule: LrScheduleConfig | None = setting(None, "learning-rate schedule")
    freeze: list[str] = setting(
        [], "parts of the model to freeze, such as blocks, cell", before=DEFAULT
    )
    lr_scale: dict[str, float] = setting(
        {}, "factors of lr for parts of the model, {PART: FACTOR}", role=Role.FREE, before=DEFAULT
    )

    ema: float | None = setting(
        None,
        "decay per update of a moving average of the weights, such as 0.999; the average is "
        "validated and saved; null: none, but 0.999 with trainer.unlabelled=mean_teacher",
        above=0,
        below=1,
        before=DEFAULT,
    )
    keep: str = setting(
        "average",
        "with trainer.ema, the model to validate and save: average (the teacher of "
        "a mean teacher), trained (its student)",
        choices=("average", "trained"),
        role=Role.FREE,
        before=DEFAULT,
    )
    unlabelled: str = setting(
        SELF_TRAINING,
        "targets of data.train.unlabelled: self_training (probabilities of detectors trained "
        "before), mean_teacher (those of the average of the weights, during training)",
        choices=(SELF_TRAINING, MEAN_TEACHER),
        before=DEFAULT,
    )
    teachers: int = setting(
        3,
        "number of detectors to train first for self-training, with different seeds; their "
        "probabilities are averaged",
        at_least=1,
        at_most=100,
        role=Role.FREE,
        before=DEFAULT,
    )
    student_mixup: float = setting(
        1.0,
        "probability of mixing a sequence of the training split, with its targets, into an "
        "unlabelled sequence, in self-training; only for features with power, such as logmel",
        at_least=0,
        at_most=1,
        before=DEFAULT,
    )
    consistency_weight: float = setting(
        2.0,
        "weight of the distance between student and mean teacher; times 1 - p_teacher",
        at_least=0,
        role=Role.FREE,
        before=DEFAULT,
    )
    consistency_epochs: int = setting(
        6,
        "epochs of ramp-up to that weight, by exp(-5 (1 - x)^2)",
        unit="epochs",
        at_least=0,
        role=Role.FREE,
        before=DEFAULT,
    )
    consistency_loss: str = setting(
        "mse",
        "distance between the probabilities of student and teacher: mse (squared), bce (binary "
        "cross-entropy to the teacher's)",
        choices=("mse", "bce"),
        role=Role.FREE,
        before=DEFAULT,
    )
    consistency_mixup: float = setting(
        0.0,
        "probability of mixing a sequence of the training split, with its targets, into an "
        "unlabelled sequence of the student; only for features with power, such as logmel",
        at_least=0,
        at_most=1,
        before=DEFAULT,
    )
    consistency_view: str = setting(
        "augmented",
        "sequences without labels as the teacher hears them: augmented (with draws of their own), "
        "clean (augmentations are the student's alone)",
        choices=("augmented", "clean"),
        before=DEFAULT,
    )
    consistency_feedback: str = setting(
        "own",
        "feedback of the student where the target is unknown: own (its outputs), teacher (the "
        "teacher's activities where the teacher mask is set)",
        choices=("own", "teacher"),
        before=DEFAULT,
    )

    max_positive_weight: float | None = setting(
        None,
        "maximum weight of a class's active targets; the weight is the ratio of inactive to "
        "active targets in the training split; null: all weights 1",
        at_least=1,
        role=Role.FREE,
        before=DEFAULT,
    )

    balance: float = setting(
        0.0,
        "oversampling of sequences with rare classes; 0: each sequence once per pass; 1: as if "
        "every class were in equally many sequences",
        at_least=0,
        at_most=1,
        role=Role.FREE,
        before=DEFAULT,
    )

    def faults(self, prefix: str = "trainer.") -> list[str]:
        """Faults in ranges, the loss, the optimiser and the number of devices for the batch."""
        faults = range_faults(self, prefix)
        faults.require(
            (self.devices or 1) <= self.batch_size,
            f"{prefix}devices={self.devices}, but the {prefix}batch_size="
            f"{self.batch_size} sequences of a batch leave some without work: lower the first or "
            f"raise the second",
        )
        known = components("logger")
        faults.require(
            "csv" in self.loggers,
            f"{prefix}loggers={self.loggers}: expected csv, which status, compare and resume read, "
            f"and any others",
        )
        for name in filter(known.__contains__, self.loggers):
            faults += [f"{prefix}loggers={self.loggers}: {each}" for each in known[name].faults()]
        faults += self.loss.faults(f"{prefix}loss.")
        faults += self.optimizer.faults(f"{prefix}optimizer.")
        if self.lr_schedule is not None:
            faults += self.lr_schedule.faults(f"{prefix}lr_schedule.")
        return [*faults, *self._part_faults(prefix)]

    def faults_of_average(
        self, named: Collection[str], *, has_unlabelled: bool, learns_clips: bool = False
    ) -> list[str]:
        """Faults in settings for an average of the weights, recordings without labels, or clips.

        Without these, they have no effect.
        """
        faults = Faults()
        for key, method in _OF_UNLABELLED.items():
            if key not in named:
                continue
            faults.require(
                has_unlabelled,
                f"{key} is for recordings without labels: name some, as data.train.unlabelled of "
                f"data=annotated, or drop it",
            )
            faults.require(
                not has_unlabelled or method in (None, self.unlabelled),
                f"{key} is for trainer.unlabelled={method}, but that is {self.unlabelled}: "
                f"drop one",
            )
        if has_unlabelled and self.unlabelled == MEAN_TEACHER:
            return faults
        faults.require(
            "trainer.clip_weight" not in named or learns_clips,
            f"trainer.clip_weight={self.clip_weight} is for weakly labelled clips, and for a mean "
            f"teacher: name some, as data.train.weak of data=annotated, or drop it",
        )
        faults.require(
            "trainer.keep" not in named or self.ema is not None,
            f"trainer.keep={self.keep}, but there is no average of the weights: set trainer.ema, "
            f"or drop it",
        )
        return faults

    def _part_faults(self, prefix: str) -> Faults:
        """Faults in values for parts of the model or the data; their names are checked later."""
        faults = Faults()
        for source, share in self.batch_shares.items():
            faults.require(
                is_usable(share) and share > 0,
                f"{prefix}batch_shares={{{source}: {share}}}: expected a share above 0; remove a "
                "source from the data to train without it",
            )
        for part, factor in self.lr_scale.items():
            faults.require(
                is_usable(factor) and factor > 0,
                f"{prefix}lr_scale={{{part}: {factor}}}: expected a factor above 0; to freeze a "
                f"part, name it in {prefix}freeze",
            )
            faults.require(
                part not in self.freeze,
                f"{prefix}lr_scale and {prefix}freeze both name {part}, and frozen parts have no "
                f"learning rate: drop one",
            )
        return faults
