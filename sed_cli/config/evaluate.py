"""Settings of ``sedtf eval``."""

from __future__ import annotations

from dataclasses import dataclass

from sed_cli.config.annotations import SPLITS
from sed_cli.config.data import AnyDataConfig
from sed_cli.config.evaluation import EvaluationConfig
from sed_cli.config.every_verb import CHECKPOINT, DEVICE, DEVICES, THREADS, VerbConfig
from sed_cli.config.faults import Faults
from sed_cli.config.settings import MISSING, Role, setting
from sed_cli.config.trainer import MOST_THREADS


@dataclass
class EvalConfig(VerbConfig):
    """``sedtf eval``; data and post-processing default to those of the checkpoint.

    With ``evaluation.metric`` or ``evaluation.decoder`` a decoder is fitted on the validation split
    of the run. With ``scores`` it decodes the scores of another system.
    """

    checkpoint: str | None = setting(None, CHECKPOINT, role=Role.SOURCE)
    scores: str | None = setting(
        None,
        "scores of any system, instead of a checkpoint: a folder with one table per recording, "
        "with onset, offset and one column per class",
    )
    annotations: str | None = setting(None, "with scores: file of the ground truth")
    durations: str | None = setting(
        None,
        "with scores: table of filename and duration (s); null: recordings end with their scores",
    )
    folds: int = setting(
        5,
        "with scores: number of folds; each is decoded with parameters tuned on the others",
        at_least=2,
    )
    tune_share: float | None = setting(
        None,
        "with scores: share of the files to tune on, instead of folds; the rest is evaluated",
        above=0,
        below=1,
    )
    split: str = setting("test", "split to evaluate: train, validation or test", choices=SPLITS)
    device: str = setting("auto", DEVICE, choices=DEVICES, role=Role.PLACE)
    output_dir: str = setting(
        MISSING, "run folder; outputs/VERB/DATE/TIME if not given", role=Role.PLACE
    )
    threads: int | None = setting(None, THREADS, at_least=1, at_most=MOST_THREADS, role=Role.PLACE)
    data: AnyDataConfig | None = setting(None)
    evaluation: EvaluationConfig = setting()

    def faults(self, named: frozenset[str] = frozenset()) -> list[str]:
        """Faults in the groups, and in a metric for tuning when nothing is tuned."""
        faults = Faults([*super().faults(named), *self.evaluation.faults()])
        faults.require(
            self.evaluation.tune or self.evaluation.metric is None,
            f"evaluation.metric={self.evaluation.metric} needs tuning, which "
            f"evaluation.tune=false turns off: drop one of the two",
        )
        if self.scores is None:
            faults.require(
                self.checkpoint is not None, "checkpoint is not set: give checkpoint=..."
            )
        else:
            faults += self._faults_of_scores()
        faults.require(
            self.scores is not None or (self.annotations, self.durations) == (None, None),
            "annotations and durations need scores=FOLDER; to evaluate on other data give "
            "data=annotated",
        )
        return [*faults, *([] if self.data is None else self.data.faults())]

    def _faults_of_scores(self) -> Faults:
        """Settings that cannot be combined with scores of another system."""
        faults = Faults()
        faults.require(
            self.annotations is not None,
            f"scores={self.scores} needs the ground truth: add annotations=FILE",
        )
        for key in ("checkpoint", "data"):
            faults.require(
                getattr(self, key) is None, f"scores={self.scores} takes no {key}: drop one of them"
            )
        faults.require(
            self.evaluation.calibrate in (None, "none"),
            f"evaluation.calibrate={self.evaluation.calibrate} needs a detector: drop it",
        )
        return faults
