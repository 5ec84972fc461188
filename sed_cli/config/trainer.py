"""Settings of the optimisation: how long, how fast, on what devices, and which epoch is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sed_cli.config.faults import Faults, is_usable
from sed_cli.config.registry import Names, components
from sed_cli.config.settings import DEFAULT, MISSING, Role, Settings, range_faults, setting
from sed_cli.config.training import LossConfig, LrScheduleConfig, OptimizerConfig

MOST_THREADS = 1024  # of a process; thousands take gigabytes, and minutes to start
LR_SCALE = "lr_scale"  # what a parameter group says of its factor beside its learning rate


@dataclass
class TrainerConfig(Settings):
    """The optimisation, and early stopping on validation."""

    epochs: int = setting(
        25, "passes over the training split", at_least=1, role=Role.RESUMABLE | Role.FREE
    )
    batch_size: int = setting(8, "sequences, over all devices", at_least=1)
    accumulate: int = setting(
        1,
        "batches per update; their accumulated gradient is that of one batch of this many times "
        "trainer.batch_size (except for batch norm)",
        at_least=1,
        before=DEFAULT,
    )
    lr: float = setting(2e-3, "learning rate", above=0, role=Role.FREE)
    batch_shares: dict[str, float] = setting(
        {},
        "proportions of the sources in a batch, {strong: 1, weak: 3}: the training split, "
        "data.train.weak; others: 1; unlabelled, data.train.unlabelled, comes on top",
        before=DEFAULT,
    )
    clip_weight: float = setting(
        0.02,
        "weight of the loss of weakly labelled clips, where that of frames is 1, and of their "
        "consistency with data.train.unlabelled",
        above=0,
        role=Role.FREE,
        before=DEFAULT,
    )
    min_epoch_updates: int = setting(
        20,
        "an epoch of few sequences makes several passes, until it has this many updates; 1: "
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
        "figure that chooses the best epoch, free running: validation_f1, validation_loss, "
        "validation_er, or a figure of any metric, such as event_f1, segment_er, psds1; for "
        "task=sequence also validation_perplexity (teacher-forced)",
        role=Role.FREE,
    )
    figures: list[str] = setting(
        [],
        "further figures of validation for history.csv, such as event_f1",
        before=DEFAULT,
    )
    grad_norm: float | None = setting(1.0, "clip the norm of the gradient; null: never", above=0)
    precision: str = setting(
        "float32", "of the convolutions: float32, bf16", choices=("float32", "bf16")
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
        "GPUs, or processes on the CPU, that share each batch; null: one",
        at_least=1,
        role=Role.PLACE,
    )
    loggers: list[str] = setting(
        ["csv", "tensorboard"],
        "records of each epoch; csv, which is history.csv, is required",
        choices=Names("logger"),
        role=Role.PLACE,
        before=DEFAULT,
    )
    loss: LossConfig = setting(MISSING, "objective of training")
    optimizer: OptimizerConfig = setting(MISSING, "computes the updates from the gradients")
    lr_schedule: LrScheduleConfig | None = setting(
        None, "changes the learning rate during training"
    )
    freeze: list[str] = setting(
        [], "parts of the model to leave untrained, such as blocks, cell", before=DEFAULT
    )
    lr_scale: dict[str, float] = setting(
        {}, "factor of lr for parts of the model, {PART: FACTOR}", role=Role.FREE, before=DEFAULT
    )

    ema: float | None = setting(
        None,
        "decay per update of a moving average of the weights, which is validated and stored in "
        "their place, such as 0.999; null: none, but 0.999 with data.train.unlabelled",
        above=0,
        below=1,
        before=DEFAULT,
    )
    keep: str = setting(
        "average",
        "with an average of the weights, the model to validate and store: average (the teacher of "
        "a mean teacher), trained (its student)",
        choices=("average", "trained"),
        role=Role.FREE,
        before=DEFAULT,
    )
    consistency_weight: float = setting(
        2.0,
        "weight of the distance between student and teacher, with data.train.unlabelled; times "
        "1 - p_teacher",
        at_least=0,
        role=Role.FREE,
        before=DEFAULT,
    )
    consistency_epochs: int = setting(
        6,
        "epochs until that weight is reached, along exp(-5 (1 - x)^2)",
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
        "probability that the student hears a sequence without labels mixed with one of the "
        "training split, whose events it is to detect too; features without power are not mixed",
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
        "feedback of the student where no target is known: own (its outputs), teacher (the "
        "teacher's activities where the teacher mask is set)",
        choices=("own", "teacher"),
        before=DEFAULT,
    )

    max_positive_weight: float | None = setting(
        None,
        "maximum weight of a class's active targets, which is the number of silent targets per "
        "active one in the training split; null: all weights 1",
        at_least=1,
        role=Role.FREE,
        before=DEFAULT,
    )

    balance: float = setting(
        0.0,
        "how much more often sequences with rare classes are drawn; 0: each once per pass; 1: as "
        "if every class were in equally many",
        at_least=0,
        at_most=1,
        role=Role.FREE,
        before=DEFAULT,
    )

    def faults(self, prefix: str = "trainer.") -> list[str]:
        """Faults of ranges, of the loss and the optimiser, and of devices against the batch."""
        faults = range_faults(self, prefix)
        faults.require(
            (self.devices or 1) <= self.batch_size,
            f"{prefix}devices={self.devices}, but a batch of {prefix}batch_size="
            f"{self.batch_size} sequences, which they share, gives some of them no work: "
            f"lower the first or raise the second",
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
        self, named: Collection[str], *, learns_unlabelled: bool, learns_clips: bool = False
    ) -> list[str]:
        """Faults of settings that were given for an average of the weights, or for clips.

        Where there is none, or none has labels as a whole, they would do nothing.
        """
        faults = Faults()
        if learns_unlabelled:
            return faults
        for key in sorted(named):
            faults.require(
                not key.startswith("trainer.consistency_"),
                f"{key} is for recordings without labels: name some, as data.train.unlabelled of "
                f"data=annotated, or drop it",
            )
        faults.require(
            "trainer.clip_weight" not in named or learns_clips,
            f"trainer.clip_weight={self.clip_weight} is for weakly labelled clips, and for "
            f"recordings without labels: name some, as data.train.weak of data=annotated, or drop "
            f"it",
        )
        faults.require(
            "trainer.keep" not in named or self.ema is not None,
            f"trainer.keep={self.keep}, but there is no average of the weights: set trainer.ema, "
            f"or drop it",
        )
        return faults

    def _part_faults(self, prefix: str) -> Faults:
        """Faults of what is set for parts of the model or the data; what there is shows later."""
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
                f"{prefix}lr_scale and {prefix}freeze both name {part}, which is not trained "
                f"then: drop one",
            )
        return faults
